"""What can be turned while a training runs: a field for each knob and for the learning rate, and the buttons."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import streamlit as st

import trainer
from explorer import curves, ending, form, run
from explorer.controls import literal
from explorer.job import RUNNING, STARTING, WAITING
from explorer.opened import drawing

if TYPE_CHECKING:
    from explorer.job import Job
    from trainer import Checkpoint, LatentModel


STAYS = 15.0  # seconds in which the page, which is drawn anew by itself, keeps saying what was ended
EVERY = 1.5  # seconds between two looks at the line
EARLY = {WAITING: "was taken out of the line", STARTING: "was stopped while it was starting"}
ELSEWHERE = "It was not started from a page: end it where it was, with Ctrl-C"


def undone() -> None:
    """Why the last button did nothing, if so; or what it ended that would leave no trace on the page."""
    if problem := st.session_state.pop("undone", ""):
        st.error(literal(f"That could not be done: {problem}"))
    said, when = st.session_state.get("ended", ("", 0.0))
    if said and time.monotonic() - when < STAYS:
        st.info(literal(said))


def act(job: Job, state: str) -> None:
    """The buttons that end a job or move it in its line, where it lives."""
    ours = job.runs()
    if state == WAITING:
        with st.container(horizontal=True):
            with st.container(width="content"):
                _earlier(job)
            st.button("Cancel", on_click=tried, args=(ending.cancel, job), icon=":material/close:", disabled=not ours,
                      help="Out of the line; nothing that was trained is lost" if ours else ELSEWHERE)  # fmt: skip
    elif state in (STARTING, RUNNING):
        hears = ours or state == RUNNING  # by then it reads what it is told
        about = "Saves and measures what there is; it can go on later, exactly" if hears else ELSEWHERE
        st.button(
            "Stop", on_click=tried, args=(ending.stop, job), icon=":material/stop:", disabled=not hears, help=about
        )


@st.fragment(run_every=EVERY)  # the line moves on while nobody touches the page
def _earlier(job: Job) -> None:
    if st.button("Earlier", on_click=tried, args=(ending.move_up, job), icon=":material/arrow_upward:",
                 disabled=job.folder not in trainer.waiting(job.device)[1:],
                 help="One place earlier in the line"):  # fmt: skip
        st.rerun()  # the place in the line, and why it could not be done, are said elsewhere


def tried(what: Callable[[Job], None], job: Job) -> None:
    """Do it; why it could not be is said when the page is drawn next, and so is what it ended before its first step."""
    before = job.state()
    try:
        what(job)
    except OSError as error:
        st.session_state["undone"] = str(error)
        return
    if what is not ending.move_up and before in EARLY and not job.is_alive():
        is_stage = job.path.parent != trainer.root().resolve()
        name = f"{job.path.parent.name}/{job.name}" if is_stage else job.name
        st.session_state["ended"] = (f"The training “{name}” {EARLY[before]}.", time.monotonic())


def built(checkpoint: Checkpoint) -> LatentModel | None:
    """The model as it began; None where it is not known here. Raises ValueError for options that it does not have."""
    from trainer import models

    config = checkpoint.config
    if config.model not in models.names():
        return None
    kind = models.get(config.model)
    with drawing:
        return kind(config.shape, kind.Options.read(config.options))


def knobs(checkpoint: Checkpoint) -> dict[str, float | None]:
    """The knobs of the model with what they begin at, None for those that its own schedule turns."""
    key = f"knobs/{checkpoint.name}/{checkpoint.config.trained}"
    if key not in st.session_state:
        if (model := built(checkpoint)) is None:
            return {}
        free = trainer.turnable(model, 0)
        st.session_state[key] = {name: float(knob) if name in free else None for name, knob in model.knobs.items()}
    return dict(st.session_state[key])


def standing(checkpoint: Checkpoint, history: curves.History) -> dict[str, float]:
    """What each thing that a person may turn stands at: what it began at, was measured at, was turned to."""
    begun = {name: value for name, value in knobs(checkpoint).items() if value is not None}
    measured = [{name: line[name] for name in begun if name in line} for line in curves.measures(history)[-1:]]
    found = {**begun, **(measured[0] if measured else {}), "rate": checkpoint.config.training["rate"]}
    for line in history:
        found |= {name: value for name, value in line.get("changed", {}).items() if name in found}
    return found


def bounds(checkpoint: Checkpoint) -> dict[str, tuple[float, float | None]]:
    """The least and the largest value of each option, None where it has no largest: 0 where its least is no value of
    its own, since no knob and no rate is negative.
    """
    from trainer import models

    model = checkpoint.config.model
    fields = form.entries(models.get(model).Options) if model in models.names() else []
    fields += form.entries(trainer.TrainOptions)
    return {field.name: (float(field.low or 0), None if field.high is None else float(field.high)) for field in fields}


def show(job: Job, checkpoint: Checkpoint) -> None:
    """A number for each; pressing Enter turns it at the next step, and each window that looks shows what it is then."""
    try:
        history = run.history(checkpoint)
    except (ValueError, OSError):
        return
    if problem := st.session_state.pop("said", ""):
        st.error(literal(f"That was not sent to the training: {problem}"))
    answered, ends = sum("order" in line for line in history), bounds(checkpoint)
    # a new field pushes the one that it replaces on, which stays until all below it is drawn: each has a place of its
    # own, that shows the first thing in it
    st.html('<style>[class*="st-key-knob-"] > * ~ * { display: none; }</style>')
    with st.container(horizontal=True):
        for name, value in standing(checkpoint, history).items():
            # a field is a new one whenever what it stands at changes, or an order was answered, from wherever it came
            key = f"turn/{job.folder}/{job.begun}/{name}/{value}/{answered}"
            low, high = ends.get(name, (0.0, None))
            low, high = min(low, value), None if high is None else max(high, value)  # it may stand outside, by rounding
            st.container(width=150, key=f"knob/{name}").number_input(
                "learning rate" if name == "rate" else name, low, high, float(value), key=key, format="%.6g",
                step=float(value or 1) / 10, on_change=_send, args=(job, name, key, float(value)),
                help="What it stands at; another value counts from the next step",
            )  # fmt: skip


def _send(job: Job, name: str, key: str, stood: float) -> None:
    """Tell the training what the field under `key`, which was built with the value `stood`, says now.

    Streamlit also calls this with the value that a field was built with or was told before, when a run that drew the
    field was overtaken by the next one: that is no wish of a person.
    """
    value = st.session_state[key]
    told: dict[str, float] = st.session_state.setdefault("told", {})
    if value == told.get(key, stood):
        return
    order: Mapping[str, Any] = {"rate": value} if name == "rate" else {"knob": name, "value": value}
    try:
        trainer.send_order(job.path, order)
        told[key] = value
    except OSError as error:
        st.session_state["said"] = str(error)
