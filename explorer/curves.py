"""Histories of trainings -> curves, and what is left of a training. No screen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

import trainer
from explorer import figures

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

COLOURS = (figures.BLUE, figures.VERMILION, "#009E73", figures.ORANGE, "#CC79A7", figures.SKY)
COLUMNS = 2000  # drawn along the steps, about: more are no sharper, and take long to send
FAINT = 0.1  # nats; below it a dimension is not drawn as if it carried much
DASHES = ("solid", "dash", "dot", "dashdot")
MARKED = 2  # trainings at most whose changes are marked where several are drawn
NOT_TERMS = ("step", "seconds", "rate", "images_per_second")
History = Sequence[Mapping[str, Any]]


def measures(history: History) -> list[Mapping[str, Any]]:
    """The lines that measure, of all that happened."""
    return [line for line in history if "loss" in line]


def summed(lines: History, name: str) -> np.ndarray:
    """(k,) one number per line, a list of one number per dimension summed; NaN where a line lacks it."""
    values = (line.get(name, math.nan) for line in lines)
    return np.array([sum(value) if isinstance(value, list) else value for value in values], float)


def thinned(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What is drawn of a curve, x (k,) and y (k,): all of it, or of a long one its ends and in each bucket of steps the
    least and the greatest y, so that no spike is lost.
    """
    if len(y) <= COLUMNS:
        return x, y
    size = math.ceil(2 * len(y) / COLUMNS)
    buckets = np.pad(y, (0, -len(y) % size), constant_values=np.nan).reshape(-1, size)
    first = size * np.arange(len(buckets))
    least = first + np.where(np.isnan(buckets), np.inf, buckets).argmin(1)
    greatest = first + np.where(np.isnan(buckets), -np.inf, buckets).argmax(1)
    kept = np.unique([0, *least, *greatest, len(y) - 1])
    return x[kept], y[kept]


def names(history: History) -> list[str]:
    """What the lines measure besides the clock: "loss" first, then terms and knobs."""
    found: dict[str, Any] = {}
    for line in measures(history):
        found.update(line)
    return [name for name in found if name not in NOT_TERMS]


def events(history: History) -> list[tuple[int, str]]:
    """Step and words of each change, refusal and stop."""
    said = []
    for line in history:
        if "changed" in line:
            said.append((line["step"], ", ".join(f"{name} = {value:g}" for name, value in line["changed"].items())))
        elif "refused" in line:
            said.append((line["step"], f"refused: {line['refused']}"))
        elif "stopped" in line:
            said.append((line["step"], "stopped"))
    return said


def changes(history: History, colour: str = figures.GREY) -> list[tuple[float, str, str]]:
    """Step, words and colour of what is marked in a figure: all events but refusals."""
    return [(step, words, colour) for step, words in events(history) if not words.startswith("refused")]


def turned(history: History) -> dict[str, list[float]]:
    """What each knob, or the learning rate, was turned to, one after another."""
    found: dict[str, list[float]] = {}
    for line in history:
        for name, value in line.get("changed", {}).items():
            found.setdefault(name, []).append(value)
    return found


