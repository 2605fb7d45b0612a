"""Classes -> plotly figures: their priors, and how they are taken for one another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from explorer.classes import Ellipses
from explorer.figures import AMOUNTS, BLUE, CLASSES, SKY, figure

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from explorer.classification import Told

COUNTED = 20  # classes up to which counts are written into their cells


def priors(found: Ellipses, names: Sequence[str]) -> Figure:
    """One standard deviation of each class's p(z|y), with its name at the mean, and where its data lie on average."""
    traces: list[dict[str, Any]] = []
    for row, name in enumerate(names):
        colour = CLASSES[row % len(CLASSES)]
        x, y = found.outlines[row].T
        traces.append({"type": "scatter", "mode": "lines", "x": x, "y": y, "line": {"color": colour, "width": 2},
                       "hoverinfo": "skip"})  # fmt: skip
        traces.append({"type": "scatter", "mode": "text", "x": found.centres[row, :1], "y": found.centres[row, 1:],
                       "text": [f"<b>{name}</b>"], "textposition": "top right",
                       "textfont": {"color": colour, "size": 15},
                       "hovertemplate": f"mean of p(z|{name})<extra></extra>"})  # fmt: skip
        if found.learned is not None:
            traces.append({"type": "scatter", "mode": "markers", "x": found.learned[row, :1],
                           "y": found.learned[row, 1:], "marker": {"color": colour, "symbol": "x", "size": 7},
                           "hovertemplate": f"mean latent of {name}<extra></extra>"})  # fmt: skip
    titles = [f"principal axis {n}, {100 * share:.0f} % of the variance" for n, share in enumerate(found.shares, 1)]
    ends = np.concatenate([found.outlines.reshape(-1, 2), *([] if found.learned is None else [found.learned])])
    low, high = ends.min(0), ends.max(0)
    x, y = np.stack([low, high], 1) + 0.05 * (high - low)[:, None] * np.array([-1, 1])
    return figure(traces, "p(z|y): one standard deviation; × mean of the data", *titles, showlegend=False,
                  hovermode="closest", xaxis={"range": x}, yaxis={"scaleanchor": "x", "range": y},
                  height=420)  # fmt: skip


def confusion(counts: np.ndarray, names: Sequence[str]) -> Figure:
    """A row per true class (k, k), coloured by the share of the row, the counts written in where there is room; empty
    for a class without images.
    """
    totals = counts.sum(1, keepdims=True)
    shares = np.where(totals > 0, 100 * counts / np.maximum(totals, 1), np.nan)
    labels, written = [str(name) for name in names], len(names) <= COUNTED
    gap = int(written)  # px; between the cells of many classes it would leave nothing of them
    heat: dict[str, Any] = {
        "type": "heatmap", "x": labels, "y": labels, "z": shares.astype(np.float32), "zmin": 0, "zmax": 100,
        "colorscale": [[at / (len(AMOUNTS) - 1), colour] for at, colour in enumerate(AMOUNTS)],
        "xgap": gap, "ygap": gap,
        "colorbar": {"title": {"text": "% of row"}, "thickness": 12}, "showscale": not written, "customdata": counts,
        "hoverongaps": False,
        "hovertemplate": "%{y} taken for %{x}: %{customdata:,} images, %{z:.1f} % of its class<extra></extra>",
    }  # fmt: skip
    if written:
        heat |= {"text": np.where(counts > 0, counts.astype(str), ""), "texttemplate": "%{text}"}
    axis = {"type": "category", "showgrid": False}
    return figure([heat], "Test images by class; lighter: more of its row", "inferred class", "true class",
                  hovermode="closest", height=520, xaxis=axis, yaxis={**axis, "autorange": "reversed"},
                  margin={"l": 44, "r": 0, "t": 36, "b": 40})  # fmt: skip


def by_labels(found: Sequence[Told], own: str) -> Figure:
    """The test error of checkpoints against how many labels they were told, with 95 % intervals."""
    traces: list[dict[str, Any]] = []
    for name, colour, symbol, some in (
        ("others", SKY, "circle", [each for each in found if each.name != own]),
        (own, BLUE, "diamond", [each for each in found if each.name == own]),
    ):
        rates = np.array([each.errors.rate for each in some])
        low, high = np.array([each.errors.interval for each in some]).reshape(-1, 2).T
        error = {"type": "data", "symmetric": False, "array": high - rates, "arrayminus": rates - low}
        if some:
            traces.append({
                "type": "scatter", "mode": "markers", "name": name, "x": [each.labels for each in some],
                "y": rates, "error_y": error,
                "text": [each.name for each in some], "marker": {"color": colour, "symbol": symbol, "size": 10},
                "hovertemplate": "%{text}: %{y:.2f} % with %{x:,} labels<extra></extra>",
            })  # fmt: skip
    told = sorted({each.labels for each in found if each.labels})
    ticks = {"type": "log", "tickvals": told, "ticktext": [f"{labels:,}" for labels in told]}
    return figure(traces, "Test error by labels told, 95 % intervals", "labels told", "test error (%)",
                  hovermode="closest", xaxis=ticks, yaxis={"rangemode": "tozero"})  # fmt: skip
