"""How tight the bounds on log p(x) of a picture are, and why an ELBO is loose."""

from __future__ import annotations

import zlib

import numpy as np
import streamlit as st

from explorer import address, answers, bound, bound_looks, controls, progress, sources
from explorer.opened import Run
from explorer.run import kept

TITLE = "Bound"
ICON = ":material/vertical_align_top:"
NEEDS = "one"
FITS = "bounds the likelihood of pictures, where a model has a density p(x, z)"
PICTURE, SAMPLE = "A picture", "A sample of the model"
ON = {"on": True, "off": False}


def fits(run: Run) -> bool:
    """Whether there is a likelihood of pictures to bound."""
    return run.has_density and not run.is_line


def show(run: Run) -> None:
    """The page of one checkpoint."""
    st.subheader(f"Bounds by {run.checkpoint.name}", anchor=False)
    st.caption(__doc__)
    controls.refusals(run)
    address.follow_settings(run, _widgets(run))
    if "image" in address.asked_for():
        st.session_state["sources/kind"] = sources.DATA
    _page(run)


def _widgets(run: Run) -> address.Widgets:
    """What of this page is in its address."""
    key = f"bound/{run.checkpoint.digest}"
    return {
        "of": (f"{key}/of", {"picture": PICTURE, "sample": SAMPLE}),
        "image": ("sources/one", run.numbers - 1),
        "seed": (f"{key}/seed", controls.MOST),
        "draws": (f"{key}/draws", {str(draws): draws for draws in bound.DRAWS}),
        "gaps": (f"{key}/gaps", ON),
        "ranking": (f"{key}/rank", ON),
    }


def _say(run: Run) -> None:
    """In the address, what is on screen; a picture of a person's own stays out of it."""
    widgets = dict(_widgets(run))
    of_sample = st.session_state.get(widgets["of"][0]) == SAMPLE
    if of_sample or st.session_state.get("sources/kind") != sources.DATA:
        del widgets["image"]
    if not of_sample:
        del widgets["seed"]
    address.say_settings(run, widgets)


@st.fragment
def _page(run: Run) -> None:
    left, stage = controls.halves("bound")
    key = f"bound/{run.checkpoint.digest}"
    with left:
        try:
            image = _image(run, key)
        except ValueError as error:
            stage.error(controls.literal(str(error)))
            return
        st.session_state.setdefault(f"{key}/draws", bound.usual_draws(run))
        samples = st.selectbox(
            "Draws", bound.DRAWS, format_func="{:,}".format, key=f"{key}/draws",
            help="S of the tightest bound; more take longer", persist_state="session",
        )  # fmt: skip
        optimised = st.toggle("Optimise q", key=f"{key}/gaps", help="Tells the two gaps of the ELBO apart, by finding "
                              "the best q for this picture alone", persist_state="session")  # fmt: skip
        ranking = st.toggle("Rank images", key=f"{key}/rank", help="Which test images have the loosest ELBO",
                            persist_state="session")  # fmt: skip
    _say(run)
    if image is None:
        stage.info("Choose, upload, draw or photograph a picture, and its bounds appear here.")
        return
    with stage:
        about = (run.version, zlib.crc32(image.tobytes()), samples)
        answers.picture("what is bounded", run.looked_at(image), 168)
        st.caption(controls.literal(bound.setting(run)))
        bound_looks.bounds(
            kept(lambda: bound.bounds(run, image, samples, progress.shown("Drawing", "portions")), "bounds", *about)
        )
        if optimised:
            _gaps(run, image, samples, about)
        if ranking and run.numbers:
            track = progress.shown("Ranking", "images")
            bound_looks.ranked(run, kept(lambda: bound.ranked(run, track), "ranked", run.version, run.images_are_here))
        elif ranking:
            st.info(controls.literal(run.fetching))
        _subspace(run)


def _image(run: Run, key: str) -> np.ndarray | None:
    """The picture (h, w, c) in [0, 1], as the model sees it. Raises ValueError where nothing is left to see."""
    st.session_state.setdefault(f"{key}/of", PICTURE)
    of = PICTURE if bound.sees_parts(run) else st.segmented_control(
        "Bound of", [PICTURE, SAMPLE], required=True, key=f"{key}/of",
        help="A picture, or one that the model draws: z from the prior, then x from p(x|z)", persist_state="session",
    )  # fmt: skip
    if of == SAMPLE:
        seed = st.number_input("Seed", 0, controls.MOST, key=f"{key}/seed", help="The same seed, the same sample")
        return bound.drawn(run, int(seed))
    chosen = sources.one(run)
    return None if chosen is None else chosen[1]


def _gaps(run: Run, image: np.ndarray, samples: int, about: tuple[str, int, int]) -> None:
    if not bound.has_gaps(run, image):
        st.info("The two gaps are told apart where q(z|x) is a Gaussian with a diagonal covariance; here it is not.")
        return
    track = progress.shown("Optimising q", "steps")
    bound_looks.gaps(kept(lambda: bound.gaps(run, image, samples, track), "gaps", *about))


def _subspace(run: Run) -> None:
    """Of a linear model: what is best, beside what it is."""
    if not bound.is_linear(run):
        return
    if not run.images_are_here:
        st.info(controls.literal(run.fetching))
        return
    track = progress.shown("Reading the training data", "portions")
    bound_looks.subspace(kept(lambda: bound.subspace(run, track), "subspace", run.version))
