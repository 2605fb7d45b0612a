"""What a selection has that the rest has not -> plotly figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from explorer.figures import BLUE, ORANGE, VERMILION, bars, figure
from explorer.selection import Difference

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

MOST = 12  # dimensions or classes that a figure shows


def effects(found: Difference, names: Sequence[str]) -> Figure:
    """Cohen's d of the dimensions that differ most, with its interval."""
    order = found.order[:MOST]
    effect = found.effect[order]
    error = {"type": "data", "symmetric": False, "array": found.high[order] - effect,
             "arrayminus": effect - found.low[order], "thickness": 1.5, "color": VERMILION}  # fmt: skip
    hover = "%{x}: %{y:.2f}<extra></extra>"
    trace = {**bars([names[dim] for dim in order], effect, "selection − rest", BLUE), "error_y": error,
             "hovertemplate": hover}  # fmt: skip
    title = "Dimensions that differ most from the rest, with 95 % intervals"
    return figure([trace], title, "dimension", "Cohen's d", hovermode="closest")


def classes(counts: np.ndarray, names: Sequence[str]) -> Figure:
    """How many of each class (k, 2) are selected, and how many are not; the classes with most selected first."""
    order = np.argsort(-counts[:, 0], kind="stable")[:MOST]
    shown = [names[level] for level in order]
    traces = [
        bars(shown, counts[order, 0], "selected", BLUE),
        bars(shown, counts[order, 1] - counts[order, 0], "not selected", ORANGE, "/"),
    ]
    for trace in traces:
        trace["hovertemplate"] = trace["name"] + " %{y:,}<extra></extra>"
    return figure(traces, "Classes", "class", "images", barmode="stack", xaxis={"type": "category"})
