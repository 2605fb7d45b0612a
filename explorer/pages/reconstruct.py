"""Bring a picture: what the model takes in, what it gives back, and what else it would have said."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st

from explorer import address, answers, controls, pictures, sources
from explorer.answers import Answer
from explorer.opened import Run
from explorer.understanding import interpolations, prior_draws
from trainer import Checkpoint

TITLE = "Reconstruct"
ICON = ":material/compare:"
NEEDS = "many"
FITS = "shows pictures"
BETWEEN = 8  # pictures from the first to the second, both included


def fits(run: Run) -> bool:
    """Whether there are pictures: a waveform is none."""
    return not run.is_line


def show(run: Run, others: Sequence[Checkpoint]) -> None:
    """The page of one checkpoint, with others beside it."""
    st.subheader(f"Reconstructions of {run.checkpoint.name}", anchor=False)
    st.caption(__doc__)
    address.say_where({"checkpoint": run.checkpoint.name})
    _page(run, others)


@st.fragment
def _page(run: Run, others: Sequence[Checkpoint]) -> None:
    halves = st.container(horizontal=True, gap="large")
    left, stage = halves.container(width=280), halves.container(width="stretch")
    with left:
        subjects = sources.choose(run)
        runs = [run, *controls.beside(run, others, on_rival=sources.several)]
    if not subjects:
        stage.info("Choose, upload, draw or photograph a picture, and its reconstruction appears here.")
        return
    with left:
        subject = sources.one_of(subjects)
        changed = sources.adjust(subject, run)
    with stage:
        if len(subjects) > 1 or len(runs) > 1:
            _side_by_side(answers.answers(runs, subjects))
        try:
            found = [row[0] for row in answers.answers(runs, [subject], changed)]
        except ValueError as error:
            st.error(controls.literal(str(error)))
            return
        for answer in found:
            answers.show(answer, alone=len(runs) == 1)
        if not subject.ready:
            answers.steps(found[0])
        st.download_button(
            "Download as PNG", lambda: answers.sheet(found), "reconstruction.png", "image/png", on_click="ignore",
            icon=":material/download:", help="Everything about this picture as one picture",
        )  # fmt: skip


def _side_by_side(found: Sequence[Sequence[Answer]]) -> None:
    """All pictures through all models; with several models, what each draws and what lies between the first two."""
    stand_in = found[0][0].subject.stand_in
    what = f"Decodes of training images by {found[0][0].run.checkpoint.name}" if stand_in else "What the model sees"
    _strip(what, [answer.found.seen for answer in found[0]])
    for row in found:
        run = row[0].run
        name = run.checkpoint.name
        _strip(f"Reconstructions by {name}", [answer.found.reconstruction for answer in row])
        if len(found) > 1:
            _strip(f"Draws from {run.prior_title} of {name}", prior_draws(run, BETWEEN))
        if len(found) > 1 and len(row) > 1 and run.is_continuous:  # between codes there is no line
            between = interpolations(run, row[0].found, row[1].found, BETWEEN)
            _strip(f"From the first picture to the second in the latent space of {name}", between)


def _strip(caption: str, images: Sequence[np.ndarray] | np.ndarray) -> None:
    picture, width = pictures.crisp(pictures.strip(list(images)), 84 * len(images))
    st.image(picture, width=width)
    st.caption(caption)
