"""Figures of levels: the KL of each, over the data and over a training. Numbers in, figures out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from explorer import figures
from explorer.levels import Course, Level

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

LOOKS = ((figures.BLUE, ""), (figures.ORANGE, "/"))  # of the first checkpoint, and of the one beside it
HEIGHT = 280  # px


def held(found: Mapping[str, Sequence[Level]]) -> Figure:
    """Nats per level of one or two checkpoints, the coarsest on top, with shares and active units as text."""
    traces = []
    for (name, levels), (colour, pattern) in zip(found.items(), LOOKS, strict=False):
        traces.append({
            "type": "bar", "orientation": "h", "name": name, "y": [level.part for level in levels],
            "x": [max(level.nats or 0.0, 0.0) for level in levels],  # below 0 there is no room for the text
            "text": [said(level) for level in levels],
            "textposition": "outside", "cliponaxis": False, "textfont": {"size": 11},
            "hovertemplate": f"%{{y}} of {name}: %{{text}}<extra></extra>",
            "marker": {"color": colour, "pattern": {"shape": pattern, "size": 6}},
        })  # fmt: skip
    most = max((level.nats or 0.0 for levels in found.values() for level in levels), default=0.0)
    return figures.figure(
        traces, "KL of each level, training images", "nats", "", hovermode="closest", height=HEIGHT,
        xaxis={"range": [0, 2.2 * max(most, 0.1)]},
        yaxis={"autorange": "reversed", "type": "category", "showgrid": False},
        margin={"l": 36, "r": 8, "t": 36 + 40 * (len(traces) > 1), "b": 40},
        uniformtext={"mode": "show", "minsize": 10},
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
    )  # fmt: skip


def words(found: Mapping[str, Sequence[Level]]) -> str:
    """What `held` shows, for who does not see it."""
    each = {name: "; ".join(f"{level.part} {said(level)}" for level in levels) for name, levels in found.items()}
    return "KL of each level, training images. " + ". ".join(f"{name}: {levels}" for name, levels in each.items())


def said(level: Level) -> str:
    """What a level holds, in words."""
    active = f"{level.active}/{level.dims} active"
    if level.nats is None or level.share is None:
        return active
    nats, share = round(level.nats, 1) + 0, round(100 * level.share)  # 0 has no sign
    return f"{nats:.1f} nats, {share} %, {active}".replace("-", "−")


def over_training(found: Course, name: str, most: float) -> Figure:
    """The KL of all levels on top of each other against the step, up to `most` nats; the coarsest level lowest."""
    traces = []
    mode = "lines" if len(found.steps) > 1 else "markers"  # one step makes no line
    for at, part in enumerate(found.parts):
        colour = figures.CLASSES[at % len(figures.CLASSES)]
        hover = f"{part}: %{{y:.2f}} nats, %{{customdata}} dimensions carry some<extra></extra>"
        traces.append(figures.line(found.steps, found.nats[:, at], part, colour, mode=mode, stackgroup="levels",
                                   customdata=found.carrying[:, at], hovertemplate=hover))  # fmt: skip
    return figures.figure(traces, f"KL while {name} was trained", "step", "nats, mean per image", height=HEIGHT,
                          yaxis={"range": [0, 1.05 * most]}, legend={"orientation": "v", "x": 1.02, "y": 1},
                          margin={"l": 48, "r": 8, "t": 36, "b": 40})  # fmt: skip
