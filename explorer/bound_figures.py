"""Bounds -> plotly figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from explorer.bound import Bounds, Ranked, Rung
from explorer.figures import BLUE, ORANGE, VERMILION, figure, level, line

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

LEAST = 1.0  # nats that a ladder's axis spans: less would show noise as if it were a gap


def ladder(rungs: Sequence[Rung], best: tuple[str, float] | None, title: str, color: str) -> Figure:
    """Bounds over S with two standard errors where these are known, and a level that they may come up to."""
    x, y, error = (np.array([getattr(each, name) for each in rungs]) for name in ("samples", "value", "error"))
    reach = np.nan_to_num(2 * error)
    bars = {"type": "data", "array": reach, "thickness": 1.5, "width": 0}  # without caps 0 is no bar
    spread = ["—" if np.isnan(each) else f"{2 * each:.2f}" for each in error]
    trace = line(x, y, "bound", color, mode="lines+markers", error_y=bars, marker={"size": 8},
                 customdata=spread,
                 hovertemplate="S = %{x:,}: %{y:.2f} ± %{customdata} nats<extra></extra>")  # fmt: skip
    levels = [level(x, best[1], best[0], VERMILION)] if best else []
    ends = np.concatenate([y - reach, y + reach, [best[1]] if best else []])
    middle = (ends.min() + ends.max()) / 2
    ticks = {"type": "log", "tickvals": x, "ticktext": [f"{each:,}" for each in x]}
    return figure([trace, *levels], title, "draws S", "nats, ± 2 standard errors", hovermode="closest", xaxis=ticks,
                  yaxis={"autorangeoptions": {"include": [middle - LEAST / 2, middle + LEAST / 2]}},
                  showlegend=bool(levels))  # fmt: skip


def both(found: Bounds) -> list[Figure]:
    """The bounds by draws of q(z|x), and naive Monte Carlo on a scale of its own."""
    last = found.posterior[-1]
    exact = None if found.exact is None else ("log p(x), exact", found.exact)
    shown = [ladder(found.posterior, exact, "ELBO to L_S, draws of q(z|x)", BLUE)]
    if found.prior:
        best = exact or (f"L of {last.samples:,} draws of q", last.value)
        shown.append(ladder(found.prior, best, "Naive Monte Carlo, prior draws", ORANGE))
    return shown


def looseness(found: Ranked) -> Figure:
    """The gap of each image, tightest first."""
    best = "log p(x)" if found.exact else "L_S"
    places = np.arange(1, len(found.gaps) + 1)
    trace = line(places, found.gaps, "gap", BLUE, customdata=found.numbers,
                 hovertemplate="image %{customdata}: %{y:.2f} nats<extra></extra>")  # fmt: skip
    return figure([trace], f"How loose the ELBO of each image is: {best} − ELBO", "images, tightest first", "nats",
                  hovermode="closest", height=240)  # fmt: skip
