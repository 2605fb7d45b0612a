"""The form of a new training: a duplicate is filled in whole, and what it will take says of which device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from commandline import call
from configured import save_config
from scripts import form_of_a_duplicate, form_of_a_training
from streamlit.testing.v1 import AppTest

import trainer
from explorer import run, training_form
from trainer import models


def test_a_duplicate_has_every_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LATENT_EXPLORER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CHECKPOINTS", str(tmp_path))
    folder = tmp_path / "mine"
    quick = ["--data", "digits", "--size", 100, "--batch", 16, "--hidden", 8, "--steps", 5, "--device", "cpu"]
    assert call("train", "vae", "--half", "--no-decay", "--out", folder, *quick) == 0
    page = AppTest.from_function(form_of_a_duplicate, args=(str(folder),), default_timeout=60).run()
    assert not page.exception and not page.error
    assert {toggle.label: toggle.value for toggle in page.toggle}.items() >= {"half": True, "decay": False}.items()
    numbers = {field.label: field.value for field in page.number_input}
    assert (numbers["size"], numbers["batch"], numbers["steps"]) == (100, 16, 5)
    texts = {field.label: field.value for field in page.text_input}
    assert texts["hidden"] == "8" and texts["Name of the new checkpoint"] == "mine-2"
    assert any("on the CPU" in caption.value for caption in page.caption)


def test_a_duplicate_keeps_nothing_that_the_form_held_before(places: Path) -> None:
    save_config(places / "told", "semi_supervised", {"steps": 5}, labels=40)
    page = AppTest.from_function(form_of_a_duplicate, args=(str(places / "told"),), default_timeout=60)
    held = {"labels": 70, "note": "of another", "latents": 3}
    for name, value in held.items():
        page.session_state[f"train/semi_supervised/{name}"] = value
    page.run()
    assert not page.exception and not page.error
    kind = models.get("semi_supervised")
    wanted = {"labels": 40, "note": "", "latents": kind.Options.model_fields["latents"].default}
    assert {name: page.session_state[f"train/semi_supervised/{name}"] for name in held} == wanted


def test_the_name_that_is_proposed_is_that_of_no_training(places: Path) -> None:
    (places / "checkpoints" / "left").mkdir()
    assert training_form._free("left") == "left"
    (places / "checkpoints" / "left" / "config.json").touch()
    assert training_form._free("left") == "left-2"
    (places / "checkpoints" / ("long" * 16)).touch()
    assert training_form._free("long" * 16) == "long" * 15 + "lo-2"
    trainer.check_name("n" * training_form.LONGEST)
    with pytest.raises(ValueError, match="at most 64 in all"):
        trainer.check_name("n" * (training_form.LONGEST + 1))


def test_the_name_may_have_what_its_help_says(places: Path) -> None:
    about = next(field for field in form_of().text_input if field.label == "Name of the new checkpoint").help
    assert "underscores" in about
    trainer.check_name("a_b-c.1")


def form_of(**values: Any) -> AppTest:
    """The form of a vae of digits, with these options, after its first run."""
    page = AppTest.from_function(form_of_a_training, default_timeout=60)
    chosen = {"model": "vae", "data": "digits"} | {f"vae/{name}": value for name, value in values.items()}
    for name, value in chosen.items():
        page.session_state[f"train/{name}"] = value
    page.run()
    assert not page.exception
    return page


def starts(page: AppTest) -> bool:
    return not next(button for button in page.button if button.label == "Start training").disabled


def test_the_form_begins_with_the_model_that_most_others_build_on(places: Path) -> None:
    page = AppTest.from_function(form_of_a_training, default_timeout=60)
    page.session_state["train/data"] = "digits"
    page.run()
    assert not page.exception
    assert next(box for box in page.selectbox if box.label == "Model").value == "vae"


def test_the_form_begins_with_the_data_that_is_always_here(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "data_is_here", lambda name: True)
    page = AppTest.from_function(form_of_a_training, default_timeout=60).run()
    assert not page.exception
    assert next(box for box in page.selectbox if box.label == "Data").value == "digits"


def test_a_size_is_looked_at_before_the_start(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = form_of(size=10_000_000)
    assert "does not fit data set" in page.error[0].value and not starts(page)
    counts: list[int] = []

    def estimate(model: str, options: object, training: object, images: trainer.Images, key: str) -> trainer.Estimate:
        counts.append(len(images))
        return trainer.Estimate(1, 1, None)

    monkeypatch.setattr(run, "estimate", estimate)
    assert starts(form_of()) and starts(form_of(size=20))
    assert counts == [1618, 20]


@pytest.mark.parametrize(("error", "said", "can_start"), [
    (FloatingPointError("the term stopped being finite"), "diverged in a few steps that were tried", True),
    (MemoryError(), "there is not enough memory", False),
])  # fmt: skip
def test_a_model_that_cannot_be_tried_is_said(
    error: Exception, said: str, can_start: bool, places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: object) -> None:
        raise error

    monkeypatch.setattr(run, "estimate", fail)
    page = form_of()
    (shown,) = [*page.warning, *page.error]
    assert said in shown.value and starts(page) == can_start


@pytest.mark.parametrize(("device", "said"), [
    ("cpu", "about 3 min 20 s on the CPU"),
    ("cuda", "about 3 min 20 s if it were on the CPU; it will run on cuda, not timed"),
])  # fmt: skip
def test_the_time_says_of_which_device_it_is(device: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "choose_device", lambda: device)
    assert training_form._time(200.0) == said
    assert training_form._time(None) == "fitted by passes over the data, without steps: not timed"
