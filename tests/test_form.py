"""The form of a training: what options are, what it sends, and what it would cost."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field

import trainer
from explorer import form
from trainer import models
from trainer.forecast import estimate
from trainer.options import Options, needs
from trainer.train import TrainOptions


class Some(Options):
    kind: Literal["a", "b"] = Field("a", description="which")
    widths: tuple[int, ...] = Field((4, 4), description="widths")
    deep: bool = Field(False, description="deep")
    count: int = Field(3, ge=1, le=9, description="count")
    rate: float = Field(0.5, gt=0, le=1, description="rate")
    limit: float | None = Field(None, ge=0, description="limit")
    slope: float = Field(2.0, description="slope", json_schema_extra=needs(limit=[]))
    tone: int = Field(1, description="tone", json_schema_extra=needs(kind=["b"]))


def test_a_form_says_what_options_are() -> None:
    fields = {entry.name: entry for entry in form.entries(Some)}
    assert [entry.kind for entry in fields.values()] == [
        form.CHOICE, form.WIDTHS, form.TOGGLE, form.WHOLE, form.REAL, form.REAL, form.REAL, form.WHOLE,
    ]  # fmt: skip
    assert fields["kind"].choices == ("a", "b") and fields["kind"].help == "which"
    assert (fields["count"].low, fields["count"].high, fields["rate"].low) == (1, 9, 0)
    assert fields["limit"].optional and fields["limit"].default is None and not fields["rate"].optional
    assert fields["widths"].shown((8, 2)) == "8, 2" and fields["widths"].read(" 8,2 ") == (8, 2)
    assert fields["widths"].read("") == ()
    with pytest.raises(ValueError, match="give whole numbers"):
        fields["widths"].read("8, two")


def test_a_form_sends_what_differs_and_has_an_effect() -> None:
    fields = form.entries(Some)
    default = Some().model_dump()
    assert form.chosen(fields, default) == {}
    assert form.chosen(fields, {**default, "slope": 5.0, "tone": 4, "count": 4}) == {"count": 4}
    both = {**default, "slope": 5.0, "limit": 0.0, "kind": "b", "tone": 4}
    assert form.chosen(fields, both) == {"slope": 5.0, "limit": 0.0, "kind": "b", "tone": 4}


def test_options_reach_the_command_line_as_they_were_chosen() -> None:
    said = {"widths": (8, 2), "none": (), "deep": True, "flat": False, "max_kl": 2.0, "note": "-x y"}
    assert trainer.command_words(said) == [
        "--widths", "8", "2", "--none", "--deep", "--no-flat", "--max-kl=2.0", "--note=-x y",
    ]  # fmt: skip


@pytest.mark.parametrize("name", models.names())
def test_every_model_has_a_form(name: str) -> None:
    kind = models.get(name)
    fields = [*form.entries(kind.Options), *form.entries(TrainOptions)]
    default = {field.name: field.read(field.shown(field.default)) for field in fields}
    assert form.chosen(fields, default) == {}
    own = {field.name: default[field.name] for field in form.entries(kind.Options)}
    assert kind.Options.read(own) == kind.Options.read({})


def test_what_differs_between_options() -> None:
    table = form.differing({"one": {"a": 1, "b": None, "c": [1, 2]}, "two": {"a": 1, "b": 2.0, "d": "x"}})
    assert table == {
        "b": {"one": "none", "two": "2"}, "c": {"one": "1, 2", "two": "–"}, "d": {"one": "–", "two": "x"},
    }  # fmt: skip


def test_an_estimate_counts_and_leaves_the_random_state(places: Path) -> None:
    import torch

    images = trainer.load_data("digits", "train", 300)
    kind = models.get("vae")
    torch.manual_seed(1)
    state = torch.get_rng_state()
    options = kind.Options.read({"hidden": (16,)})
    found = estimate("vae", options, TrainOptions.read({"steps": 500}), images)
    assert torch.equal(torch.get_rng_state(), state)
    assert found.parameters == sum(
        p.numel() for p in kind((1, 8, 8), kind.Options.read({"hidden": (16,)})).parameters()
    )
    put_out = 16 + 2 * 10 + 16 + 64  # by the linear layers; the others change it in place, or look at it
    assert found.memory == 16 * found.parameters + 300 * 64 + 4 * 128 * put_out
    assert found.seconds and found.seconds > 0
    twice = estimate("vae", options, TrainOptions.read({"batch": 256}), images)
    assert twice.memory - found.memory == found.memory - 16 * found.parameters - 300 * 64
    assert estimate("pca", models.get("pca").Options.read({}), TrainOptions.read({}), images).seconds is None


def test_an_estimate_decodes_few_draws(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, kind = trainer.load_data("digits", "train", 300), models.get("vae")
    sizes, batch = set(), images.batch
    monkeypatch.setattr(images, "batch", lambda indices, *where: sizes.add(len(indices)) or batch(indices, *where))
    found = {}
    for samples, wanted in ((1, 128), (100, 20), (1000, 2)):
        options = kind.Options.read({"hidden": (8,), "samples": samples})
        found[samples] = estimate("vae", options, TrainOptions.read({}), images).memory
        assert sizes == {wanted}
        sizes.clear()
    assert found[1000] > 5 * found[100] > 25 * found[1]  # nothing is left out for that
