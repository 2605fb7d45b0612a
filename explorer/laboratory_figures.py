"""The laboratory's figures: the bound over two parameters, along a descent, and how noisy its gradients are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from explorer import figures
from explorer.laboratory import NAMES, NEAR, RANGES, REPARAMETERISED, SCORE, LinearVAE

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

FINE = 81  # values of each parameter that the bound is drawn at
DEEP = 4.0  # nats below what the data allow, where the colours end
MEANING = {"a": "a, encoder's slope", "b": "b, encoder's offset", "c": "c, decoder's slope", "d": "d, decoder's offset"}
HERE, BEST, PATH = "here", "best of this plane", "descent"


def surface(model: LinearVAE, at: np.ndarray, path: np.ndarray, across: str, up: str) -> Figure:
    """The ELBO over two parameters, the others as `at` (4,) has them; `path` (n, 4) is drawn on it."""
    i, j = NAMES.index(across), NAMES.index(up)
    x, y = values(across), values(up)
    grid = np.repeat(at[:, None, None], FINE, 1).repeat(FINE, 2)  # (4, y, x)
    grid[i], grid[j] = x, y[:, None]
    top, best = model.evidence, model.best_on(at, (across, up))
    colours = [[place / (len(figures.AMOUNTS) - 1), colour] for place, colour in enumerate(figures.AMOUNTS)]
    traces: list[dict[str, Any]] = [
        {
            "type": "contour", "x": x, "y": y, "z": model.elbo(grid).clip(top - DEEP, top).astype(np.float32),
            "zmin": top - DEEP, "zmax": top, "colorscale": colours, "showlegend": False,
            "contours": {"start": top - DEEP, "end": top, "size": DEEP / 16}, "line": {"width": 0.5},
            "colorbar": {"title": {"text": "nats"}, "thickness": 12, "tickformat": ".1f"},
            "hovertemplate": f"{across} %{{x:.2f}}, {up} %{{y:.2f}}: ELBO %{{z:.3f}} nats<extra></extra>",
        },
        {
            "type": "scatter", "mode": "lines", "x": path[:, i], "y": path[:, j], "name": PATH,
            "line": {"color": figures.VERMILION, "width": 2}, "customdata": model.elbo(path.T),
            "hovertemplate": "descent: ELBO %{customdata:.3f} nats<extra></extra>",
        },
        *(
            _mark(name + elsewhere(place, at, (across, up)), place[[i, j]], float(model.elbo(place)), colour, symbol)
            for (name, place), colour, symbol in zip(
                [(BEST, best), *model.places.items(), (HERE, at)],
                (figures.SKY, "#FFFFFF", figures.ORANGE, figures.VERMILION),
                ("diamond", "star", "x", "circle"), strict=True,
            )
        ),
    ]  # fmt: skip
    title = f"ELBO over {across} and {up}, the others as they stand"
    return figures.figure(
        traces, title, MEANING[across], MEANING[up], height=490, hovermode="closest",
        xaxis={"range": [x[0], x[-1]], "showgrid": False}, yaxis={"range": [y[0], y[-1]], "showgrid": False},
        legend={"orientation": "v", "y": -0.17, "yanchor": "top", "x": 0},  # as high whatever its words are
    )  # fmt: skip


def elsewhere(place: np.ndarray, at: np.ndarray, shown: Sequence[str]) -> str:
    """Where a place (4,) lies if not on the plane of what is `shown` through `at` (4,), in words; else ""."""
    off = [f"{name} = {value:.2f}".replace("-", "−") for name, value, own in zip(NAMES, place, at, strict=True)
           if name not in shown and abs(value - own) > NEAR]  # fmt: skip
    return f", off the plane at {', '.join(off)}" if off else ""


def values(name: str) -> np.ndarray:
    """Of a parameter, a little beyond its range, so that a mark at an end is seen."""
    low, high = RANGES[name]
    return np.linspace(low - 0.03 * (high - low), high + 0.03 * (high - low), FINE)


def _mark(name: str, place: np.ndarray, elbo: float, colour: str, symbol: str) -> dict[str, Any]:
    marker = {"color": colour, "size": 13, "symbol": symbol, "line": {"color": "#000000", "width": 1.5}}
    return {"type": "scatter", "mode": "markers", "x": place[:1].tolist(), "y": place[1:].tolist(), "name": name,
            "marker": marker, "hovertemplate": f"{name}: ELBO {elbo:.3f} nats<extra></extra>"}  # fmt: skip


def along(model: LinearVAE, path: np.ndarray) -> Figure:
    """The ELBO at each step of a descent, under the most that any model reaches."""
    steps = np.arange(len(path))
    traces = [
        figures.line(steps, model.log_likelihood(path.T), "E log p(x)", figures.ORANGE),
        figures.line(steps, model.elbo(path.T), "ELBO", figures.BLUE),
        figures.level(steps, model.evidence, "the most E log p(x)", figures.VERMILION),
    ]
    axis = {"range": [model.evidence - DEEP, model.evidence + 0.05 * DEEP]}
    return figures.figure(traces, "Along the descent", "step", "nats", yaxis=axis)


def variances(model: LinearVAE, at: np.ndarray, count: int, seed: int) -> Figure:
    """Of the gradient's components, by both estimates from the same draws."""
    traces = [
        {**figures.bars(NAMES, model.variances(at, way, count, seed), way, colour, pattern),
         "hovertemplate": f"{way}, %{{x}}: %{{y:.3g}}<extra></extra>"}
        for way, colour, pattern in ((REPARAMETERISED, figures.BLUE, ""), (SCORE, figures.ORANGE, "/"))
    ]  # fmt: skip
    return figures.figure(
        traces, f"Variance of one-draw gradients ({count:,} draws)", "component", "variance, nats² per unit²",
        barmode="group", hovermode="closest", yaxis={"type": "log", "range": [-3, 5], "dtick": 1},
    )  # fmt: skip
