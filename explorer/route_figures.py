"""Figures of paths and of attributes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from explorer import figures
from explorer.paths import Attribute
from explorer.routes import EVERY, SHARES, Route

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

LINES, TITLES = 44, 16  # px, the height of a small chart and of its title


def under(route: Route, every: Sequence[Route], prior: str, width: int) -> Figure:
    """The prior's density along a path and its distance to the data, to stand under its strip: each frame over its own
    place, for frames `width` px wide with a line of 1 px between them. All paths have the same scales.
    """
    frames = len(SHARES[::EVERY])
    half = width / (2 * (frames - 1) * (width + 1))  # of a frame, in shares of the path
    height = 2 * (LINES + TITLES)
    below, above = LINES / height, (LINES + TITLES) / height  # where the lower chart ends, and the upper one begins
    titles = [f"Log density of {prior} (nats)", "Distance to the nearest training latent, in its unit"]
    return figures.figure(
        [_along(route.density, figures.BLUE, "nats", "y"), _along(route.distance, figures.VERMILION, "away", "y2")],
        "", "", "", showlegend=False, height=height, hovermode="x",
        margin={"l": 0, "r": 0, "t": 0, "b": 0, "pad": 0},
        xaxis={"range": [-half, 1 + half], "tickvals": SHARES[::EVERY], "showticklabels": False, "showgrid": True,
               "anchor": "y2", "automargin": False},
        yaxis={"domain": [above, above + below], **_scale([each.density for each in every])},
        yaxis2={"domain": [0, below], **_scale([np.zeros(1), *(each.distance for each in every)])},
        annotations=[
            {"text": text, "x": 0, "y": y, "xref": "paper", "yref": "paper", "xanchor": "left", "yanchor": "bottom",
             "showarrow": False, "font": {"size": 11}, "borderpad": 0}
            for text, y in zip(titles, [above + below, below], strict=True)
        ],
    )  # fmt: skip


def _along(values: np.ndarray, color: str, unit: str, axis: str) -> dict[str, Any]:
    hover = f"%{{x:.0%}} of the path: %{{y:.2f}} {unit}<extra></extra>"
    return figures.line(SHARES, values, "", color, yaxis=axis, hovertemplate=hover)


def _scale(values: Sequence[np.ndarray]) -> dict[str, Any]:
    """An axis from the least to the most of all values, which stand at its right end, beside the lines."""
    ends = [float(min(each.min() for each in values)), float(max(each.max() for each in values))]
    room = 0.08 * max(ends[1] - ends[0], 1e-6)  # for the line's own width
    return {
        "range": [ends[0] - room, ends[1] + room], "tickvals": ends, "tickformat": ".1f", "tickfont": {"size": 10},
        "side": "right", "ticklabelposition": "inside", "ticklabeloverflow": "allow", "automargin": False,
        "zeroline": False, "fixedrange": True,
    }  # fmt: skip


def direction(found: Attribute, labels: Sequence[str]) -> Figure:
    """Each dimension's part in an attribute with its 95 % bootstrap interval, largest first."""
    order = np.abs(found.direction).argsort()[::-1][:20]
    error = {"type": "data", "symmetric": False, "array": (found.high - found.direction)[order],
             "arrayminus": (found.direction - found.low)[order]}  # fmt: skip
    trace = figures.line(np.array(labels)[order], found.direction[order], "difference", figures.BLUE,
                         mode="markers", error_y=error, marker={"size": 7, "color": figures.BLUE})  # fmt: skip
    title = "The attribute in each dimension, 95 % interval"
    return figures.figure([trace], title, "dimension, largest first", "difference of means, in the dimension's unit")
