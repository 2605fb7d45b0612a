"""Widgets that choose how points are laid out on the plane, and that follow UMAP while it works."""

from __future__ import annotations

import threading
import zlib
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import streamlit as st

from explorer import controls, layouts, projection, run
from explorer.atlas import Projected
from explorer.cloud import Cloud
from explorer.controls import MOST, literal
from explorer.layouts import Layout
from explorer.projection import Umap

PCA, UMAP, ITSELF, TWO = "PCA", "UMAP", "z itself", "Two dimensions"
ABOUT = {
    PCA: "The two directions in which the latents vary most",
    UMAP: "Keeps neighbours together; distances between far groups mean little",
    ITSELF: "The latent has two dimensions: nothing is lost",
    TWO: "Two dimensions as they are; the others are not seen",
}
FEWEST = 4  # points that UMAP can lay out
AT_WORK = "map/layout"  # where this session keeps the one layout that works for it
PHASES = {"starting": "UMAP is starting", "loading": "Loading UMAP", "neighbours": "Finding neighbours",
          "compiling": "Compiling UMAP", "layout": "Laying out"}  # fmt: skip


def choose(cloud: Cloud, points: str, folder: Path) -> Projected:
    """How the cloud named `points` is laid out. While UMAP is at work it is PCA, and a line says how far UMAP is."""
    kinds = [ITSELF, PCA, UMAP] if cloud.points.shape[1] == 2 else [PCA, UMAP, TWO]
    key = f"map/projection/{points.split('/')[0]}"
    if key not in st.session_state:
        ready = len(cloud) >= FEWEST and layouts.kept(cloud.points, Umap(), folder) is not None
        st.session_state[key] = UMAP if ready and ITSELF not in kinds else kinds[0]
    kind = st.selectbox("Projection", kinds, key=key, help=". ".join(f"{name}: {ABOUT[name]}" for name in kinds))
    if kind == UMAP:
        return _umap(cloud, points, folder)
    if kind == TWO:
        return _two(cloud, points)
    if kind == ITSELF:
        return Projected(cloud.points.astype(np.float32), ITSELF, "itself", (0, 1), linear=True)
    return _pca(cloud, points)


def _pca(cloud: Cloud, points: str) -> Projected:
    return Projected(run.kept(lambda: projection.pca(cloud.points), "pca", points), PCA, "pca", linear=True)


def _two(cloud: Cloud, points: str) -> Projected:
    names, order = cloud.dims, np.argsort(-cloud.points.var(0), kind="stable") if len(cloud) else np.arange(2)
    if len(names) < 2:
        return _pca(cloud, points)
    left, right = st.columns(2)
    digest = cloud.run.checkpoint.digest
    help = "The dimension along this side of the map"
    x = left.selectbox("Across", names, index=int(order[0]), key=f"map/across/{digest}", help=help)
    y = right.selectbox("Up", names, index=int(order[1]), key=f"map/up/{digest}", help=help)
    axes = (names.index(x), names.index(y))
    return Projected(cloud.points[:, axes].astype(np.float32), f"{x} and {y}", f"two/{x}/{y}", axes, linear=True)


def _options() -> Umap:
    with st.popover("UMAP's options", width="stretch", help="What the layout depends on; a change makes a new one"):
        start = Umap()
        return Umap(
            n_neighbors=st.number_input(
                "Neighbours", 2, 200, start.n_neighbors, key="map/umap/neighbours",
                help="Few: fine structure. Many: the whole.",
            ),
            min_dist=st.number_input(
                "Least distance", 0.0, 0.99, start.min_dist, 0.05, key="map/umap/distance",
                help="How closely points may be packed, in units of the map",
            ),
            metric=st.selectbox(
                "Metric", ["euclidean", "cosine"], key="map/umap/metric", help="How near two latents are",
            ),
            seed=st.number_input("Seed", 0, MOST, start.seed, key="map/umap/seed", help="The same seed, the same map"),
        )  # fmt: skip


def _umap(cloud: Cloud, points: str, folder: Path) -> Projected:
    options = _options()
    if len(cloud) < FEWEST:
        st.caption(f"UMAP needs {FEWEST} points or more; the map shows PCA.")
        return _pca(cloud, points)
    place = st.empty()  # also where nothing is followed: what comes below it keeps its place
    wanted = _name(points, options)
    layout = _at_work(wanted)
    known, places = st.session_state.get("map/places", ("", None))
    if layout and layout.places is not None:  # new points are placed among these, whatever another machine kept
        places = layout.places
    elif known != wanted:
        places = layouts.kept(cloud.points, options, folder)
    if places is not None:
        st.session_state["map/places"] = (wanted, places)
        return Projected(places, UMAP, f"umap/{zlib.crc32(places.tobytes())}", umap=options)
    if layout is None:
        layout = _start(cloud, options, wanted)
    with place.container():
        if layout.problem:
            _stopped(layout.problem)
        else:
            _follow(layout, "", "The map shows PCA.", "map/cancel", "End UMAP; the map goes on with PCA")
    return _pca(cloud, points)


