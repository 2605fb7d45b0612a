"""What was selected on a map: its images and reconstructions, what sets it apart, files of it, and neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from explorer import exports, nearness, pictures, selection, selection_figures
from explorer.atlas import Shown
from explorer.cloud import Cloud, Column
from explorer.controls import literal
from explorer.figures import CONFIG
from explorer.nearness import Near
from explorer.run import kept

if TYPE_CHECKING:
    from torch import Tensor

MOST = 48  # images that are shown
NEIGHBOURS = 8
SIDE, WIDE = 56, 240  # px, about, of a picture, and of a waveform


@dataclass(frozen=True)
class Query:
    """A point whose neighbours are shown: of the cloud, or of a picture that a person brought."""

    title: str
    point: np.ndarray  # (d,)
    image: Tensor | None  # (1, c, h, w) in [0, 1]
    row: int = -1  # its position in the cloud


def show(shown: Shown, mask: np.ndarray, what: str) -> None:
    """The points of a selection (n,) bool; `what` says how they were selected."""
    cloud, rows = shown.cloud, np.flatnonzero(mask)
    st.subheader(f"{len(rows):,} of {len(cloud):,} selected", anchor=False)
    some = selection.spread_over(rows, MOST)
    fewer = f" {len(some)} are shown, evenly over all." if len(some) < len(rows) else ""
    above = f"{cloud.run.kind.capitalize()}s above their reconstructions."
    alone = f"Decodes, for the {cloud.run.kind}s are not on this machine."
    st.caption(literal(f"{what}.{fewer} {above if cloud.images is not None else alone}"))
    _files(shown, rows)
    _tiles(cloud, some)
    mean, counts, effects = st.columns([1, 2, 3])
    with mean:
        _mean(cloud, rows)
    known = cloud.columns.get("class")
    if known:
        found = selection.class_counts(known.values, mask, len(known.levels))
        drawn, said = selection_figures.classes(found, known.levels), "How many of each class are selected"
        counts.plotly_chart(drawn, config=CONFIG, key="map/classes", alt=said)
    name = f"{shown.points}/{hash(mask.tobytes())}"
    try:
        with effects, st.spinner("Comparing the selection with the rest …"):
            different = kept(lambda: selection.differences(cloud.points, mask), "differences", name)
    except ValueError as error:
        effects.caption(literal(str(error)))
    else:
        drawn = selection_figures.effects(different, cloud.dims)
        effects.plotly_chart(drawn, config=CONFIG, key="map/effects", alt=drawn.layout.title.text)


def _tiles(cloud: Cloud, rows: np.ndarray) -> None:
    images, decodes = cloud.pictures(rows), cloud.decodes(rows)
    layers = [layer for layer in (images, decodes) if layer is not None]
    if not layers:
        st.caption(literal(cloud.run.fetching))
        return
    with st.container(horizontal=True, gap="small"):
        for at, row in enumerate(rows):
            _picture(cloud, [layer[at] for layer in layers], _name(cloud, row), _name(cloud, row))


def _picture(cloud: Cloud, stack: Sequence[np.ndarray], name: str, caption: str) -> None:
    """Pictures of one point, one above the other."""
    side = WIDE if cloud.run.is_line else SIDE
    parts = [part for image in stack for part in (image, np.full((1, *image.shape[1:]), 128, np.uint8))][:-1]
    image, _ = pictures.crisp(np.concatenate(parts), side * len(stack))
    st.image(image, caption=literal(caption), width=side, alt=f"{name}, with its decode" if len(stack) > 1 else name)


def _name(cloud: Cloud, row: int) -> str:
    known = cloud.columns.get("class")
    name = f" · {known.levels[known.values[row]]}" if known else ""
    return f"{cloud.ids[row]}{name}"


def _mean(cloud: Cloud, rows: np.ndarray) -> None:
    if not cloud.can_decode:
        return
    image, _ = pictures.crisp(cloud.decoded(cloud.points[rows].mean(0)[None])[0], 168)
    said = "The decode of their mean latent"
    st.image(image, width=168, alt=said)
    st.caption(said)


def _files(shown: Shown, rows: np.ndarray) -> None:
    cloud, places = shown.cloud, shown.projected.places
    name = f"{cloud.run.checkpoint.name}-selection"
    files = {
        "CSV": (f"{name}.csv", "text/csv", lambda: exports.csv(cloud, places, rows),
                "Ids, places, all that is known of each point, and the latents, as text"),
        "Parquet": (f"{name}.parquet", "application/vnd.apache.parquet", lambda: exports.parquet(cloud, places, rows),
                    "The same as a typed table, for pandas or polars"),
        "Projector": (f"{name}-projector.zip", "application/zip", lambda: exports.projector(cloud, rows),
                      "Latents, labels and pictures for TensorBoard's Embedding Projector"),
    }  # fmt: skip
    with st.container(horizontal=True, gap="small"):
        for label, (file, mime, make, help) in files.items():
            st.download_button(
                label, make, file, mime, on_click="ignore", icon=":material/download:", help=help, key=f"map/{label}"
            )


def one(shown: Shown, row: int) -> None:
    """The point that was clicked: what it is, and its neighbours."""
    cloud, rows = shown.cloud, np.array([row])
    image = cloud.batch(rows) if cloud.images is not None else None
    known = [
        f"{column.title} {_value(column, row)}" for name, column in cloud.columns.items() if name not in cloud.dims
    ]
    st.caption(literal(", ".join(known)))
    _tiles(cloud, rows)
    neighbours(shown, Query(f"{cloud.split} {cloud.run.kind} {cloud.ids[row]}", cloud.points[row], image, row))


def _value(column: Column, row: int) -> str:
    if column.levels:
        return column.levels[column.values[row]]
    return f"{column.values[row]:.1f} {column.unit}".rstrip().replace("-", "−")


def neighbours(shown: Shown, query: Query) -> None:
    """The nearest points to one, exactly, in each way that there is to be near."""
    st.subheader(literal(f"Neighbours of {query.title}"), anchor=False)
    image = b"" if query.image is None else query.image.numpy().tobytes()
    name = f"{shown.points}/{query.row}/{hash((query.point.tobytes(), image))}"
    with st.spinner("Comparing with all points …"):
        ways = kept(lambda: _ways(shown.cloud, query), "neighbours", name)
    for title, near in ways.items():
        st.caption(title)
        _row(shown.cloud, near)


def _ways(cloud: Cloud, query: Query) -> dict[str, Near]:
    """Neighbours, by what makes them near."""
    spread = None if query.image is None else nearness.spread_of(cloud, query.image)
    own = query.row
    ways = {"In latent space, Euclidean distance": nearness.in_latents(cloud, query.point, NEIGHBOURS, own=own)}
    if spread is not None:
        near = nearness.in_latents(cloud, query.point, NEIGHBOURS, spread, own)
        ways["In latent space, in standard deviations of q(z|x)"] = near
    if cloud.images is not None and query.image is not None:
        parts = "samples" if cloud.run.is_line else "pixels"
        ways[f"In {parts}, Euclidean distance"] = nearness.in_pixels(cloud, query.image, NEIGHBOURS, own)
    return ways


def _row(cloud: Cloud, near: Near) -> None:
    found = cloud.pictures(near.rows) if cloud.images is not None else cloud.decodes(near.rows)
    with st.container(horizontal=True, gap="small"):
        for at, (row, distance) in enumerate(zip(near.rows, near.distances, strict=True)):
            if found is not None:
                _picture(cloud, [found[at]], _name(cloud, row), f"{distance:.2f}")
            else:
                st.caption(literal(f"{_name(cloud, row)}: {distance:.2f}"))
