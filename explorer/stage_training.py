"""A second stage that is trained from a page: started, followed and stopped there."""

from __future__ import annotations

import streamlit as st

from explorer import jobs, training_watch
from explorer.controls import literal
from explorer.job import ALIVE, DIED
from explorer.opened import Run

STAGE = "code_prior"
EVERY = 1.5  # seconds between two looks


def offer(run: Run) -> None:
    """For a checkpoint whose prior over codes is not there: train it here or by a command, and see it train."""
    job = jobs.of_stage(run.checkpoint, STAGE)
    state = job.state() if job else ""
    if job and state in ALIVE:
        st.fragment(_follow, run_every=EVERY)(run, state)
        return
    if job and state == DIED:
        training_watch.headline(job, state, job.checkpoint)
    st.caption("No prior over the codes was trained yet. It trains in the background, also when this page is closed.")
    command = run.stage_command(STAGE) + (" --conditional" if run.has_classes else "")
    if st.button("Train the prior", type="primary", icon=":material/model_training:", key="stage/start",
                 help="A transformer that learns which codes stand together, on this machine"):  # fmt: skip
        try:
            jobs.start_stage(run.checkpoint, STAGE, ["--conditional"] if run.has_classes else [])
        except (ValueError, OSError) as error:
            st.error(literal(str(error)))
        else:
            st.rerun()
    st.caption("The same in a terminal:")
    st.code(command, language="bash")


def _follow(run: Run, before: str) -> None:
    job = jobs.of_stage(run.checkpoint, STAGE)
    now = job.state() if job else ""
    if job is None or (now != before and now not in ALIVE):
        st.rerun()
    training_watch.headline(job, now, job.checkpoint)
    if st.button("Stop", icon=":material/stop:", key="stage/stop", help="Saves what was learned; it can go on later"):
        jobs.stop(job)