def _name(points: str, options: Umap) -> str:
    return f"{points}/umap/" + "/".join(map(str, astuple(options)))


def _at_work(wanted: str) -> Layout | None:
    """This session's layout of that name; another one that still works is ended."""
    known, layout = st.session_state.get(AT_WORK, ("", None))
    if layout and known != wanted:
        layout.close()
        del st.session_state[AT_WORK]
        return None
    found: Layout | None = layout
    return found


def _start(cloud: Cloud, options: Umap, wanted: str) -> Layout:
    layout = Layout(cloud.points, options)
    st.session_state[AT_WORK] = (wanted, layout)
    run.while_open(layout.close)
    return layout


def _again() -> None:
    st.session_state.pop(AT_WORK, None)


def _stopped(problem: str) -> None:
    if problem == "cancelled":
        st.caption("UMAP was cancelled; the map shows PCA.")
    else:
        st.error(literal(f"UMAP ended early, so the map shows PCA: {problem}"))
    st.button("Start UMAP", on_click=_again, icon=":material/play_arrow:", help="Lay the points out by UMAP")


def _follow(layout: Layout, before: str, after: str, key: str, help: str) -> None:
    """How far UMAP is, between two pieces of a sentence, until it is done; then the whole page shows its places."""

    def say() -> tuple[float, str]:
        phase, done, of, left = layout.progress
        count = f"epoch {done} of {of}" if phase == "layout" else f"{done:,} of {of:,}"
        counted = f": {count}" if of > 1 else ""
        time_left = "" if left is None else f", {left:.0f} s left"
        return (done / of if of > 1 else 0.0), f"{before}{PHASES.get(phase, phase)}{counted}{time_left}. {after}"

    controls.follow(layout, say, layout.close, key, help)


# -- new points --------------------------------------------------------------------------------------------------------


@dataclass
class Placing:
    """UMAP's places of new points, which its process is asked for once; the first time it has to be compiled."""

    points: np.ndarray
    places: np.ndarray | None = None
    failed: bool = False

    def ask(self, layout: Layout) -> None:
        """In the background, until there is an answer or the process ends."""

        def work() -> None:
            while self.places is None and not layout.problem:
                self.places = layout.place(self.points, wait=600)
            self.failed = self.places is None

        threading.Thread(target=work, daemon=True).start()


def place_by_umap(cloud: Cloud, points: str, projected: Projected, new: np.ndarray) -> np.ndarray | None:
    """UMAP's places (q, 2) of new points (q, d); None until it is ready, and a line says that it is on its way."""
    options = projected.umap
    assert options
    wanted = _name(points, options)
    place = st.empty()  # also where nothing is followed: what comes below it keeps its place
    layout = _at_work(wanted)
    if layout is None:  # the places were kept; the process that places others is not there
        layout = _start(cloud, options, wanted)
    if layout.problem or layout.places is None:
        with place.container():
            _not_ready(layout)
        return None
    key, placing = st.session_state.get("map/placing", ("", None))
    name = f"{wanted}/{hash(new.tobytes())}"
    if key != name or placing.failed:
        placing = Placing(new)
        placing.ask(layout)
        st.session_state["map/placing"] = (name, placing)
    if placing.places is None and not placing.failed:
        with place.container():
            _await(placing)
    found: np.ndarray | None = placing.places
    return found


def _not_ready(layout: Layout) -> None:
    """How far UMAP is; or why it places nothing, and the way to try again, for by itself it might end so for ever."""
    if not layout.problem:
        _follow(layout, "To place pictures by UMAP: ", "", "map/cancel_placing", "Leave them among their neighbours")
        return
    if layout.problem != "cancelled":
        st.error(literal(f"UMAP ended early, so that it places no pictures: {layout.problem}"))
    st.button("Place by UMAP", on_click=_again, icon=":material/play_arrow:", help="Make UMAP ready once more")


@st.fragment(run_every=0.5)
def _await(placing: Placing) -> None:
    if placing.places is not None or placing.failed:
        st.rerun()
    st.caption("UMAP is placing the picture; the first time takes about a minute.")
