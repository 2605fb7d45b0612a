"""The conditional VAE from its data set to its checkpoint: what it cannot learn from, and a whole life."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commandline import call, refused
from PIL import Image
from scripts import form_of_a_duplicate
from streamlit.testing.v1 import AppTest
from torch import Tensor

import trainer
from trainer import checkpoint, data, forecast
from trainer.data import Images
from trainer.models.cvae import CVAE, CVAEOptions
from trainer.train import TrainOptions, train

SHAPE, K, D = (1, 4, 4), 3, 2
TINY: dict[str, Any] = {"latents": D, "hidden": (8,), "classes": K}
RUN = ["--data", "digits", "--size", 200, "--steps", 20, "--batch", 32, "--hidden", 8, "--device", "cpu"]


# ---- data sets that do not fit


class Few(Images):
    """Images of which a model is told only some classes."""

    @property
    def told(self) -> Tensor:
        return torch.where(torch.arange(len(self)) < 10, super().told, -1)


def images_of(kind: type[Images] = Images, labels: bool = True) -> Images:
    generator = torch.Generator().manual_seed(0)
    found = torch.randint(0, 256, (30, 1, 8, 8), dtype=torch.uint8, generator=generator)
    return kind("mine", found, torch.arange(30) % 3 if labels else None, ("a", "b", "c") if labels else ())


@pytest.mark.parametrize(("images", "asked", "said"), [
    (images_of(labels=False), 0, 'data set "mine" has no labels, and this model learns from classes'),
    (images_of(), 4, 'classes came as 4, but data set "mine" has 3: leave it out, or give that'),
    (images_of(Few), 0, '20 of the 30 images of "mine" have no label, and this model needs one for each'),
])  # fmt: skip
def test_what_cannot_be_learned_from_is_a_sentence(images: Images, asked: int, said: str) -> None:
    options = CVAEOptions.read({"classes": asked, "hidden": (8,)})
    with pytest.raises(ValueError, match=said):
        CVAE.fitted(options, images)
    with pytest.raises(ValueError, match=said):  # before a training starts, on the page
        forecast.estimate("cvae", options, TrainOptions(steps=5), images)


def test_without_a_number_of_classes_there_is_no_model() -> None:
    with pytest.raises(ValueError, match="classes came as 0"):
        CVAE(SHAPE, CVAEOptions.read({}))
    assert CVAE.fitted(CVAEOptions.read({}), images_of()).classes == 3
    assert forecast.estimate("cvae", CVAEOptions.read({}), TrainOptions(steps=5), images_of()).parameters > 0


def own_set(path: Path, labels: bool) -> Path:
    found = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
    np.savez(path, images=found, **({"labels": np.arange(40) % 4} if labels else {}))
    return path


def test_the_command_line_says_what_does_not_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    plain = ["train", "cvae", "--steps", 5, "--hidden", 8, "--device", "cpu", "--out", out]
    bare, classed = own_set(tmp_path / "bare.npz", labels=False), own_set(tmp_path / "classed.npz", labels=True)
    assert 'data set "bare.npz" has no labels' in refused(capsys, *plain, "--data", bare)
    assert 'but data set "classed.npz" has 4' in refused(capsys, *plain, "--data", classed, "--classes", 3)
    assert "classes came as" in refused(capsys, *plain, "--data", classed, "--classes", -1)
    assert 'data set "bare.npz" has no labels' in refused(capsys, "sweep", *plain[1:], "--data", bare)
    assert not out.exists()
    assert call(*plain, "--data", classed) == 0
    assert checkpoint.describe(out).config.options["classes"] == 4


def form(path: str) -> None:
    import streamlit as st

    from explorer import training_form

    if "filled" not in st.session_state:
        st.session_state.update({"train/model": "cvae", "train/data": training_form.OWN, "train/path": path})
        st.session_state["filled"] = True
    training_form.show()


def test_the_page_says_it_before_a_training_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LATENT_EXPLORER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CHECKPOINTS", str(tmp_path))
    bare = own_set(tmp_path / "bare.npz", labels=False)
    page = AppTest.from_function(form, args=(str(bare),), default_timeout=60).run()
    assert not page.exception
    assert any('data set "bare.npz" has no labels' in error.value for error in page.error)
    assert page.button[0].label


# ---- a whole life


def test_from_training_to_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LATENT_EXPLORER_HOME", str(tmp_path / "home"))
    folder = tmp_path / "mine"
    assert call("train", "cvae", *RUN, "--latents", 3, "--prior", "dependent", "--half", "--out", folder) == 0
    config = checkpoint.describe(folder).config
    assert config.options["classes"] == 10 and config.weights == "float16"
    assert config.measured["ELBO"].endswith("nats (Bernoulli given the class)")
    card = (folder / "README.md").read_text()
    assert "| ELBO |" in card and "a class that is not given: inferred by" in card and "dimensions of `z`" in card
    model, summary = trainer.load(folder), trainer.load_summary(folder)
    summary.check(model.space)
    assert summary.arrays["points"].shape[1] == 13 and summary.arrays["class_means"].shape == (10, 13)
    width, height = Image.open(folder / "preview.png").size
    assert height / width == pytest.approx((10 * 9 + 1) / (8 * 9 + 1))  # a row for each class
    assert trainer.load_film(folder) is not None
    assert call("measure", folder) == 0
    assert call("sample", folder, "--count", 9, "--out", tmp_path / "drawn.png") == 0
    assert call("resume", folder, "--steps", 3, "--device", "cpu") == 0
    assert checkpoint.describe(folder).config.steps_done == 23


def test_a_second_sweep_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("LATENT_EXPLORER_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("trainer.sweep.run", lambda command, log, place: call(*command))
    grid = ["sweep", "cvae", *RUN, "--grid", "latents=2", "--out", tmp_path / "swept"]
    assert call(*grid) == 0
    capsys.readouterr()
    assert call(*grid) == 0 and "1 trainings in" in (said := capsys.readouterr().out) and "of which 1 are" in said
    assert call(*grid, "--classes", 10) == 0  # what the data set says anyway
    assert "with prior independent, and dependent is asked" in refused(capsys, *grid, "--prior", "dependent")


def test_a_duplicate_is_of_as_many_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LATENT_EXPLORER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CHECKPOINTS", str(tmp_path))
    assert call("train", "cvae", *RUN, "--prior", "dependent", "--out", tmp_path / "mine") == 0
    page = AppTest.from_function(form_of_a_duplicate, args=(str(tmp_path / "mine"),), default_timeout=60).run()
    assert not page.exception and not page.error
    assert {field.label: field.value for field in page.number_input}["classes"] == 10
    assert any("on the CPU" in caption.value for caption in page.caption)


def test_a_training_learns_the_classes() -> None:
    """After a few hundred steps the class is read off most test digits, which nobody trained it to do."""
    images, test = data.load("digits"), data.load("digits", "test")
    torch.manual_seed(0)
    options = CVAE.fitted(CVAEOptions.read({"latents": 4, "hidden": (64,), "prior": "dependent"}), images)
    model = CVAE(images.shape, options)
    for _ in train(model, images, TrainOptions(steps=400, every=400, rate=2e-3)):
        pass
    with torch.no_grad():
        found = model.eval().encode(test.batch(torch.arange(len(test))))["y"].argmax(1)
    assert test.labels is not None
    assert float((found == test.labels).float().mean()) > 0.8
