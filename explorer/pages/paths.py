"""Drag along a path between two images, or add what tells one class from another to an image."""

from __future__ import annotations

import streamlit as st

from explorer import address, answers, controls, sources, walks
from explorer.opened import Run

TITLE = "Paths"
ICON = ":material/route:"
NEEDS = "one"
FITS = "walks through the pictures of a latent of real numbers"
BETWEEN, ATTRIBUTE = "Between two images", "Along an attribute"


def fits(run: Run) -> bool:
    """Whether what lies between two latents is a latent, and has a picture: a waveform is none."""
    return run.is_continuous and not run.is_line


def show(run: Run) -> None:
    """The page of one checkpoint."""
    st.subheader(f"Paths in the latent space of {run.checkpoint.name}", anchor=False)
    st.caption(__doc__)
    address.say_where({"checkpoint": run.checkpoint.name})
    _page(run)


@st.fragment
def _page(run: Run) -> None:
    left, stage = controls.halves("paths")
    with left:
        walk = st.radio(
            "Walk", [BETWEEN, ATTRIBUTE], key="paths/walk",
            help="Towards another image, or towards the look of a class or of what you selected on the map",
        )  # fmt: skip
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
            walks.between(run, left, found[0], found[1])
        else:
            walks.attribute(run, left, found[0])
