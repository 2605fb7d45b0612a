"""Drag along a path between two images, or add what tells one class from another to an image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import streamlit as st

from explorer import address, answers, controls, live, pictures, route_figures, routes, sources
from explorer.figures import CONFIG
from explorer.opened import Run
from explorer.routes import KINDS, REST, Route
from explorer.understanding import Understood

TITLE = "Paths"
ICON = ":material/route:"
NEEDS = "one"
FITS = "walks through a latent of real numbers"
BETWEEN, ATTRIBUTE = "Between two images", "Along an attribute"
EVERY = 4  # of the pictures of a path, one in so many stands in its row


def fits(run: Run) -> bool:
    """Whether what lies between two latents is a latent."""
    return run.is_continuous


def show(run: Run) -> None:
    """The page of one checkpoint."""
    st.subheader(f"Paths in the latent space of {run.checkpoint.name}", anchor=False)
    st.caption(__doc__)
    address.say_where({"checkpoint": run.checkpoint.name})
    _page(run)


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


@st.fragment
def _page(run: Run) -> None:
    halves = st.container(horizontal=True, gap="large")
    left, stage = halves.container(width=280), halves.container(width="stretch")
    with left:
        offered = [BETWEEN, ATTRIBUTE] if len(routes.classes(run)) > 1 else [BETWEEN]
        walk = st.radio(
            "Walk", offered, key="paths/walk", help="Towards another image, or towards another class's look"
        )
        ends = sources.ends(run, 2 if walk == BETWEEN else 1)
    if not ends:
        stage.info("Choose, upload, draw or photograph a picture, and the path appears here.")
        return
    with stage:
        try:
            found = [answer.found for answer in answers.answers([run], ends)[0]]
        except ValueError as error:
            st.error(controls.literal(str(error)))
            return
        if walk == BETWEEN:
            _between(run, left, found[0], found[1])
        else:
            _attribute(run, left, found[0])


def _between(run: Run, left: st.delta_generator.DeltaGenerator, one: Understood, other: Understood) -> None:
    """The scrubber of one kind of path, and all kinds under it."""
    every = _routes(run, routes.point_of(run, one.latent), routes.point_of(run, other.latent))
    kind = left.radio("Path", list(KINDS), captions=list(KINDS.values()), key="paths/kind", help="How to get there")
    route = next(route for route in every if route.kind == kind)
    key = f"{kind}/{hash((str(one.latent), str(other.latent)))}"
    note = f"{route.length:.1f} moved in all"
    _scrub(run, Walk(key, "Along the path", routes.SHARES, route.frames, 0.0, note), one.seen)
    for each in every:
        rows, width = pictures.crisp(pictures.strip(list(each.frames[::EVERY])), 64 * len(each.frames[::EVERY]))
        st.image(rows, width=width)
        st.caption(f"{each.kind}: the images move {each.length:.1f} in all; at its loneliest it is "
                   f"{each.distance.max():.2f} from the nearest training latent")  # fmt: skip
    charts = st.columns(2)
    charts[0].plotly_chart(route_figures.density(every, run.prior_title), config=CONFIG)
    charts[1].plotly_chart(route_figures.distance(every), config=CONFIG)


def _attribute(run: Run, left: st.delta_generator.DeltaGenerator, one: Understood) -> None:
    """The scrubber of an attribute's strength, and how sure and how pure the attribute is."""
    names = routes.classes(run)
    has = left.selectbox("With", names, key="paths/has", help="The class whose look is added")
    others = [REST, *(name for name in names if name != has)]
    lacks = left.selectbox("Without", others, key="paths/lacks", help="The class whose look is taken away")
    try:
        found = routes.attribute(run, has, lacks)
    except ValueError as error:
        st.error(controls.literal(f"{has} minus {lacks}: {error}. Choose another class."))
        return
    point = routes.point_of(run, one.latent)
    frames = routes.along(run, point, found.direction, routes.STRENGTHS)
    key = f"{has}/{lacks}/{hash(str(one.latent))}"
    unit = "1 = the whole difference of the means"
    _scrub(run, Walk(key, f"{has} minus {lacks}", routes.STRENGTHS, frames, 0.0, unit=unit), one.seen)
    st.caption(f"Resampled images of the two classes give directions whose cosine with this one is "
               f"{found.agreement:.3f} on average.")  # fmt: skip
    labels = [f"{part}{dim}" for part, kind in run.gaussian.items() for dim in range(kind.dims)]
    st.plotly_chart(route_figures.direction(found, labels), config=CONFIG)
    leaks = routes.leakage(run, found)
    if leaks:
        shares = [round(100 * share) for share in leaks.values()]
        st.dataframe({"factor": list(leaks), "share of its variance that goes along (%)": shares}, hide_index=True)


def _routes(run: Run, a: np.ndarray, b: np.ndarray) -> list[Route]:
    """All kinds of paths, computed once for two ends."""
    wanted = (run.checkpoint.digest, a.tobytes(), b.tobytes())
    known, found = st.session_state.get("paths/routes", (None, []))
    if known != wanted:
        bar, found = st.progress(0.0, "Finding paths …"), []
        for route in routes.routes(run, a, b):
            found.append(route)
            bar.progress(len(found) / len(KINDS), f"Finding paths: {len(found)} of {len(KINDS)}")
        bar.empty()
        st.session_state["paths/routes"] = (wanted, found)
    return found


def _scrub(run: Run, walk: Walk, seen: np.ndarray) -> None:
    """The live picture of one axis, and its GIF."""
    key = f"paths/canvas/{run.checkpoint.digest}/{walk.key}"
    value = live.reported(key).values.get("walk", walk.start)
    nearest = int(np.abs(walk.stops - value).argmin())
    columns = range(0, len(walk.stops), EVERY)
    axis = live.Axis("walk", walk.label, walk.stops, value, walk.frames, columns, home=walk.start, note=walk.note,
                     nameable=False)  # fmt: skip
    live.canvas([axis], walk.frames[nearest], key=key, revision=0, unit=walk.unit, original=seen)
    st.download_button(
        "GIF", lambda: pictures.gif(walk.frames), f"{run.checkpoint.name}-path.gif", "image/gif", on_click="ignore",
        icon=":material/download:", help="The path forth and back, as an endless GIF",
    )  # fmt: skip
