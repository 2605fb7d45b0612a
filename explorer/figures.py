"""Arrays -> plotly figures, in the project's one template. Streamlit's theme gives fonts, background and grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:  # plotly is imported where a figure is made
    from plotly.graph_objects import Figure

BLUE, ORANGE, VERMILION, SKY = (
    "#0072B2",
    "#E69F00",
    "#D55E00",
    "#56B4E9",
)  # of Okabe and Ito's; each is seen on white and on black
# Ten classes: six of Okabe and Ito's and four more, told apart with protanopia and deuteranopia too, seen on white and
# on black.
CLASSES = (BLUE, ORANGE, VERMILION, SKY, "#009E73", "#CC79A7", "#C01830", "#30D878", "#6048F0", "#E0B0B0")
AMOUNTS = ("#00224E", "#123570", "#3B496C", "#575D6D", "#707173", "#8A8678", "#A59C74", "#C3B369", "#E1CC55",
           "#FEE838")  # fmt: skip  # cividis (Nuñez et al. 2018), evenly spaced
HEIGHT = 320  # px
NARROW, LETTER, SIGN, ROW = 290, 7, 45, 19  # px, about: a plot on a phone, a letter, a legend's line, its row
ROWS = 3  # of words at the top of a plot
GREY = "#888"
MOST = 24  # classes that a figure of bars shows
CONFIG = {"displayModeBar": "hover", "displaylogo": False}


def figure(traces: Sequence[dict[str, Any]], title: str, x: str, y: str, **layout: Any) -> Figure:
    """Traces in the house style: title, axis titles with units, thin grid, no frame, legend under the plot."""
    from plotly.graph_objects import Figure

    axis = {"showline": False, "zeroline": False, "gridwidth": 1, "fixedrange": True}
    return Figure(
        list(traces),
        {
            "title": {"text": title, "font": {"size": 14}, "x": 0, "xanchor": "left", "y": 0.98, "yanchor": "top"},
            "height": HEIGHT,
            "margin": {"l": 56, "r": 8, "t": 36, "b": 48},
            "legend": {"orientation": "h", "y": -0.28, "x": 0},
            "hovermode": "x unified",
            "showlegend": len(traces) > 1,
            "xaxis": {**axis, "title": {"text": x}, **layout.pop("xaxis", {})},
            "yaxis": {**axis, "title": {"text": y}, **layout.pop("yaxis", {})},
            **layout,
        },
    )


def legend_below(names: Sequence[str]) -> dict[str, Any]:
    """For the layout of a figure with these curves: a legend under the title of the axis, and a height that leaves the
    plot its own on a phone; in a wide window, where the legend has fewer rows, the plot is the higher for it.
    """
    beside = max(1, NARROW // (SIGN + LETTER * max(map(len, names), default=0)))
    more = ROW * (math.ceil(len(names) / beside) - 1)
    below = {"orientation": "h", "x": 0, "yref": "container", "y": 0, "yanchor": "bottom", "maxheight": 0.8}
    return {"height": HEIGHT + more, "legend": below}


def marks(said: Sequence[tuple[float, str, str]], low: float, high: float) -> dict[str, Any]:
    """For the layout of a figure whose x goes from `low` to `high`: a vertical line at each place, with its words. They
    stand only where no other ones are, the last ones first, as wide as they are on a phone.
    """
    rows: list[list[tuple[float, float]]] = [[] for _ in range(ROWS)]
    high = max([high, *(x for x, _, _ in said)])  # a change may be later than what was measured
    span = high - low or 1.0
    label = {"yref": "paper", "y": 1, "yanchor": "top", "showarrow": False}
    shapes, notes = [], []
    for x, words, colour in sorted(said, key=lambda mark: -mark[0]):
        shapes.append({"type": "line", "yref": "paper", "y0": 0, "y1": 1, "x0": x, "x1": x,
                       "line": {"width": 1, "dash": "dot", "color": colour}})  # fmt: skip
        wide = LETTER * (len(words) + 1) / NARROW * span
        side, left = ("left", x) if x + wide <= high else ("right", x - wide)
        free = (i for i, row in enumerate(rows) if all(left >= end or left + wide <= start for start, end in row))
        if (row := next(free, None)) is not None:
            rows[row].append((left, left + wide))
            notes.append({**label, "x": x, "text": words, "xanchor": side, "yshift": -14 * row,
                          "font": {"size": 11}})  # fmt: skip
    return {"shapes": shapes[::-1], "annotations": notes[::-1]}


def line(x: np.ndarray, y: np.ndarray, name: str, color: str, **more: Any) -> dict[str, Any]:
    """A curve, whose values are named in the hover text."""
    hover = f"{name} %{{y:.3f}}<extra></extra>"
    return {"type": "scatter", "mode": "lines", "x": x, "y": y, "name": name, "line": {"color": color, "width": 2},
            "hovertemplate": hover, **more}  # fmt: skip


def posterior(labels: Sequence[str], mean: np.ndarray, std: np.ndarray, low: np.ndarray, high: np.ndarray) -> Figure:
    """Mean ± std of q(z|x) for each dimension, over the range where nine tenths of the data's means lie."""
    data = {"type": "bar", "x": list(labels), "y": high - low, "base": low, "name": "5th–95th percentile of the data",
            "marker": {"color": SKY, "opacity": 0.35}, "hoverinfo": "skip"}  # fmt: skip
    hover = "%{x}: %{y:.2f} ± %{error_y.array:.2f}<extra></extra>"
    own = {"type": "scatter", "mode": "markers", "x": list(labels), "y": mean, "name": "this picture, mean ± std",
           "error_y": {"type": "data", "array": std}, "marker": {"color": VERMILION, "size": 7},
           "hovertemplate": hover}  # fmt: skip
    return figure([data, own], "Posterior of each dimension", "dimension, most important first", "z, in its own unit",
                  hovermode="closest")  # fmt: skip


