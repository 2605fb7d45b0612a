"""Each point is an image, where the model puts it. Rest on the map to see what is there; draw around what you want."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st

from explorer import address, bringing, charting, choosing, gallery, projecting
from explorer import map as canvas
from explorer.atlas import Shown
from explorer.bringing import Brought
from explorer.cloud import Cloud
from explorer.gallery import Query
from explorer.opened import Run
from explorer.run import kept

TITLE = "Map"
ICON = ":material/scatter_plot:"
NEEDS = "one"
NARROW = """<style>@media (max-width: 1100px) {
.st-key-map_halves { flex-direction: column-reverse; }
div:has(> .st-key-map_controls) { width: 100%; }
.st-key-map_controls.st-key-map_controls { width: 100%; flex-flow: row wrap; align-items: end; }
.st-key-map_controls.st-key-map_controls > div { width: 216px; }
}</style>"""  # the map first, its controls under it


def show(run: Run) -> None:
    """The page of one checkpoint."""
    st.subheader(f"Map of {run.checkpoint.name}", anchor=False)
    st.caption(__doc__.replace("an image", "a waveform") if run.is_line else __doc__)
    address.say_where({"checkpoint": run.checkpoint.name})
    _page(run)


@st.fragment
def _page(run: Run) -> None:
    st.html(NARROW)
    halves = st.container(horizontal=True, gap="medium", key="map_halves")
    left, stage = halves.container(width=232, key="map_controls"), halves.container(width="stretch")
    with left:
        cloud, points = charting.points(run)
        if not np.isfinite(cloud.points).all():
            st.error("This model's latents are not finite numbers, so there is nothing to map: its training diverged.")
            return
        colour = _colour(cloud)
        projected = projecting.choose(cloud, points, run.checkpoint.path)
        shown = kept(lambda: Shown(cloud, points, projected, f"map/{points}"), "shown", points, projected.key,
                     str(projected.umap))  # fmt: skip
        behind = cloud.can_decode and st.toggle(
            "Decodes behind the points", shown.projected.title == projecting.ITSELF,
            key=f"map/behind/{shown.projected.title}", help="What the decoder makes of each place in sight",
        )  # fmt: skip
        choosing.query_box(shown)
        brought = bringing.bring(run, shown)
    with stage:
        _stage(shown, colour, behind, brought)
    _below(shown, brought)


def _colour(cloud: Cloud) -> str:
    """The column that colours the points."""
    digest = cloud.run.checkpoint.digest
    labels = {name: column.label for name, column in cloud.columns.items()}
    return st.selectbox(
        "Colour by", list(labels), format_func=labels.__getitem__, key=f"map/colour/{digest}",
        help="What a point's colour says; the legend is beside the map",
    )  # fmt: skip


@st.fragment
def _stage(shown: Shown, colour: str, behind: bool, brought: Sequence[Brought]) -> None:
    """The map, which asks for pictures as the pointer rests: then only this runs again."""
    report = canvas.reported(shown.key, shown.revision, len(shown.cloud))
    if report.chosen and choosing.take(shown, report.chosen):
        st.rerun()
    canvas.draw(charting.packet(shown, colour, behind), key=shown.key)
    with st.container(gap=None, height=1, border=False):
        for topic, packet in charting.answers_to(shown, report.asked, brought).items():
            canvas.feed(packet, key=f"{shown.key}/{topic}")


def _below(shown: Shown, brought: Sequence[Brought]) -> None:
    """What is selected, and the neighbours of what was clicked or brought."""
    selected = choosing.selected(shown)
    if selected and selected.row < 0:
        gallery.show(shown, selected.mask, selected.what)
    elif selected:
        gallery.one(shown, selected.row)
    for each in brought:
        gallery.neighbours(shown, Query(each.name, each.point, each.image))
    if not selected and not brought:
        shows = f"their {shown.cloud.run.kind}s appear here"
        st.info(f"Draw around points with Lasso or Box, click one, or write a query: {shows}.")
