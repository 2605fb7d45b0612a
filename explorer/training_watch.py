"""A training as it goes on: its curves, its pictures, what can be turned, and the buttons that end or continue it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

import trainer
from explorer import curves, figures, films, jobs, live, pictures, processes
from explorer.controls import literal

if TYPE_CHECKING:
    from explorer.jobs import Job
    from trainer import Checkpoint, Film

EVERY = 1.5  # seconds between two looks
WORDS = {
    jobs.WAITING: "waits for the device", jobs.STARTING: "is starting", jobs.RUNNING: "is training",
    jobs.ENDING: "is being measured", jobs.FINISHED: "is finished", jobs.STOPPED: "was stopped", jobs.DIED: "died",
}  # fmt: skip


def follow(job: Job | None, checkpoint: Checkpoint | None) -> None:
    """What a training does, its pictures and its curves; looked at again and again while the job lives."""
    state = jobs.state(job) if job else ""
    name = job.name if job else checkpoint.name if checkpoint else ""
    if job and state in jobs.ALIVE:
        st.fragment(_live, run_every=EVERY)(job, state)
        if state == jobs.RUNNING and st.toggle(
            "Replay so far", key=f"replay/{name}", help="The training up to now, step by step"
        ):
            _replay(name)
        return
    if job:
        _headline(job, state, job.checkpoint)
        checkpoint = checkpoint or job.checkpoint
    if checkpoint:
        _replay(name)
        _curves(checkpoint)


def _live(job: Job, state: str) -> None:
    now, checkpoint = jobs.state(job), job.checkpoint
    if now != state:
        st.rerun()  # the buttons depend on it
    _headline(job, now, checkpoint)
    if checkpoint is None:
        return
    try:
        film = trainer.load_film(checkpoint.path)
    except ValueError as error:
        st.error(literal(str(error)))
        film = None
    if film and film.steps:
        picture, width = pictures.crisp(films.sheet(film, -1), 480)
        st.image(picture, width=width, caption=f"Step {film.steps[-1]:,}: {films.ROWS}")
    _curves(checkpoint)


def _curves(checkpoint: Checkpoint) -> None:
    try:
        history = checkpoint.history()
    except ValueError as error:
        st.error(literal(str(error)))
        return
    charts(checkpoint, history)
    for step, words in curves.events(history)[-3:]:
        st.caption(f"After step {step:,}: {words}")


def _headline(job: Job, state: str, checkpoint: Checkpoint | None) -> None:
    said = f"**{job.name}** {WORDS[state]}"
    if state == jobs.WAITING:
        line = trainer.waiting(job.device)
        place = line.index(job.name) + 1 if job.name in line else 1
        st.markdown(f"{said}: place {place} of {len(line)} in the line for {job.device}")
    elif state in (jobs.RUNNING, jobs.ENDING) and checkpoint:
        _progress(said, checkpoint)
    elif state == jobs.DIED:
        st.error(f"{said}. The last lines of its log:")
        st.code(jobs.last_words(job) or "(nothing)", language=None)
    else:
        st.markdown(said)
        if state == jobs.STARTING:
            st.caption(jobs.last_words(job, 2) or "Its process loads the model and the data.")


def _progress(said: str, checkpoint: Checkpoint) -> None:
    config = checkpoint.config
    steps = config.training["steps"]
    try:
        found = curves.pace(checkpoint.history(), config.training["batch"], steps)
    except ValueError:
        found = None
    if found is None:
        st.progress(0.0, said)
        return
    step, speed, left = found
    text = f"{said}: step {step:,} of {steps:,}, {speed:,.0f} images/s, {curves.duration(max(0, left))} left"
    st.progress(min(1.0, step / max(1, steps)), text)
    for line in processes.accelerators():
        st.caption(line)


def charts(checkpoint: Checkpoint, history: curves.History) -> None:
    """Loss, terms and the KL of each dimension."""
    if not curves.measures(history):
        st.caption("No measures yet: the curves begin at the first ones.")
        return
    figure = curves.terms(history, list(_knobs(checkpoint)), _units(checkpoint))
    st.plotly_chart(figure, config=figures.CONFIG, key=f"terms/{checkpoint.name}")
    heat = curves.per_dimension(history)
    if heat:
        st.plotly_chart(heat, config=figures.CONFIG, key=f"dimensions/{checkpoint.name}")


def _units(checkpoint: Checkpoint) -> dict[str, str]:
    from trainer import models

    known = checkpoint.config.model in models.names()
    return dict(models.get(checkpoint.config.model).units) if known else {}


def _knobs(checkpoint: Checkpoint) -> dict[str, bool]:
    """The knobs of the model, and whether a person may turn each."""
    from trainer import models

    config = checkpoint.config
    if config.model not in models.names():
        return {}
    key = f"knobs/{checkpoint.name}/{config.trained}"
    if key not in st.session_state:
        kind = models.get(config.model)
        model = kind(config.shape, kind.Options.read(config.options))
        free = trainer.turnable(model, 0)
        st.session_state[key] = {name: name in free for name in model.knobs}
    return dict(st.session_state[key])


# ---- what can be done


def act(job: Job, state: str) -> None:
    """What can be turned and what can be ended, where the job lives."""
    if state == jobs.RUNNING and job.checkpoint:
        _turn(job, job.checkpoint)
    if state == jobs.WAITING:
        with st.container(horizontal=True):
            st.button("Earlier", on_click=jobs.move_up, args=(job,), icon=":material/arrow_upward:",
                      help="One place earlier in the line")  # fmt: skip
            st.button("Cancel", on_click=jobs.cancel, args=(job,), icon=":material/close:",
                      help="Out of the line; nothing that was trained is lost")  # fmt: skip
    elif state in (jobs.STARTING, jobs.RUNNING):
        st.button("Stop", on_click=jobs.stop, args=(job,), icon=":material/stop:",
                  help="Saves and measures what there is; it can go on later, exactly")  # fmt: skip


def _turn(job: Job, checkpoint: Checkpoint) -> None:
    """A number per knob, and the learning rate; pressing Enter turns it at the next step."""
    try:
        history = checkpoint.history()
    except ValueError:
        return
    turned = {name: value for line in history for name, value in line.get("changed", {}).items()}
    lines = curves.measures(history)
    now = {name: lines[-1][name] for name, free in _knobs(checkpoint).items() if free and lines and name in lines[-1]}
    now |= {"rate": checkpoint.config.training["rate"]} | turned
    if problem := st.session_state.pop("said", ""):
        st.error(literal(f"That was not sent to the training: {problem}"))
    with st.container(horizontal=True):
        for name, value in now.items():
            key = f"turn/{job.name}/{job.begun}/{name}"
            st.session_state.setdefault(key, float(value))
            st.number_input(
                "learning rate" if name == "rate" else name, key=key, format="%.6g", width=150,
                step=float(value or 1) / 10, on_change=_send, args=(job, name, key),
                help="What it stands at; another value counts from the next step",
            )  # fmt: skip


def _send(job: Job, name: str, key: str) -> None:
    value = st.session_state[key]
    try:
        trainer.send_order(job.path, {"rate": value} if name == "rate" else {"knob": name, "value": value})
    except OSError as error:
        st.session_state["said"] = str(error)


# ---- the replay


@st.fragment
def _replay(name: str) -> None:
    """An axis over the training's steps; the pictures follow the drag."""
    try:
        film: Film | None = trainer.load_film(trainer.root() / name)
    except ValueError as error:
        st.error(literal(str(error)))
        return
    if film is None or not film.steps:
        st.caption(
            "There are no pictures of this training: it is of an earlier version, or had nothing to learn by steps."
        )
        return
    st.markdown("**Replay of the training**")
    key, revision = f"film/{name}", len(film.steps)
    event = live.reported(key)
    value: float = float(film.steps[-1])
    if event.revision == revision:
        value = event.values["step"]
    shown = films.nearest(film, value)
    axis: Any = films.axis(film, float(film.steps[shown]))
    live.canvas(
        [axis], films.sheet(film, shown), key=key, revision=revision, unit="optimiser steps", caption=films.ROWS
    )
