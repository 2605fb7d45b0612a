"""A second stage that is trained from a page: started, followed and stopped there."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from explorer import ending, jobs, training_turn, training_watch
from explorer.controls import literal
from explorer.job import ALIVE, DIED
from explorer.opened import Run

EVERY = 1.5  # seconds between two looks


def offer(run: Run, stage: str, what: str, about: str, words: Sequence[str] = ()) -> None:
    """For a checkpoint whose second stage is not there, `what` for people: train it here or by a command, with these
    words of it, and see it train. `about` is what it does, in a line.
    """
    job = jobs.of_stage(run.checkpoint, stage)
    state = job.state() if job else ""
    if job and state in ALIVE:
        st.fragment(_follow, run_every=EVERY)(run, stage, state)
        return
    if job and state == DIED:
        training_watch.headline(job, state, job.checkpoint)
    if jobs.of_other_weights(run.checkpoint, stage):
        st.caption(f"The {what} that is there is of other weights of this model: a new one takes its place.")
    st.caption(f"No {what} of this model was trained yet. It trains in the background, also when this page is closed.")
    if st.button(f"Train the {what}", type="primary", icon=":material/model_training:", key="stage/start",
                 help=f"{about}, on this machine"):  # fmt: skip
        try:
            jobs.start_stage(run.checkpoint, stage, words)
        except (ValueError, OSError) as error:
            st.error(literal(str(error)))
        else:
            st.rerun()
    st.caption("The same in a terminal:")
    st.code(" ".join([run.stage_command(stage), *words]), language="bash")


def _follow(run: Run, stage: str, before: str) -> None:
    job = jobs.of_stage(run.checkpoint, stage)
    now = job.state() if job else ""
    if job is None or (now != before and now not in ALIVE):
        st.rerun()
    training_watch.headline(job, now, job.checkpoint)
    training_turn.undone()
    st.button("Stop", on_click=training_turn.tried, args=(ending.stop, job), icon=":material/stop:", key="stage/stop",
              help="Saves what was learned; it can go on later")  # fmt: skip
