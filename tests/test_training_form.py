"""The form of a new training: a duplicate is filled in whole, and what it will take says of which device."""

from __future__ import annotations

from pathlib import Path

import pytest
from commandline import call
from scripts import form_of_a_duplicate
from streamlit.testing.v1 import AppTest

import trainer
from explorer import training_form


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


@pytest.mark.parametrize(("device", "said"), [
    ("cpu", "about 3 min 20 s on the CPU"),
    ("cuda", "about 3 min 20 s if it were on the CPU; it will run on cuda, not timed"),
])  # fmt: skip
def test_the_time_says_of_which_device_it_is(device: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "choose_device", lambda: device)
    assert training_form._time(200.0) == said
    assert training_form._time(None) == "one pass over the data"