def terms(history: History, knobs: Sequence[str], units: Mapping[str, str]) -> Figure:
    """Loss and terms against the step."""
    lines = measures(history)
    x = np.array([line["step"] for line in lines])
    shown = [name for name in names(history) if name not in knobs]
    traces = [
        figures.line(*thinned(x, summed(lines, name)), _titled(name, lines), COLOURS[i % len(COLOURS)],
                     line={"color": COLOURS[i % len(COLOURS)], "width": 2, "dash": DASHES[i // len(COLOURS) % 4]})
        for i, name in enumerate(shown)
    ]  # fmt: skip
    kinds = {units.get(name, "nats") for name in shown if name != "loss"} or {"nats"}
    unit = ", ".join(sorted(kinds))
    layout = figures.legend_below([trace["name"] for trace in traces])
    said = changes(history)
    marked = figures.marks(said, x[0], x[-1])
    if len(marked["annotations"]) < len(said):
        traces.append(_told(said, x, summed(lines, "loss")))
    return figures.figure(traces, "Loss and its terms, mean per image", "step", unit, **layout, **marked)


def _told(said: Sequence[tuple[float, str, str]], x: np.ndarray, loss: np.ndarray) -> dict[str, Any]:
    """Points on the curve of the loss where something changed: pointed at, they have the words that found no room."""
    steps = np.array([step for step, _, _ in said])
    point = {"color": figures.GREY, "size": 6, "symbol": "diamond"}
    return figures.line(steps, np.interp(steps, x, loss), "", figures.GREY, mode="markers", marker=point,
                        text=[words for _, words, _ in said], hovertemplate="%{text}<extra></extra>",
                        showlegend=False)  # fmt: skip


def _titled(name: str, lines: History) -> str:
    return f"{name}, summed" if isinstance(lines[-1].get(name), list) else name


def per_dimension(history: History) -> Figure | None:
    """Each term that has a number per dimension, as a picture: a row per dimension, the largest at the end on top. Of a
    long history every k-th line is drawn, the last among them.
    """
    lines = measures(history)
    lines = lines[:: -max(1, math.ceil(len(lines) / COLUMNS))][::-1]
    rows: list[tuple[str, np.ndarray]] = []
    for name in names(lines):
        if all(isinstance(line.get(name), list) for line in lines):
            table = np.array([line[name] for line in lines], float)  # (k, d)
            part = name.partition("/")[2] or name
            rows += [(trainer.dimension_name(part, dim), table[:, dim]) for dim in range(table.shape[1])]
    if not rows:
        return None
    rows.sort(key=lambda row: row[1][-1])
    heat = {
        "type": "heatmap", "x": [line["step"] for line in lines], "y": [label for label, _ in rows],
        "z": np.array([values for _, values in rows]), "colorscale": "Viridis", "zmin": 0,
        "zmax": max(FAINT, *(float(values.max()) for _, values in rows)),
        "colorbar": {"title": {"text": "nats"}, "thickness": 12},
        "hovertemplate": "%{y} at step %{x}: %{z:.2f} nats<extra></extra>",
    }  # fmt: skip
    rows_axis = {"type": "category", "nticks": 12}
    title = "KL of each dimension, mean per image"
    return figures.figure([heat], title, "step", "dimension", hovermode="closest", yaxis=rows_axis)


def compared(histories: Mapping[str, History], name: str, unit: str) -> Figure:
    """One measure of several trainings against the step, and what was changed, where that is still told apart."""
    traces: list[dict[str, Any]] = []
    said: list[tuple[float, str, str]] = []
    for i, (run, history) in enumerate(histories.items()):
        lines = [line for line in measures(history) if name in line]
        colour = COLOURS[i % len(COLOURS)]
        style = {"color": colour, "width": 2, "dash": DASHES[i // len(COLOURS) % 4]}
        x = np.array([line["step"] for line in lines])
        traces.append(figures.line(*thinned(x, summed(lines, name)), run, colour, line=style))
        said += changes(history, colour)
    layout = figures.legend_below(list(histories))
    if said and len(histories) <= MARKED:
        steps = [line["step"] for history in histories.values() for line in measures(history)]
        layout |= figures.marks(said, min(steps), max(steps))
    return figures.figure(traces, f"{name}, mean per image", "step", unit, showlegend=True, **layout)


def pace(history: History, batch: int, steps: int) -> tuple[int, float, float] | None:
    """The last step measured, images per second then, and seconds left at that pace; None before the first measures."""
    lines = measures(history)
    if not lines:
        return None
    step, speed = lines[-1]["step"], lines[-1]["images_per_second"]
    each = _seconds_each(lines) or batch / max(speed, 1e-9)
    return step, speed, (steps - step) * each


def _seconds_each(lines: History) -> float:
    """Seconds of a step by the clock of the last measures, whatever a batch holds; 0 where they tell nothing.

    The clock is rounded to 0.01 s, so that it is looked at over a second at least, or from the start.
    """
    start = {"step": 0, "seconds": 0.0}
    clock = [start, *(line for line in lines if "seconds" in line)]
    last = clock[-1]
    before = next((line for line in reversed(clock) if last["seconds"] - line["seconds"] >= 1), start)
    steps = last["step"] - before["step"]
    return float(last["seconds"] - before["seconds"]) / steps if steps > 0 else 0.0


def duration(seconds: float) -> str:
    """12 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def size(count: float) -> str:
    """Bytes for people: 12 MB, 3.4 GB."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{max(count / 1e6, 1):.0f} MB"