def shares(names: Sequence[str], values: np.ndarray, title: str) -> Figure:
    """The probability of each class (k,), in %; of many, the most probable ones."""
    order = np.sort(np.argsort(-values, kind="stable")[:MOST])
    bar = {
        **bars([names[each] for each in order], 100 * values[order], "probability", BLUE),
        "text": [f"{100 * value:.0f}" if value >= 0.005 else "" for value in values[order]],
        "textposition": "outside",
        "cliponaxis": False,
        "hovertemplate": "%{x}: %{y:.1f} %<extra></extra>",
    }
    axis = {"range": [0, 115], "tickvals": [0, 50, 100]}
    return figure([bar], title, "class", "%", hovermode="closest", xaxis={"type": "category"}, yaxis=axis)


def level(x: np.ndarray, y: float, name: str, color: str) -> dict[str, Any]:
    """A dashed horizontal line over the range of x."""
    ends = np.array([x.min(), x.max()], float)
    return line(ends, np.full(2, y), name, color, line={"color": color, "width": 2, "dash": "dash"})


def point(x: float, y: float, name: str, color: str, symbol: str = "circle") -> dict[str, Any]:
    """One marked place."""
    marker = {"color": color, "size": 10, "symbol": symbol}
    return line(np.array([x]), np.array([y]), name, color, mode="markers", marker=marker)


def bars(x: Sequence[str] | np.ndarray, y: np.ndarray, name: str, color: str, pattern: str = "") -> dict[str, Any]:
    """One series of stacked bars; a pattern tells it from the others without colour."""
    hover = f"{name} %{{y:.3f}}<extra></extra>"
    return {"type": "bar", "x": list(x), "y": y, "name": name, "hovertemplate": hover,
            "marker": {"color": color, "pattern": {"shape": pattern, "size": 6}}}  # fmt: skip
