"""Two windows that look at one training show the same, whichever of them turns a knob."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import streamlit as st
from commandline import call
from streamlit.testing.v1 import AppTest

import trainer
from explorer import form, training_turn
from explorer.job import RUNNING, STARTING, WAITING, Job
from trainer import checkpoint, control, lock, models


def window(folder: str) -> None:
    """What the page shows of a training that runs."""
    from pathlib import Path

    import streamlit as st

    from explorer import training_turn
    from explorer.job import Job

    job = Job(folder)
    training_turn.act(job, job.state())
    assert job.checkpoint
    training_turn.show(job, job.checkpoint)
    st.caption(Path(folder).name)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A checkpoint in which this process trains, so that a test can answer in its place."""
    monkeypatch.setenv("LATENT_EXPLORER_HOME", str(tmp_path / "home"))
    made = tmp_path / "mine"
    quick = ["--data", "digits", "--size", 100, "--batch", 16, "--hidden", 8, "--steps", 5, "--device", "cpu"]
    assert call("train", "beta_vae", "--beta", 3, "--out", made, *quick) == 0
    (made / "history.jsonl").write_text("")  # as before the first measures
    with lock.alone(made):
        yield made


def opened(folder: Path) -> AppTest:
    page = AppTest.from_function(window, args=(str(folder),), default_timeout=60).run()
    assert not page.exception
    return page


def values(page: AppTest) -> dict[str, float]:
    assert not page.exception
    return {field.label: field.value for field in page.run().number_input}


def answer(folder: Path, **line: object) -> None:
    with (folder / "history.jsonl").open("a") as file:
        file.write(json.dumps({"step": 5, **line}) + "\n")


def test_a_knob_turned_in_one_window_is_turned_in_the_other(folder: Path) -> None:
    one, other = opened(folder), opened(folder)
    assert values(one) == values(other) == {"beta": 3.0, "learning rate": 1e-3}  # there before the first measures
    one.number_input[0].set_value(8.5).run()
    orders = (folder / control.FILE).read_text().splitlines()
    assert [json.loads(order) for order in orders] == [{"knob": "beta", "value": 8.5}]
    assert values(one)["beta"] == 8.5 and values(other)["beta"] == 3.0  # asked for, and not done yet
    answer(folder, order=1, changed={"beta": 8.5})
    assert values(one) == values(other) == {"beta": 8.5, "learning rate": 1e-3}
    other.number_input[1].set_value(2e-4).run()
    answer(folder, order=2, changed={"rate": 2e-4})
    other.number_input[0].set_value(1.0).run()
    answer(folder, order=3, changed={"beta": 1.0})
    assert values(one) == values(other) == {"beta": 1.0, "learning rate": 2e-4}
    assert len((folder / control.FILE).read_text().splitlines()) == 3  # what is shown is no order


