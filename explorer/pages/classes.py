"""Rows are classes, and every column is one style for all of them. Drag a slider, and all follow."""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st

from explorer import address, class_choices, class_figures, classes, controls, live, pictures, progress
from explorer.class_sheet import ANY, BOTH, BY_CLASS, Sheet, Values
from explorer.figures import CONFIG
from explorer.opened import Run

TITLE = "Classes"
ICON = ":material/category:"
NEEDS = "one"
FITS = "shows a class beside a latent of real numbers"


def fits(run: Run) -> bool:
    """Whether there is a class, and a style that all classes can share."""
    return classes.fits(run) and not run.is_line


def show(run: Run) -> None:
    """The page of one checkpoint."""
    st.subheader(f"Classes of {run.checkpoint.name}", anchor=False)
    st.caption(__doc__)
    address.follow_settings(run, _widgets(run))
    _stage(run)


def _widgets(run: Run) -> address.Widgets:
    """What of this page is in its address."""
    key = f"classes/{run.checkpoint.digest}"
    found: dict[str, Any] = {
        "towards": (f"{key}/towards", run.labels[classes.parts(run)[0]].size - 1),
        "seed": (f"{key}/seed", controls.MOST),
    }
    if classes.is_dependent(run):
        found["from"] = (f"{key}/prior", {"class": BY_CLASS, "any": ANY, "both": BOTH})
    return found


@st.fragment
def _stage(run: Run) -> None:
    """All that changes when something is chosen or moved."""
    key = f"classes/{run.checkpoint.digest}"
    toolbar = st.container(horizontal=True, vertical_alignment="bottom", gap="small")
    sheet, revision = class_choices.choose(toolbar, run, key)
    address.say_settings(run, _widgets(run))
    canvas = f"{key}/canvas"
    event = live.reported(canvas)
    values: Values = event.values if event.revision == revision else st.session_state.get(f"{key}/values", {})
    st.session_state[f"{key}/values"] = values
    picked = event.cell(revision, len(sheet.rows) * sheet.columns)
    if picked is not None:
        address.go_to_view(run, sheet.latent(values, picked))
    names = run.class_names(classes.parts(run)[0])
    cells = live.Cells(
        len(sheet.rows), sheet.columns, len(sheet.rows) * sheet.columns, "Click a picture to move on from its latent",
        [names[row] for row in sheet.rows], sheet.titles,
    )  # fmt: skip
    wanted = event.wanted or sheet.first
    prior = _prior(run)
    place, below = st.container(), st.container()  # so that a bar moves no canvas that is there
    with below:
        frames = _frames(sheet, wanted, values)
    with place:
        live.canvas(
            sheet.axes(values, {wanted: frames}), sheet.picture(values), key=canvas,
            revision=revision, caption="a column is one style", cells=cells,
            unit=f"Added to z in every column; 1 = one standard deviation of the {prior} that its z is drawn from",
            fold_label="Dimensions that the data hardly use",
        )  # fmt: skip
    toolbar.download_button(
        "PNG", lambda: pictures.grid_png(list(sheet.pictures(values))), f"{run.checkpoint.name}-classes.png",
        "image/png", icon=":material/download:", on_click="ignore", help="The sheet on screen, as a picture",
    )  # fmt: skip
    _means(run, sheet, names)


def _prior(run: Run) -> str:
    """What z is drawn from: each class's own prior, or one that all share."""
    return BY_CLASS if classes.is_dependent(run) else ANY


def _frames(sheet: Sheet, axis: str, values: Values) -> np.ndarray:
    """The sheets at all stops of an axis, made once for where the others stand."""
    others = sorted((name, value) for name, value in values.items() if name != axis)
    wanted = (sheet.run.checkpoint.digest, tuple(sheet.rows), sheet.prior, sheet.seed, sheet.towards, axis, *others)
    known, frames = st.session_state.get("classes/frames", (None, None))
    if known != wanted:
        frames = sheet.frames(axis, values, progress.shown("Decoding the classes", "stops"))
        st.session_state["classes/frames"] = (wanted, frames)
    found: np.ndarray = frames
    return found


def _means(run: Run, sheet: Sheet, names: list[str]) -> None:
    """What is typical of each class, and, where classes have priors of their own, where these lie."""
    left, right = st.columns([3, 2] if classes.is_dependent(run) else [1, 0.01], gap="large")
    prior, learned = classes.means(run, sheet.rows)
    with left:
        st.markdown("**Class means**")
        for images, what in ((prior, f"the mean of {_prior(run)}"), (learned, "the mean z of its training images")):
            if images is not None:
                picture, width = pictures.crisp(pictures.strip(list(images)), 56 * len(images))
                said = f"{', '.join(names[row] for row in sheet.rows)}: each at {what}"
                st.image(picture, width=width, alt=said)
                st.caption(controls.literal(said))
    if classes.is_dependent(run):
        right.plotly_chart(class_figures.priors(classes.ellipses(run), names), config=CONFIG, height=420)
