"""The two walks of the page Paths: between two images, and along an attribute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st

import trainer
from explorer import charting, controls, live, pictures, route_figures, routes, waves
from explorer.figures import CONFIG
from explorer.opened import Run
from explorer.paths import Attribute
from explorer.routes import EVERY, KINDS, METRIC, REST, Route, Search
from explorer.run import while_open
from explorer.understanding import Understood

SELECTION = "the map's selection"
FRAME = 64  # px, about, of a picture in the row of a path, and of a waveform in it


@dataclass(frozen=True)
class Walk:
    """What the scrubber runs through."""

    key: str  # changes with what the frames depend on
    label: str
    stops: np.ndarray
    frames: np.ndarray
    start: float
    note: str = ""
    unit: str = ""


def between(run: Run, left: st.delta_generator.DeltaGenerator, one: Understood, other: Understood) -> None:
    """The scrubber of one kind of path, and all kinds under it."""
    kind = left.radio("Path", list(KINDS), captions=list(KINDS.values()), help="How to get there",
                      key=f"paths/kind/{st.session_state.get('paths/cancelled', 0)}")  # fmt: skip
    place = left.empty()  # beside the choice, where a bar moves nothing
    every = _routes(run, routes.point_of(run, one.latent), routes.point_of(run, other.latent), kind, place)
    route = next((route for route in every if route.kind == kind), every[0])  # until the slow one is found
    key = f"{route.kind}/{hash((str(one.latent), str(other.latent)))}"
    note = f"{route.length:.1f} moved in all"
    _scrub(run, Walk(key, "Along the path", routes.SHARES, route.frames, 0.0, note), one.seen)
    for each in every:
        _row(each, every, "p(z|y)" if run.labels else run.prior_title)


def _row(route: Route, every: Sequence[Route], prior: str) -> None:
    """A path as a strip, and under it the prior's density and the distance to the data along it."""
    unsettled = "" if route.settled else " Not settled: its search ended early, and a shorter path may exist."
    frames = [waves.drawn(frame) for frame in route.frames[::EVERY]]
    with st.container(gap="xsmall"):
        st.caption(f"**{route.kind}**: the images move {route.length:.1f} in all; at its loneliest it is "
                   f"{route.distance.max():.2f} from the nearest training latent.{unsettled}")  # fmt: skip
        rows, width = pictures.crisp(pictures.strip(frames), FRAME * len(frames))
        st.image(rows, width=width, alt=f"{route.kind}: {len(frames)} images along the path")
        figure = route_figures.under(route, every, prior, frames[0].shape[1])
        said = f"{route.kind}: log density of {prior} and distance to the nearest training latent along the path"
        st.plotly_chart(figure, width=width, config=CONFIG, key=f"paths/under/{route.kind}", alt=said)


def attribute(run: Run, left: st.delta_generator.DeltaGenerator, one: Understood) -> None:
    """The scrubber of an attribute's strength, and how sure and how pure the attribute is."""
    chosen = _chosen_attribute(run, left)
    if chosen is None:
        return
    title, found = chosen
    point = routes.point_of(run, one.latent)
    frames = routes.along(run, point, found.direction, routes.STRENGTHS)
    key = f"{title}/{hash((str(one.latent), found.direction.tobytes()))}"
    unit = "1 = the whole difference of the means"
    _scrub(run, Walk(key, title, routes.STRENGTHS, frames, 0.0, unit=unit), one.seen)
    st.caption(f"Resampled images of the two groups give directions whose cosine with this one is "
               f"{found.agreement:.3f} on average.")  # fmt: skip
    said = f"How much {title} differs in each dimension, with 95 % intervals"
    st.plotly_chart(route_figures.direction(found, run.dims), config=CONFIG, alt=said)
    leaks = routes.leakage(run, found)
    if leaks:
        shares = [round(100 * share) for share in leaks.values()]
        st.dataframe({"factor": list(leaks), "share of its variance that goes along (%)": shares}, hide_index=True)


