"""What the page Train offers for a training that does not run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from configured import save_config
from scripts import afterwards
from streamlit.testing.v1 import AppTest

import trainer
from explorer import films, jobs, launching, training_watch
from explorer.job import Job
from trainer import models


@pytest.fixture
def asked(places: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is asked to go on; nothing does."""
    found: list[Any] = []
    monkeypatch.setattr(jobs, "resume", lambda checkpoint, *more: found.append((checkpoint.name, *more)))
    return found


def put(places: Path, name: str, steps_done: int, steps: int = 30) -> None:
    folder = places / "checkpoints" / name
    folder.parent.mkdir(exist_ok=True)
    save_config(folder, "vae", {"steps": steps}, steps_done)
    (folder / "state.safetensors").touch()
    (folder / "history.jsonl").write_text('{"step": 30, "loss": 1.0}\n')


def watched() -> None:
    """The right half of the page."""
    import trainer
    from explorer.pages import train

    train._watch(trainer.checkpoints(), {"traversals": None})  # type: ignore[dict-item]


def watching(run: str | None = None) -> AppTest:
    """The right half of the page at an address, after its first run."""
    page = AppTest.from_function(watched, default_timeout=60)
    if run is not None:
        page.query_params["run"] = run
    page.run()
    assert not page.exception
    return page


def labels(page: AppTest) -> list[str]:
    return [button.label for button in page.button]


def test_what_died_while_it_was_measured_goes_on_with_no_more_steps(places: Path, asked: list[Any]) -> None:
    put(places, "died", 0)
    put(places, "whole", 30)
    put(places, "none", 0, 0)
    shown = {}
    for name in ("died", "whole", "none"):
        page = AppTest.from_function(afterwards, args=(name,), default_timeout=60).run()
        assert not page.exception
        more = page.number_input[0]
        shown[name] = (more.min, more.value)
    assert shown == {"died": (0, 0), "whole": (1, 30), "none": (1, 1)}


def test_a_click_counts_for_what_it_was_drawn_for(places: Path, asked: list[Any]) -> None:
    put(places, "one", 10)
    page = AppTest.from_function(afterwards, args=("one",), default_timeout=60).run()
    put(places, "one", 30)  # while the window shows what was before
    next(button for button in page.button if button.label == "Go on").click().run()
    assert not page.exception and asked == []
    next(button for button in page.button if button.label == "Go on").click().run()
    assert asked == [("one", 30, None)]


def test_what_was_killed_before_its_first_save_starts_again(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job(str(places / "checkpoints" / "killed"), "cpu", ("python", "-m", "trainer", "train", "vae"), begun=1.0)
    job.write()
    job.path.mkdir()  # and empty, as it was in the line, but for the file that it was about to write
    (job.path / ".config.json.7-0").touch()
    started: list[Job] = []
    monkeypatch.setattr(launching, "_launch", lambda job: started.append(job) or job)
    page = watching()
    (error,) = page.error
    assert "killed** died. Its process ended without a word" in error.value
    assert error.value.endswith("Nothing that it learned was saved.") and not page.code
    assert labels(page) == ["Start again", "Remove for good"]
    page.button[0].click().run()
    (again,) = started
    assert not page.exception and (again.command[1:], again.path) == (job.command[1:], job.path)
    assert again.command[0] == sys.executable  # whatever its description says


def test_what_was_killed_after_a_save_goes_on(places: Path) -> None:
    put(places, "killed", 10)
    folder = places / "checkpoints" / "killed"
    (folder / "model.safetensors").unlink()
    Job(str(folder), "cpu", ("python", "-m", "trainer", "train", "vae"), begun=1.0).write()
    page = watching()
    assert page.error[0].value.endswith("It can go on from what was saved last.")
    assert "Go on" in labels(page) and "Start again" not in labels(page)


@pytest.mark.parametrize("asked", ["nope", "../../etc"])
def test_a_training_that_is_not_there_shows_none_of_another(asked: str, places: Path) -> None:
    put(places, "one", 30)
    page = watching(asked)
    for _ in range(2):  # also when the page is drawn anew
        (error,) = page.error
        assert error.value.replace("\\", "") == f"There is no training “{asked}”. Choose one below."
        assert page.selectbox[0].value is None and not page.button and page.query_params["run"] == asked
        page.run()
    page.selectbox[0].select("one").run()
    assert not page.exception and not page.error
    assert "Go on" in labels(page) and page.query_params["run"] == "one"
    assert watching("one").selectbox[0].value == watching().selectbox[0].value == "one"


def test_a_name_is_shown_as_it_is(places: Path) -> None:
    put(places, "a*b*c", 30)
    Job(str(places / "checkpoints" / "a*b*c"), begun=1.0).write()
    page = watching()
    shown = [text.value for text in page.markdown if "a\\*b\\*c" in text.value]
    assert len(shown) == 2 and not any("a*b" in text.value for text in page.markdown)  # what it did, and the question


@pytest.mark.parametrize(("name", "drawn"), [
    ("vae", "draws from the prior"), ("mixture", "draws from the prior"), ("autoencoder", "decodes of random codes"),
    ("vq_vae", "decodes of random codes"), ("quadrant", "completions of what is visible of them"),
    ("quadrant_baseline", "completions of what is visible of them"),
])  # fmt: skip
def test_the_pictures_of_a_training_say_what_is_drawn(name: str, drawn: str) -> None:
    kind = models.get(name)
    said = f"above test images, then their reconstructions, then {drawn}"
    assert films.rows(kind((1, 8, 8), kind.Options.read({}))) == said


def test_a_training_is_asked_for_what_its_pictures_are(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(st, "session_state", {})
    said = {}
    for name in ("autoencoder", "mine"):  # and a model that is not known here
        save_config(places / name, name, {})
        said[name] = training_watch._rows(trainer.describe(places / name)).rpartition("then ")[2]
    assert said == {"autoencoder": "decodes of random codes", "mine": "draws"}
