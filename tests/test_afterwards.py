"""What the page Train offers for a training that does not run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from configured import save_config
from scripts import afterwards
from streamlit.testing.v1 import AppTest

from explorer import jobs


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
