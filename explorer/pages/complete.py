"""Hide a part of a picture: what may be there, by the model, and how sure it is."""

from __future__ import annotations

import zlib

import numpy as np
import streamlit as st

import trainer
from explorer import address, answers, completing, controls, pad, pictures, progress, sources, stage_training
from explorer.completing import Completed
from explorer.opened import Run
from explorer.run import kept

TITLE = "Complete"
ICON = ":material/extension:"
NEEDS = "one"
FITS = "fills in hidden pixels"
LARGE, SMALL = 160, 124  # px, about, of a picture
WEIGHTED, LANGEVIN = "Weighted draws", "Langevin moves"


def fits(run: Run) -> bool:
    """Whether the model can say what is likely where pixels are hidden."""
    return trainer.can_complete(run.model) and not run.is_line


def show(run: Run) -> None:
    """The page of one checkpoint."""
    st.subheader(f"Completions by {run.checkpoint.name}", anchor=False)
    st.caption(__doc__)
    controls.refusals(run)
    address.say_where({"checkpoint": run.checkpoint.name})
    _page(run)


@st.fragment
def _page(run: Run) -> None:
    left, stage = controls.halves("complete")
    try:
        with left:
            chosen = sources.one(run)
    except ValueError as error:
        stage.error(controls.literal(str(error)))
        return
    if chosen is None:
        stage.info("Choose, upload, draw or photograph a picture, hide a part of it, and its completions appear here.")
        return
    _, image = chosen
    with left:  # also the bar, which moves no picture there
        seen, langevin, seed = _asked(run, image)
        found = kept(
            lambda: completing.complete(run, image, seen, langevin, seed, progress.shown("Completing", "steps")),
            "complete", run.version, zlib.crc32(image.tobytes() + seen.tobytes()), int(langevin), seed,
        )  # fmt: skip
    with stage:
        _completions(run, found)
        if found.can_learn or stage_training.unfinished(run, completing.STAGE):
            stage_training.offer(
                run, completing.STAGE, "partial encoder", "A net that proposes latents from what is visible"
            )


def _asked(run: Run, image: np.ndarray) -> tuple[np.ndarray, bool, int]:
    """What is visible (h, w), whether to take Langevin moves, and the seed."""
    key = f"complete/{run.checkpoint.digest}"
    usual = completing.hidden_in_training(run, image)
    hidden = st.pills(
        "Hide", list(completing.QUADRANTS), selection_mode="multi", default=usual, key=f"{key}/hide",
        help="Quadrants that the model is not shown; below, paint over more", persist_state="session",
    )  # fmt: skip
    seen = completing.visible(image.shape[:2], hidden, None)
    painted = pad.pad(f"{key}/paint", width=0.16, under=completing.shown(image, seen))
    langevin = False
    if not completing.has_condition(run):
        langevin = st.segmented_control(
            "Method", [WEIGHTED, LANGEVIN], default=WEIGHTED, required=True, key=f"{key}/method",
            help="Moves take longer, and are right also where few of the weighted draws count", persist_state="session",
        ) == LANGEVIN  # fmt: skip
    seed = st.number_input("Seed", 0, controls.MOST, key=f"{key}/seed", help="The same seed, the same completions",
                           persist_state="session")  # fmt: skip
    return completing.visible(image.shape[:2], hidden, painted), langevin, int(seed)


def _completions(run: Run, found: Completed) -> None:
    """What is seen, the mean, the spread, and likely completions."""
    limit = max(float(found.std.max()), 0.01)
    spread = pictures.amounts(found.std, limit)
    with st.container(horizontal=True, gap="small"):
        answers.picture("what is seen", found.seen, LARGE)
        answers.picture("mean of the completions", found.mean, LARGE)
        answers.picture(f"spread of the means, 0 to {limit:.2f}", spread, LARGE * spread.shape[1] // spread.shape[0])
    st.caption(found.sentence)
    if found.advice:
        st.warning(found.advice, icon=":material/casino:")
    st.markdown("**Likely completions**")
    with st.container(horizontal=True, gap="small"):
        for number, picture in enumerate(found.images, 1):
            answers.picture(f"{number}", picture, SMALL)
    st.download_button(
        "PNG", lambda: pictures.grid_png([found.row]), f"{run.checkpoint.name}-completions.png", "image/png",
        icon=":material/download:", on_click="ignore", help="What is seen, the mean, and the completions, in one row",
    )  # fmt: skip
