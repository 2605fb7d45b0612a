"""Train a model and watch it learn. A training goes on when this page is closed, and is here at any later visit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import streamlit as st

import trainer
from explorer import controls, ending, jobs, training_form, training_turn, training_watch
from explorer.job import ALIVE, Job
from trainer import Checkpoint

TITLE = "Train"
ICON = ":material/model_training:"
NEEDS = "no"


def show(found: Sequence[Checkpoint], links: Mapping[str, st.Page]) -> None:
    """The form on the left; the training that is watched on the right."""
    st.subheader("Train", anchor=False)
    st.caption(__doc__)
    left, stage = st.columns([5, 12], gap="large")
    with stage:  # first, since the form takes a few steps to see how long all will take
        _watch(found, links)
    with left:
        training_form.show()


def _watch(found: Sequence[Checkpoint], links: Mapping[str, st.Page]) -> None:
    training_turn.undone()  # first, since what was ended may have been all that was here
    known = {job.name: job for job in jobs.jobs()}
    saved = {checkpoint.name: checkpoint for checkpoint in found}
    names = list(dict.fromkeys([*known, *saved]))
    if not names:
        st.info("Nothing was trained here yet. Choose a model and data, and press “Start training”: its curves and "
                "pictures appear here.")  # fmt: skip
        return
    states = {name: job.state() for name, job in known.items()}
    name = _chosen(names)
    if name is None:
        return
    st.query_params["run"] = name
    living = {other for other, state in states.items() if state in ALIVE}
    st.fragment(_others, run_every=training_watch.EVERY)(name, living)
    job, checkpoint = known.get(name), saved.get(name)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if job and states[name] in ALIVE:
            training_turn.act(job, states[name])
        else:
            _afterwards(name, job, checkpoint, links)
    training_watch.follow(job, checkpoint)


def _chosen(names: list[str]) -> str | None:
    """The training that is watched: that of the last button or of the address, or else a person's choice or the newest;
    None where the address asks for one that is not there.
    """
    watched, asked = st.session_state.get("watched"), st.session_state.pop("watch", None)
    if asked is None and watched is None:
        asked = st.query_params.get("run")
    if asked in names:
        st.session_state["watched"] = asked
    elif watched not in names:
        st.session_state["watched"] = None if asked else names[0]
        if asked:
            st.error(controls.literal(f"There is no training “{asked}”. Choose one below."))
    return st.selectbox(
        "Training", names, key="watched", placeholder="Choose a training",
        help="The jobs of this machine, the newest first, then all other checkpoints", persist_state="session",
    )  # fmt: skip


def _others(name: str, living: set[str]) -> None:
    """What else is under way: a line for as long as anything was when the page was drawn, so that nothing moves when
    that ends. What another window or a terminal begins meanwhile draws the page anew.
    """
    now = jobs.under_way()
    if now.keys() - living:
        st.rerun()
    if living:
        others = [f"{other} ({state})" for other, state in now.items() if other != name]
        st.caption(controls.literal(f"Also under way: {', '.join(others) or 'nothing'}"))


def _afterwards(name: str, job: Job | None, checkpoint: Checkpoint | None, links: Mapping[str, st.Page]) -> None:
    """What can be done with a training that does not run."""
    whole = checkpoint or (job.checkpoint if job else None)
    if checkpoint:
        st.button("Explore", type="primary", icon=":material/tune:", on_click=controls.explore,
                  args=(links["traversals"], name), help="Opens its traversals")  # fmt: skip
    if whole and trainer.can_go_on(whole.path):
        planned = whole.config.training["steps"]
        done = whole.config.steps_done >= planned  # and measured: what died before that goes on with 0 more
        proposed = min(max(planned, 1), 10_000_000) if done else 0
        more = st.number_input("More steps", int(done), 10_000_000, proposed, width=140,
                               key=f"more/{name}/{done}", help="Added to those that were planned")  # fmt: skip
        rate = st.number_input("Learning rate", 0.0, 1.0, None, format="%.6g", width=140, key=f"rate/{name}",
                               placeholder="as it was", help="A lower one helps a training that diverged")  # fmt: skip
        # a click in a window that is behind counts for what it was drawn for, or for nothing
        if st.button("Go on", key=f"go/{name}/{planned}/{done}", icon=":material/resume:",
                     help="The training goes on exactly where it was saved"):  # fmt: skip
            _begin(name, partial(jobs.resume, whole, int(more), rate or None))
    if job and not whole and jobs.can_start_again(job) and st.button(
        "Start again", key=f"again/{name}/{job.begun}", icon=":material/restart_alt:",
        help="Runs the same command once more, from the first step",
    ):  # fmt: skip
        _begin(name, partial(jobs.start_again, job))
    if whole:
        st.button("Duplicate", on_click=training_form.fill, args=(whole,), icon=":material/content_copy:",
                  help="Fills the form with its options, for a training with changes")  # fmt: skip
    with st.popover("Delete", key=f"delete/{name}", icon=":material/delete:", help="Asks first"):
        st.markdown(f"Remove **{controls.literal(name)}** with its weights and its history? This cannot be undone.")
        if st.button("Remove for good", key=f"remove/{name}"):
            _delete(name)


def _begin(name: str, start: Callable[[], Job]) -> None:
    """Start the process of a training, and watch it."""
    try:
        start()
    except (ValueError, OSError) as error:
        st.error(controls.literal(str(error)))
        return
    st.session_state["watch"] = name
    st.rerun()


def _delete(name: str) -> None:
    try:
        ending.delete(name)
    except (ValueError, OSError) as error:
        st.error(controls.literal(str(error)))
        return
    st.query_params.pop("run", None)
    st.rerun()
