"""Curves of a training and films of its pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import streamlit as st
from configured import save_config

import trainer
from explorer import curves, figures, films, live, run, training_watch
from explorer.job import ENDING, RUNNING, Job

HISTORY: list[dict[str, Any]] = [
    {
        "step": 10,
        "seconds": 1.0,
        "loss": 9.0,
        "kl/z": [1.0, 3.0],
        "beta": 1.0,
        "rate": 1e-3,
        "images_per_second": 320.0,
    },
    {"step": 12, "order": 1, "changed": {"beta": 2.0}},
    {"step": 13, "order": 2, "refused": "no"},
    {
        "step": 20,
        "seconds": 2.0,
        "loss": 7.0,
        "kl/z": [0.5, 2.0],
        "beta": 2.0,
        "rate": 1e-3,
        "images_per_second": 320.0,
    },
    {"step": 25, "order": 3, "stopped": True},
]


def test_curves_are_of_the_measures_and_marks_of_the_changes() -> None:
    figure = curves.terms(HISTORY, ["beta"], {})
    drawn = {trace.name: (list(trace.x), list(trace.y)) for trace in figure.data}
    assert drawn == {"loss": ([10, 20], [9, 7]), "kl/z, summed": ([10, 20], [4, 2.5])}
    assert [shape.x0 for shape in figure.layout.shapes] == [12, 25]
    assert [note.text for note in figure.layout.annotations] == ["beta = 2", "stopped"]
    heat = curves.per_dimension(HISTORY)
    assert heat and list(heat.data[0].y) == ["z0", "z1"] and np.array(heat.data[0].z).tolist() == [[1, 0.5], [3, 2]]
    assert curves.per_dimension([{"step": 1, "loss": 1.0}]) is None
    assert curves.pace(HISTORY, 32, 40) == (20, 320.0, 2.0)
    assert curves.pace([], 32, 40) is None
    assert curves.pace(HISTORY, 128, 40) == (20, 320.0, 2.0)  # of 32 images a batch of 128 has no more
    assert curves.pace(HISTORY[3:], 128, 40) == (20, 320.0, 2.0)
    untimed = [{name: value for name, value in line.items() if name != "seconds"} for line in HISTORY]
    assert curves.pace(untimed, 32, 40) == (20, 320.0, 2.0)
    both = curves.compared({"a": HISTORY, "b": HISTORY[3:]}, "beta", "nats")
    assert [list(trace.y) for trace in both.data] == [[1, 2], [2]]


def test_words_of_changes_do_not_lie_on_one_another() -> None:
    close = [{"step": step, "changed": {"beta": float(step)}} for step in range(100, 110)]
    history = [{"step": 1, "loss": 9.0}, *close, {"step": 1001, "loss": 5.0}, {"step": 1001, "stopped": True}]
    figure = curves.terms(history, [], {})
    assert len(figure.layout.shapes) == 11  # each line stays
    notes = [(note.text, note.yshift, note.xanchor) for note in figure.layout.annotations]
    assert notes == [
        ("beta = 107", -28, "left"), ("beta = 108", -14, "left"), ("beta = 109", 0, "left"), ("stopped", 0, "right"),
    ]  # fmt: skip
    told = figure.data[-1]
    assert "beta = 100" in told.text and len(told.x) == 11 and told.y[0] == pytest.approx(9 - 4 * 99 / 1000)
    assert len(curves.terms(HISTORY, ["beta"], {}).data) == 2  # where all have room, no more is drawn
    early = [history[0], *({"step": 1, "changed": {knob: 2.0}} for knob in ("beta", "rate"))]
    notes = curves.terms(early, [], {}).layout.annotations
    assert len({note.yshift for note in notes}) == 2  # also after one measure alone


def test_the_plot_keeps_its_height_under_many_curves() -> None:
    heights, legends = [], []
    for count in (1, 7, 20):
        layout = curves.compared({f"a-run-of-digits-{i}": HISTORY for i in range(count)}, "loss", "nats").layout
        heights.append(layout.height)
        legends.append((layout.legend.yref, layout.legend.yanchor, layout.legend.y))
        assert (len(layout.shapes) > 0) == (count <= 2)
    one, seven, twenty = heights
    assert one == figures.HEIGHT and one < seven < twenty and twenty - one >= 9 * figures.ROW
    assert set(legends) == {("container", "bottom", 0)}
    both = curves.compared({"a": HISTORY, "b": HISTORY}, "loss", "nats").layout
    assert [shape.line.color for shape in both.shapes[:2]] == list(curves.COLOURS[1::-1])


def test_what_is_being_measured_has_no_time_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(st, "progress", lambda share, text: said.append(text))
    save_config(tmp_path, "vae", {"steps": 3000, "batch": 32})
    (tmp_path / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in HISTORY))
    for state in (RUNNING, ENDING):
        training_watch.headline(Job(str(tmp_path)), state, trainer.describe_running(tmp_path))
    running, ending = said
    assert running.endswith("step 20 of 3,000, 320 images/s, 4 min 58 s left")
    assert ending.endswith("is being measured: step 20 of 3,000")


def test_a_long_curve_keeps_its_spikes_and_its_ends() -> None:
    x, y = np.arange(100_001), np.sin(np.arange(100_001))
    y[777], y[50_500], y[60_000:61_000] = 40, -40, np.nan
    steps, values = curves.thinned(x, y)
    assert len(steps) <= curves.COLUMNS + 2 and (np.diff(steps) > 0).all()
    np.testing.assert_array_equal(values, y[steps])
    assert {0, 777, 50_500, 100_000} <= set(steps.tolist())
    assert np.isnan(values).any()  # a gap stays one
    short = x[: curves.COLUMNS], y[: curves.COLUMNS]
    np.testing.assert_array_equal(curves.thinned(*short), short)


def test_figures_of_a_long_history_are_of_a_few_thousand_columns() -> None:
    lines = [{"step": step, "loss": 1.0, "kl/z": [step, 0.0]} for step in range(9_001)]
    lines[4_321]["loss"] = 99.0
    loss = curves.terms(lines, [], {}).data[0]
    assert 4_321 in loss.x and max(loss.y) == 99 and len(loss.x) <= curves.COLUMNS + 2
    assert 99 in curves.compared({"a": lines}, "loss", "nats").data[0].y
    heat = curves.per_dimension(lines)
    assert heat and heat.data[0].x[-1] == 9_000 and len(heat.data[0].x) <= curves.COLUMNS
    assert np.array_equal(np.array(heat.data[0].z)[1], heat.data[0].x)


def test_a_long_history_is_parsed_once_until_it_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_config(tmp_path, "vae", {})
    found = trainer.describe(tmp_path)
    assert run.history(found) == []
    lines = "".join(json.dumps(line) + "\n" for line in HISTORY)
    (tmp_path / "history.jsonl").write_text(lines)
    assert run.history(found) == HISTORY and run.history(found) is not run.history(found)  # a short one is not kept
    monkeypatch.setattr(run, "LONG", len(lines))
    assert run.history(found) == HISTORY and run.history(found) is run.history(found)
    (tmp_path / "history.jsonl").write_text(2 * lines)
    assert run.history(found) == 2 * HISTORY


def test_words_for_times_and_sizes() -> None:
    assert [curves.duration(value) for value in (12.4, 200, 7500)] == ["12 s", "3 min 20 s", "2 h 5 min"]
    assert [curves.size(value) for value in (10, 12e6, 3.4e9)] == ["1 MB", "12 MB", "3.4 GB"]


@pytest.mark.parametrize(("side", "channels"), [(8, 1), (40, 3)])
def test_a_film_is_an_axis_of_training_steps(side: int, channels: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (41, 8, side, side, channels), np.uint8)
    film = trainer.Film(noise[0], [*range(0, 410, 10)], list(noise), list(noise[::-1]))
    axis = films.axis(film, 400.0)
    assert axis.names[-1] == f"{film.steps[-1]:,}" and len(axis.names) == len(axis.stops)
    assert axis.stops.tolist() == film.steps and axis.frames is not None and axis.frames.nbytes <= live.LIMIT // 2
    sheet = films.sheet(film, 7)
    assert sheet.shape == (3 * side, 8 * side, channels)
    assert np.array_equal(sheet[side : 2 * side, :side], noise[7, 0]) and np.array_equal(
        sheet[2 * side :, :side], noise[33, 0]
    )
    assert side > 8 or np.array_equal(axis.frames[7], sheet)
    live.pack([axis], films.sheet(film, 40), revision=1, unit="steps")
    assert films.nearest(film, 68.0) == 7
