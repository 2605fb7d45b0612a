"""Figures of paths and of attributes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from explorer import figures
from explorer.paths import Attribute
from explorer.routes import KINDS, SHARES, Route

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

COLORS = [figures.BLUE, figures.ORANGE, figures.VERMILION, figures.SKY]
LOOKS = dict(zip(KINDS, zip(COLORS, ["solid", "dash", "dot", "dashdot"], strict=True), strict=True))


def density(found: Sequence[Route], prior: str) -> Figure:
    """The prior's density along each path."""
    return _along(found, [route.density for route in found], f"Density of {prior}", "log density (nats)")


def distance(found: Sequence[Route]) -> Figure:
    """How far each path is from the data."""
    return _along(
        found, [route.distance for route in found], "Distance to the nearest training latent", "distance in z"
    )


def _along(found: Sequence[Route], values: Sequence[np.ndarray], title: str, y: str) -> Figure:
    traces = [
        figures.line(SHARES, each, route.kind, color, line={"color": color, "width": 2, "dash": dash})
        for route, each in zip(found, values, strict=True)
        for color, dash in [LOOKS[route.kind]]
    ]
    return figures.figure(traces, title, "share of the path", y)


def direction(found: Attribute, labels: Sequence[str]) -> Figure:
    """Each dimension's part in an attribute with its 95 % bootstrap interval, largest first."""
    order = np.abs(found.direction).argsort()[::-1][:20]
    error = {"type": "data", "symmetric": False, "array": (found.high - found.direction)[order],
             "arrayminus": (found.direction - found.low)[order]}  # fmt: skip
    trace = figures.line(np.array(labels)[order], found.direction[order], "difference", figures.BLUE,
                         mode="markers", error_y=error, marker={"size": 7, "color": figures.BLUE})  # fmt: skip
    title = "The attribute in each dimension, 95 % interval"
    return figures.figure([trace], title, "dimension, largest first", "difference of means, in z's unit")