def _chosen_attribute(run: Run, left: st.delta_generator.DeltaGenerator) -> tuple[str, Attribute] | None:
    """The attribute that a person chose, and what it is called; else what to do about it is on the page."""
    try:
        selected = charting.selected_of(run)
    except (ValueError, OSError) as error:
        st.error(controls.literal(f"The map's selection cannot be read again: {error}. Select on the map once more."))
        selected = None
    classes = routes.classes(run)
    names = [*([SELECTION] if selected else []), *(classes if len(classes) > 1 else [])]
    if not names:
        st.info("Select images on the page Map, and what tells them from the others can be added to an image here.")
        return None
    has = left.selectbox("With", names, key="paths/has", help="The class, or the selection, whose look is added")
    others = [REST] if has == SELECTION else [REST, *(name for name in classes if name != has)]
    lacks = left.selectbox("Without", others, key="paths/lacks", help="The class whose look is taken away")
    title = f"{has} minus {lacks}"
    try:
        if selected and has == SELECTION:
            cloud, group = selected
            return title, Attribute.of(cloud.points, group.mask)
        return title, routes.attribute(run, has, lacks)
    except ValueError as error:
        st.error(controls.literal(f"{title}: {error}. Choose another class, or select others on the map."))
        return None


def _routes(run: Run, a: np.ndarray, b: np.ndarray, kind: str, place: st.delta_generator.DeltaGenerator) -> list[Route]:
    """The paths of all kinds, each computed once for two ends; the slow one only where it is the `kind` wanted, and
    then it is there once it is found. Until then `place` says how far it is.
    """
    wanted = (run.checkpoint.digest, a.tobytes(), b.tobytes())
    known, found = st.session_state.get("paths/routes", (None, {}))
    if known != wanted:
        found = {each: routes.route(run, each, a, b) for each in KINDS if each != METRIC}
        st.session_state["paths/routes"] = (wanted, found)
    of, search = st.session_state.get("paths/search", (None, None))
    if search and (of != wanted or kind != METRIC):
        search.close()
        del st.session_state["paths/search"]
        search = None
    if kind == METRIC and METRIC not in found:
        if search is None:
            search = Search(run, a, b)
            st.session_state["paths/search"] = (wanted, search)
            while_open(search.close)
        if search.found:
            found[METRIC] = search.found
        else:
            with place.container():
                _shortest(search)
    return list(found.values())


def _shortest(search: Search) -> None:
    """How far the search is, or why it ended."""
    if search.problem:
        st.error(controls.literal(f"The search for the shortest path ended early: {search.problem}"))
        return

    def cancel() -> None:
        """A new choice stands at the straight path; written into the old one, a drag that the browser has just told
        of would undo it.
        """
        search.close()
        st.session_state["paths/cancelled"] = st.session_state.get("paths/cancelled", 0) + 1

    def say() -> tuple[float, str]:
        left = f": at most {search.left:.0f} s left" if search.share else ""
        return search.share, f"Looking for the shortest path{left}. The straight one is shown."

    controls.follow(search, say, cancel, key="paths/cancel", help="End the search; the straight path stays")


def _scrub(run: Run, walk: Walk, seen: np.ndarray) -> None:
    """The live picture of one axis, and its GIF."""
    key = f"paths/canvas/{run.checkpoint.digest}/{walk.key}"
    value = live.reported(key).values.get("walk", walk.start)
    nearest = int(np.abs(walk.stops - value).argmin())
    columns = range(0, len(walk.stops), EVERY)
    by = trainer.divisor(seen.shape, len(walk.frames), live.LIMIT - 2 * seen.nbytes) or max(seen.shape[:2])
    frames = trainer.reduced(walk.frames, by)
    axis = live.Axis("walk", walk.label, walk.stops, value, frames, columns, home=walk.start, note=walk.note,
                     nameable=False)  # fmt: skip
    live.canvas([axis], walk.frames[nearest], key=key, revision=0, unit=walk.unit, original=seen)
    st.download_button(
        "GIF", lambda: pictures.gif(walk.frames), f"{run.checkpoint.name}-path.gif", "image/gif", on_click="ignore",
        icon=":material/download:", help="The path forth and back, as an endless GIF",
    )  # fmt: skip
