"""Dimensions -> plotly figures: where the codes lie, and what they know of factors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from explorer.dimensions import Encoded
from explorer.figures import AMOUNTS, BLUE, VERMILION, figure

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

CARD = 150  # px high
LOWEST, HIGHEST = 0.5, 1.25  # where the scale of a density ends; the bars of a collapsed dimension go beyond


def histogram(found: Encoded, dim: int, prior: np.ndarray, name: str) -> Figure:
    """The posterior means of one dimension over the density (k,) of its prior at the bins' middles."""
    edges, density = found.edges, found.density(dim)
    middles = (edges[1:] + edges[:-1]) / 2
    bars = {"type": "bar", "x": middles, "y": density, "width": edges[1] - edges[0], "marker": {"color": BLUE},
            "hovertemplate": "means near %{x:.1f}: %{y:.2f}<extra></extra>"}  # fmt: skip
    curve = {"type": "scatter", "mode": "lines", "x": middles, "y": prior, "line": {"color": VERMILION, "width": 2},
             "hovertemplate": "prior at %{x:.1f}: %{y:.2f}<extra></extra>"}  # fmt: skip
    highest = float(np.clip(1.05 * max(density.max(), prior.max()), LOWEST, HIGHEST))
    return figure(
        [bars, curve], f"{name}: {found.importance[dim]:.2f} {found.unit}", "posterior mean", "density", height=CARD,
        showlegend=False, hovermode="closest", bargap=0, margin={"l": 40, "r": 4, "t": 28, "b": 36},
        xaxis={"range": [-found.reach, found.reach]}, yaxis={"range": [0, highest], "nticks": 3},
    )  # fmt: skip


def information(nats: np.ndarray, dims: Sequence[str], factors: Sequence[str], count: int, most: float) -> Figure:
    """What dimensions know of factors (d, f), over `count` images, from 0 to `most` nats, the values written in."""
    heat: dict[str, Any] = {
        "type": "heatmap", "x": list(factors), "y": list(dims), "z": nats.astype(np.float32), "zmin": 0, "zmax": most,
        "colorscale": [[at / (len(AMOUNTS) - 1), colour] for at, colour in enumerate(AMOUNTS)], "xgap": 1, "ygap": 1,
        "showscale": False,
        "hovertemplate": "%{y} knows %{z:.2f} nats of %{x}<extra></extra>",
    }  # fmt: skip
    rows, columns = np.indices(nats.shape).reshape(2, -1)
    values: dict[str, Any] = {
        "type": "scatter", "mode": "text", "x": [factors[column] for column in columns],
        "y": [dims[row] for row in rows], "text": [f"{value:.2f}" for value in nats.flat], "hoverinfo": "skip",
        "textfont": {"color": ["black" if value > most / 2 else "white" for value in nats.flat]},
    }  # fmt: skip
    axis = {"type": "category", "showgrid": False}
    title = f"Mutual information in nats, over {count:,} test images"
    return figure([heat, values], title, "factor", "dimension", hovermode="closest", height=112 + 30 * len(dims),
                  showlegend=False, xaxis=axis, yaxis={**axis, "autorange": "reversed"})  # fmt: skip
