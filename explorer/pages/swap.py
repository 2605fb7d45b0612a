"""Which class a picture is of, and the same z decoded as every class: one style for all classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st

from explorer import address, answers, classes, controls, figures, pictures, sources
from explorer.opened import Run
from explorer.understanding import Understood

TITLE = "Swap"
ICON = ":material/swap_horiz:"
NEEDS = "one"
FITS = "changes the class of a picture"
LARGE, SMALL = 168, 84  # px, about, of a picture
MOST = 20  # classes at once, the most probable ones
PLAIN, RELATIVE = "z itself", "its place in p(z | y)"


def fits(run: Run) -> bool:
    """Whether there is a class, and a style that is kept when the class changes."""
    return classes.fits(run) and not run.is_line


def show(run: Run) -> None:
    """The page of one checkpoint."""
    st.subheader(f"Class swaps by {run.checkpoint.name}", anchor=False)
    st.caption(__doc__)
    address.follow_settings(run, _widgets(run))
    _page(run)


def _widgets(run: Run) -> address.Widgets:
    """What of this page is in its address."""
    digest = run.checkpoint.digest
    found: dict[str, Any] = {"class": (f"swap/class/{digest}", run.labels[classes.parts(run)[0]].size - 1)}
    if classes.is_dependent(run):
        found["kept"] = (f"swap/kept/{digest}", {"z": PLAIN, "place": RELATIVE})
    return found


@st.fragment
def _page(run: Run) -> None:
    _stage(run)
    address.say_settings(run, _widgets(run))


def _stage(run: Run) -> None:
    """The picture and what it is as other classes, or why it is not there."""
    left, stage = controls.halves("swap")
    with left:
        subjects = sources.choose(run, "Picture from", "sources", 1)
        kept = PLAIN
        if classes.is_dependent(run):
            kept = st.radio(
                "What is kept", [RELATIVE, PLAIN], key=f"swap/kept/{run.checkpoint.digest}", persist_state="session",
                help="Classes have priors of their own: z can stay where it is, or where it lies in its class's prior",
            )  # fmt: skip
    if not subjects:
        stage.info("Choose, upload, draw or photograph a picture, and it appears here as every class.")
        return
    with left:
        changed = sources.adjust(subjects[0], run)
    try:
        found = answers.answers([run], subjects[:1], changed)[0][0].found
    except ValueError as error:
        stage.error(controls.literal(str(error)))
        return
    part = classes.parts(run)[0]
    given = np.array(found.latent[part])
    names, best = run.class_names(part), int(given.argmax())
    title = f"q({part}|x): {names[best]}, {100 * given[best]:.0f} %"
    shown = np.sort(np.argsort(-given, kind="stable")[:MOST])
    left.plotly_chart(figures.shares([names[i] for i in shown], given[shown], title), config=figures.CONFIG, height=260)
    if how := run.model.facts().get("a class that is not given"):
        left.caption(controls.literal(f"{part} is {how}."))
    with stage:
        _swaps(run, found, names, best, kept == RELATIVE, shown)


def _swaps(run: Run, found: Understood, names: list[str], best: int, relative: bool, shown: np.ndarray) -> None:
    """The picture as one class beside it, and as every class that is shown."""
    z = classes.swapped(run, found.latent, relative)
    images = run.decode(z)
    key, _ = _widgets(run)["class"]
    st.session_state.setdefault(key, (best + 1) % len(names))
    picked = st.selectbox("As class", range(len(names)), format_func=names.__getitem__, key=key, width=180,
                          persist_state="session", help="The class that stands beside the picture")  # fmt: skip
    colours, limit = pictures.difference((images[picked].astype(float) - found.seen).mean(-1) / 255)
    with st.container(horizontal=True, gap="small"):
        answers.picture("the picture", found.seen, LARGE)
        answers.picture(f"as {names[picked]}", images[picked], LARGE)
        answers.picture(f"difference, ±{limit:.2f}", colours, LARGE * colours.shape[1] // colours.shape[0])
    every = "Every class" if len(shown) == len(names) else f"The {MOST} most probable of {len(names)} classes"
    st.markdown(f"**{every}, the same style**")
    with st.container(horizontal=True, gap="small"):
        for i in shown:
            answers.picture(names[i], images[i], SMALL)
    with st.container(horizontal=True, gap="small"):
        if st.button("Explore its latent", icon=":material/tune:", help="Opens the traversals of the class beside it"):
            address.go_to_view(run, run.plain(z, picked))
        st.download_button(
            "PNG", lambda: pictures.grid_png([images[shown]]), f"{run.checkpoint.name}-swap.png", "image/png",
            icon=":material/download:", on_click="ignore", help="The picture as every class, in one row",
        )  # fmt: skip
