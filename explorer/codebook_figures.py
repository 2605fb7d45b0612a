"""Figures of a codebook: how its codes are used, where, by which classes, and how they lie. Counts in, figures out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from explorer import figures
from explorer.rate import Rate

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from trainer import CodeCounts


def usage(counts: CodeCounts, code: int) -> Figure:
    """How often each code is used, most used first, on a log scale; those never used have no bar."""
    order = (-counts.usage).argsort(kind="stable")
    share = 100 * counts.usage[order] / max(1, counts.usage.sum())
    rank = np.arange(1, len(order) + 1)
    bars = {"type": "bar", "x": rank, "y": np.where(share > 0, share, np.nan), "customdata": order, "name": "use",
            "marker": {"color": np.where(order == code, figures.VERMILION, figures.BLUE)},
            "hovertemplate": "code %{customdata}: %{y:.3g} % of cells<extra></extra>"}  # fmt: skip
    title = f"{counts.used} of {len(order)} codes in use, {counts.dead} dead, perplexity {counts.perplexity:.1f}"
    tens = {"type": "log", "dtick": 1, "minor": {"showgrid": False}}
    return figures.figure([bars], title, f"codes, most used first; code {code} in red", "% of cells", bargap=0.1,
                          hovermode="closest", yaxis=tens)  # fmt: skip


def where(counts: CodeCounts, code: int, kind: str) -> Figure:
    """At which places of the grid a code stands; `kind` is what one of the data is."""
    here = counts.counts.astype(float)
    share = 100 * here[..., code] / np.maximum(here.sum(-1), 1)
    return _map(share, f"Where code {code} stands", f"% of {kind}s")


def entropy(counts: CodeCounts) -> Figure:
    """How much the code at each place tells."""
    size = len(counts.usage)
    bits = f"bits; log₂ {size} = {np.log2(size):.1f}"
    return _map(counts.entropy, f"Entropy of each place, {counts.bits_empirical:.0f} bits in all", bits)


def _map(values: np.ndarray, title: str, unit: str) -> Figure:
    """Of a grid (h, w); one row, as of a waveform, is a line of places."""
    line = len(values) == 1
    across, place = ("place", "place %{x}") if line else ("column", "row %{y}, column %{x}")
    heat = {"type": "heatmap", "z": values, "x": np.arange(1, values.shape[1] + 1), "y": np.arange(1, len(values) + 1),
            "colorscale": "Viridis", "zmin": 0, "zmax": max(float(values.max()), 1e-9),
            "colorbar": {"title": {"text": unit, "side": "right"}, "thickness": 12},
            "hovertemplate": f"{place}: %{{z:.2f}} {unit.split(';')[0]}<extra></extra>"}  # fmt: skip
    rows: dict[str, Any] = {"autorange": "reversed", "showgrid": False, "dtick": _tick(len(values))}
    rows |= {"visible": False} if line else {"scaleanchor": "x", "constrain": "domain"}  # cells are squares
    columns = {"showgrid": False, "constrain": "domain", "dtick": _tick(values.shape[1])}
    return figures.figure([heat], title, across, "row", hovermode="closest", xaxis=columns, yaxis=rows)


def _tick(count: int) -> int:
    return max(1, -(-count // 8))


def by_class(counts: CodeCounts, names: Sequence[str]) -> Figure:
    """Which codes each class uses, in % of its cells; codes from the most to the least used."""
    assert counts.by_class is not None
    order = (-counts.usage).argsort(kind="stable")[: counts.used]
    table = counts.by_class[:, order].astype(float)
    share = 100 * table / np.maximum(table.sum(1, keepdims=True), 1)
    heat = {"type": "heatmap", "z": share, "y": list(names), "colorscale": "Viridis", "zmin": 0,
            "zmax": float(share.max()),
            "customdata": np.broadcast_to(order, share.shape),
            "colorbar": {"title": {"text": "% of the class's cells", "side": "right"}, "thickness": 12},
            "hovertemplate": "class %{y}, code %{customdata}: %{z:.2f} % of its cells<extra></extra>"}  # fmt: skip
    return figures.figure([heat], "Use by class", "codes in use, most used first", "class",
                          hovermode="closest", xaxis={"showgrid": False},
                          yaxis={"type": "category", "showgrid": False, "autorange": "reversed"})  # fmt: skip


def plane(places: np.ndarray, share: float, counts: CodeCounts, code: int) -> Figure:
    """The codebook as a map: dots as large as codes are used, crosses for those that never are."""
    usage, used = counts.usage, counts.usage > 0
    sizes = 5 + 25 * np.sqrt(usage / max(1, usage.max()))
    traces = []
    for name, rows, colour, symbol in (
        ("in use", used, figures.BLUE, "circle"),
        ("unused", ~used, figures.ORANGE, "x"),
        (f"code {code}", np.arange(len(usage)) == code, figures.VERMILION, "circle-open"),
    ):
        if rows.any():
            traces.append({
                "type": "scatter", "mode": "markers", "name": name, "x": places[rows, 0], "y": places[rows, 1],
                "customdata": np.flatnonzero(rows), "hovertemplate": "code %{customdata}<extra></extra>",
                "marker": {"size": sizes[rows] + (4 if symbol == "circle-open" else 0), "color": colour,
                           "symbol": symbol, "opacity": 0.75, "line": {"width": 2 if "open" in symbol else 0}},
            })  # fmt: skip
    title = f"Codebook, {100 * share:.0f} % of its variance"
    return figures.figure(traces, title, "first principal direction", "second", hovermode="closest", dragmode=False,
                          legend={"orientation": "h", "y": -0.28, "x": 0, "itemsizing": "constant"})  # fmt: skip


def rates(found: Sequence[Rate], title: str) -> Figure:
    """Bits of each way to write an image or a waveform."""
    names, bits = [rate.name for rate in found], np.array([rate.bits for rate in found])
    colours = [figures.BLUE if rate.name.startswith("codes") else figures.ORANGE for rate in found]
    bars = {"type": "bar", "orientation": "h", "y": names, "x": bits, "marker": {"color": colours}, "name": "bits",
            "text": [f"{value:,.0f}" for value in bits], "textposition": "auto", "cliponaxis": False,
            "customdata": [rate.note for rate in found],
            "hovertemplate": "%{x:,.0f} bits: %{customdata}<extra></extra>"}  # fmt: skip
    return figures.figure([bars], title, "bits", "", hovermode="closest", yaxis={"autorange": "reversed"},
                          margin={"l": 170, "r": 24, "t": 36, "b": 48})  # fmt: skip