def orders(folder: Path) -> list[dict[str, object]]:
    file = folder / control.FILE
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_a_call_that_nobody_made_sends_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Streamlit calls back for a field whose run was overtaken, with the value that it was built with or last had."""
    fields: dict[str, object] = {}
    monkeypatch.setattr(st, "session_state", fields)

    def called_with(value: float, key: str = "turn/beta", name: str = "beta", stood: float = 3.0) -> None:
        fields[key] = value
        training_turn._send(Job(str(folder)), name, key, stood)

    called_with(3.0)
    called_with(1e-3, "turn/rate", "rate", 1e-3)
    assert orders(folder) == []
    called_with(8.5)
    called_with(2e-4, "turn/rate", "rate", 1e-3)
    called_with(8.5)
    told: list[dict[str, object]] = [{"knob": "beta", "value": 8.5}, {"rate": 2e-4}]
    assert orders(folder) == told
    called_with(3.0)  # back, before the first was answered
    called_with(3.0)
    assert orders(folder) == [*told, {"knob": "beta", "value": 3.0}]
    called_with(8.5, "turn/beta/answered", stood=8.5)  # the field that was built once it was
    assert len(orders(folder)) == 3


def test_an_order_that_could_not_be_sent_is_sent_when_it_is_asked_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields: dict[str, object] = {"turn/beta": 8.5}
    monkeypatch.setattr(st, "session_state", fields)
    with monkeypatch.context() as full:
        full.setattr(trainer, "send_order", lambda path, order: (_ for _ in ()).throw(OSError("full")))
        training_turn._send(Job(str(folder)), "beta", "turn/beta", 3.0)
    assert fields["said"] == "full" and orders(folder) == []
    training_turn._send(Job(str(folder)), "beta", "turn/beta", 3.0)
    assert orders(folder) == [{"knob": "beta", "value": 8.5}]


def test_an_order_that_is_refused_leaves_the_field_as_it_stands(folder: Path) -> None:
    one = opened(folder)
    one.number_input[1].set_value(0.0).run()
    assert values(one)["learning rate"] == 0.0
    answer(folder, order=1, refused="rate came as 0.0, expected more than 0")
    assert values(one)["learning rate"] == 1e-3


def test_a_field_takes_what_the_option_does(folder: Path) -> None:
    options = models.get("beta_vae").Options
    beta = next(field for field in form.entries(options) if field.name == "beta")
    assert [(field.label, field.min, field.max) for field in opened(folder).number_input] == [
        ("beta", beta.low, beta.high),
        ("learning rate", 0, 1),
    ]
    assert beta.low == 0 and beta.high


def test_a_value_that_stands_outside_of_the_bounds_is_shown(folder: Path) -> None:
    answer(folder, changed={"rate": 1.0000001}, loss=1.0, beta=-0.5)
    assert values(opened(folder)) == {"beta": -0.5, "learning rate": 1.0000001}


def test_measures_show_what_a_schedule_does_not_turn(folder: Path) -> None:
    one = opened(folder)
    answer(folder, loss=1.0, beta=4.0, capacity=9.0)
    assert values(one) == {"beta": 4.0, "learning rate": 1e-3}
    assert checkpoint.describe(folder).config.options["beta"] == 3.0


@pytest.mark.parametrize("place", [0, 1])
def test_only_what_is_not_the_next_can_be_moved_up(place: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = ["another"]
    line.insert(place, str(folder))
    monkeypatch.setattr(trainer, "waiting", lambda device: line)
    earlier, cancel = opened(folder).button
    assert (earlier.label, cancel.label) == ("Earlier", "Cancel") and earlier.disabled == (place == 0)


@pytest.mark.parametrize(("state", "words"), [(WAITING, "out of the line"), (STARTING, "while it was starting")])
def test_what_was_ended_before_it_ran_is_said(
    state: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields: dict[str, tuple[str, float]] = {}
    monkeypatch.setattr(st, "session_state", fields)
    monkeypatch.setattr(Job, "state", lambda job: state)
    monkeypatch.setenv("CHECKPOINTS", str(tmp_path))
    job = Job(str(tmp_path / "mine"))
    training_turn.tried(lambda job: None, Job(str(tmp_path / "mine/code_prior")))
    assert "“mine/code_prior”" in fields["ended"][0]  # a stage has the name of what it stands on before its own
    training_turn.tried(lambda job: None, job)
    said: list[str] = []
    monkeypatch.setattr(st, "info", said.append)
    training_turn.undone()
    training_turn.undone()  # the page is drawn anew by itself, and still says it
    assert len(said) == 2 and "“mine”" in said[1] and words in said[1]
    del fields["ended"]
    monkeypatch.setattr(Job, "state", lambda job: RUNNING)
    training_turn.tried(lambda job: None, job)
    assert not fields  # the page shows a training that was stopped


def test_a_training_of_a_terminal_can_be_stopped_once_it_reads(folder: Path) -> None:
    page = opened(folder)
    (stop,) = page.button
    assert stop.label == "Stop" and not stop.disabled
    stop.click().run()
    assert json.loads((folder / control.FILE).read_text()) == {"stop": True}
