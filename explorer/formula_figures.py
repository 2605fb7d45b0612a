"""The bars under the formulas: what each dimension of a term adds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from explorer import figures, formulas
from explorer.formulas import Written

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


def dimensions(written: Written) -> Figure:
    """One bar for each dimension, part by part, each part in a colour and a place of its own."""
    traces = [
        {**figures.bars(names, values, name, figures.CLASSES[place % len(figures.CLASSES)]),
         "hovertemplate": "%{x}: %{y:.2f} nats<extra></extra>"}
        for place, (name, names, values) in enumerate(formulas.by_dimension(written))
    ]  # fmt: skip
    several = len(traces) > 1
    return figures.figure(
        traces, "Each dimension's share, before any weight", "dimension, largest first" + ", level by level" * several,
        "nats", hovermode="closest", showlegend=False, xaxis={"type": "category", "nticks": 20},
    )  # fmt: skip
