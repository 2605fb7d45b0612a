"""A second stage that is trained from a page: started, followed and stopped there."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

import trainer
from explorer import ending, jobs, training_turn, training_watch
from explorer.controls import literal
from explorer.job import ALIVE, DIED
from explorer.opened import Run, place_of

EVERY = 1.5  # seconds between two looks


def offer(run: Run, stage: str, what: str, about: str, asked: Callable[[], Sequence[str]] = list) -> None:
    """For a checkpoint whose second stage is not there, or not all of it, `what` for people: train it here or by a
    command, and see it train. `about` is what it does, in a line; `asked` shows what can be chosen of a new one and
    returns the words of its command.
    """
    job = jobs.of_stage(run.checkpoint, stage)
    state = job.state() if job else ""
    if job and state in ALIVE:
        st.fragment(_follow, run_every=EVERY)(run, stage, state)
        return
    training_turn.undone()
    if job and state == DIED:
        training_watch.headline(job, state, job.checkpoint)
    if jobs.of_other_weights(run.checkpoint, stage):
        st.caption(f"The {what} that is there is of other weights of this model: a new one takes its place.")
    begun = jobs.has_begun(run.checkpoint, stage)
    st.caption(f"{_so_far(run, stage, what, begun)}. It trains in the background, also when this page is closed.")
    words = () if begun else asked()
    if st.button(f"{'Go on with' if begun else 'Train'} the {what}", type="primary", key="stage/start",
                 icon=":material/model_training:", help=f"{about}, on this machine"):  # fmt: skip
        try:
            jobs.start_stage(run.checkpoint, stage, words)
        except (ValueError, OSError) as error:
            st.error(literal(str(error)))
        else:
            st.rerun()
    st.caption("The same in a terminal:")
    anew = " ".join([run.stage_command(stage), *words])
    st.code(f"python -m trainer resume {place_of(run.checkpoint)}/{stage}" if begun else anew, language="bash")


def _so_far(run: Run, stage: str, what: str, begun: bool) -> str:
    if stopped := unfinished(run, stage):
        return f"The {what} was stopped after {stopped[0]:,} of {stopped[1]:,} steps"
    return f"The {what} was begun, and ended before it could be used" if begun else (
        f"No {what} of this model was trained yet")  # fmt: skip


def unfinished(run: Run, stage: str) -> tuple[int, int] | None:
    """How many steps a second stage that was stopped has taken, and of how many; None for one that is finished, or is
    not there, or is of other weights.
    """
    if stage not in run.model.stages:
        return None
    config = next(found.config for found in run.checkpoint.stages if found.name == stage)
    done, planned = config.steps_done, config.training["steps"]
    return (done, planned) if done < planned and trainer.can_go_on(run.checkpoint.path / stage) else None


def offer_prior(run: Run) -> None:
    """For a model of codes: train a prior over them, where there is none, or not all of it."""
    if not run.has_prior or unfinished(run, "code_prior"):
        offer(run, "code_prior", "prior over the codes", "A transformer that learns which codes stand together",
              lambda: ["--conditional"] if run.has_classes else [])  # fmt: skip


def _follow(run: Run, stage: str, before: str) -> None:
    job = jobs.of_stage(run.checkpoint, stage)
    now = job.state() if job else ""
    if job is None or (now != before and now not in ALIVE):
        st.rerun()
    training_watch.headline(job, now, job.checkpoint)
    training_turn.undone()
    st.button("Stop", on_click=training_turn.tried, args=(ending.stop, job), icon=":material/stop:", key="stage/stop",
              help="Saves what was learned; it can go on later")  # fmt: skip
