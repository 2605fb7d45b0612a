"""A training as it goes on: how far it is, what can be turned, its pictures and its curves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

import trainer
from explorer import curves, figures, films, live, pictures, processes, run, training_turn
from explorer.controls import literal
from explorer.job import ALIVE, DIED, ENDING, FINISHED, RUNNING, STARTING, STOPPED, WAITING

if TYPE_CHECKING:
    from explorer.job import Job
    from trainer import Checkpoint, Film

EVERY = 1.5  # seconds between two looks
WORDS = {
    WAITING: "waits for the device", STARTING: "is starting", RUNNING: "is training",
    ENDING: "is being measured", FINISHED: "is finished", STOPPED: "was stopped", DIED: "died",
}  # fmt: skip


def follow(job: Job | None, checkpoint: Checkpoint | None) -> None:
    """What a training does, its pictures and its curves; looked at again and again while the job lives."""
    state = job.state() if job else ""
    if job and state in ALIVE:
        st.fragment(_live, run_every=EVERY)(job, state)
        if (
            state == RUNNING
            and st.toggle("Replay so far", key=f"replay/{job.name}", help="The training up to now, step by step")
            and (saved := job.checkpoint)
        ):
            _replay(saved)
        return
    if job:
        headline(job, state, job.checkpoint)
        checkpoint = checkpoint or job.checkpoint
    if checkpoint:
        _replay(checkpoint)
        _curves(checkpoint)


def _live(job: Job, state: str) -> None:
    now, checkpoint = job.state(), job.checkpoint
    if now != state:
        st.rerun()  # the buttons depend on it
    headline(job, now, checkpoint)
    if checkpoint is None:
        return
    if now == RUNNING:
        training_turn.show(job, checkpoint)
    try:
        film = trainer.load_film(checkpoint.path)
    except ValueError as error:
        st.error(literal(str(error)))
        film = None
    if film and film.steps:
        picture, width = pictures.crisp(films.sheet(film, -1), 480)
        st.image(picture, width=width, caption=f"Step {film.steps[-1]:,}: {_rows(checkpoint)}")
    _curves(checkpoint)


def _curves(checkpoint: Checkpoint) -> None:
    try:
        history = run.history(checkpoint)
    except (ValueError, OSError) as error:
        st.error(literal(str(error)))
        return
    charts(checkpoint, history)
    for step, words in curves.events(history)[-3:]:
        st.caption(f"After step {step:,}: {words}")


def headline(job: Job, state: str, checkpoint: Checkpoint | None) -> None:
    """What a job does, and how far it is."""
    said = f"**{literal(job.name)}** {WORDS[state]}"
    if state == WAITING:
        line = trainer.waiting(job.device)
        place = line.index(job.folder) + 1 if job.folder in line else 1
        st.markdown(f"{said}: place {place} of {len(line)} in the line for {job.device}")
    elif state in (RUNNING, ENDING) and checkpoint:
        _progress(said, checkpoint, state)
    elif state == DIED and not job.begun:
        st.error(
            f"{said} in the terminal that started it, before it had weights. “Go on” takes it up from what was saved "
            f"last, and so does the command below. If it is not worth that, delete it."
        )
        st.code(f"python -m trainer resume {job.path.parent.name}/{job.name}", language=None)
    elif state == DIED and (words := job.last_words()):
        st.error(f"{said}. The last lines of its log:")
        st.code(words, language=None)
    elif state == DIED:
        is_saved = (job.path / "state.safetensors").is_file()
        left = "It can go on from what was saved last." if is_saved else "Nothing that it learned was saved."
        st.error(f"{said}. Its process ended without a word, as one that was killed does, often because the memory was "
                 f"full. {left}")  # fmt: skip
    else:
        st.markdown(said)
        if state == STARTING:
            st.caption(job.last_words(2) or "Its process loads the model and the data.")


def _progress(said: str, checkpoint: Checkpoint, state: str) -> None:
    config = checkpoint.config
    steps = config.training["steps"]
    try:
        found = curves.pace(run.history(checkpoint), config.training["batch"], steps)
    except (ValueError, OSError):
        found = None
    if found is None:
        st.progress(0.0, said)
        return
    step, speed, left = found
    text = f"{said}: step {step:,} of {steps:,}"
    if state == RUNNING:  # what is being measured takes no more steps, also where some were left
        text += f", {speed:,.0f} images/s, {curves.duration(max(0, left))} left"
    st.progress(min(1.0, step / max(1, steps)), text)
    for line in processes.accelerators():
        st.caption(line)


def charts(checkpoint: Checkpoint, history: curves.History) -> None:
    """Loss, terms and the KL of each dimension."""
    if not curves.measures(history):
        st.caption("No measures yet: the curves begin at the first ones.")
        return
    figure = curves.terms(history, list(training_turn.knobs(checkpoint)), _units(checkpoint))
    st.plotly_chart(figure, config=figures.CONFIG, key=f"terms/{checkpoint.name}")
    heat = curves.per_dimension(history)
    if heat:
        st.plotly_chart(heat, config=figures.CONFIG, key=f"dimensions/{checkpoint.name}")


def _units(checkpoint: Checkpoint) -> dict[str, str]:
    from trainer import models

    known = checkpoint.config.model in models.names()
    return dict(models.get(checkpoint.config.model).units) if known else {}


# ---- the replay


def _rows(checkpoint: Checkpoint) -> str:
    """What the rows of the training's pictures are."""
    key = f"rows/{checkpoint.name}/{checkpoint.config.trained}"
    if key not in st.session_state:
        st.session_state[key] = films.rows(training_turn.built(checkpoint))
    return str(st.session_state[key])


@st.fragment
def _replay(checkpoint: Checkpoint) -> None:
    """An axis over the training's steps; the pictures follow the drag."""
    try:
        film: Film | None = trainer.load_film(checkpoint.path)
    except ValueError as error:
        st.error(literal(str(error)))
        return
    if film is None or not film.steps:
        st.caption(
            "There are no pictures of this training: it is of an earlier version, or had nothing to learn by steps."
        )
        return
    st.markdown("**Replay of the training**")
    key, revision = f"film/{checkpoint.name}", len(film.steps)
    event = live.reported(key)
    value: float = float(film.steps[-1])
    if event.revision == revision:
        value = event.values["step"]
    shown = films.nearest(film, value)
    axis: Any = films.axis(film, float(film.steps[shown]))
    live.canvas(
        [axis], films.sheet(film, shown), key=key, revision=revision, unit="optimiser steps", caption=_rows(checkpoint)
    )
