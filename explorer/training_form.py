"""The form of a new training: model, data, options, what it will take, and the button that starts it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

import trainer
from explorer import curves, form, jobs, run, training_data
from explorer.controls import literal
from explorer.form import Entry
from explorer.job import options_of
from explorer.training_data import OWN, Chosen
from explorer.training_fields import kept, places_of, widgets

if TYPE_CHECKING:
    from trainer import Checkpoint

LONGEST = 64  # characters that trainer.check_name takes


def _free(name: str) -> str:
    """The name, or with a number the next one, that no checkpoint and no job has; cut where that is too long."""
    taken = {path.name for path in trainer.root().glob("*") if not jobs.is_free(path)}
    taken |= {job.name for job in jobs.jobs()}
    stem = re.sub(r"-\d+$", "", name) or name
    numbered = (f"{stem[: LONGEST - len(end)]}{end}" for end in (f"-{n}" for n in range(2, len(taken) + 3)))
    return next(new for new in (name, *numbered) if new not in taken)


def fill(checkpoint: Checkpoint) -> None:
    """Fill the form with what a checkpoint was trained with; for a callback."""
    from trainer import models

    config, values = checkpoint.config, options_of(checkpoint)
    if config.model not in models.names():
        return
    fields = [
        *form.entries(models.get(config.model).Options),
        *form.entries(trainer.TrainOptions),
        *places_of(models.get(config.model)),
    ]
    held = {f"{config.model}/{field.name}": field.shown(values.get(field.name, field.default)) for field in fields}
    data = config.data.name if config.data.name in trainer.data_names() else OWN
    held |= {"model": config.model, "data": data, f"name/{config.model}/{config.data.name}": _free(checkpoint.name)}
    held |= {"path": config.data.name, "side": config.data.side} if data == OWN else {}
    st.session_state.update({f"train/{what}": value for what, value in held.items()})


@st.fragment
def show() -> None:
    """The whole form; a change reruns only this."""
    from trainer import models

    known = models.names()
    kinds = [models.get(name) for name in known]
    usual = max(known, key=lambda name: sum(issubclass(kind, models.get(name)) for kind in kinds))  # others build on it
    model = st.selectbox(
        "Model", known, **kept("model", usual),
        help="The families of models; the line below says what the chosen one is",
    )  # fmt: skip
    kind = models.get(model)
    st.caption(models.about(model))
    with st.container():  # so that an error in here moves nothing below out of its place
        chosen = training_data.choose()
        data = chosen.name if chosen else None
        held = kept(f"name/{model}/{data}", _free(_proposed(model, data)))
        name = st.text_input(
            "Name of the new checkpoint", **held, max_chars=LONGEST,
            help="The name of its folder: small letters, digits, dots, hyphens, underscores; a letter or digit first",
        )  # fmt: skip
        wrong = _named(name)
    start = st.container()  # its button waits for what the options below are
    own, training = form.entries(kind.Options), [] if kind.closed_form else form.entries(trainer.TrainOptions)
    around = places_of(kind)
    values: dict[str, Any] = {}
    with st.expander("Options of the model"):
        wrong |= widgets(model, own, values, kind.Options)
    with st.expander("Options of the training"):
        wrong |= widgets(model, [*training, *around], values, None)
    with start:
        wrong = wrong or _together(kind, own, training, around, values)
        options = form.chosen(own, values)
        steps = {field.name: values[field.name] for field in training}
        some = values["size"], values.get("labels"), steps.get("seed", 0) if values.get("labels") else 0
        asked = (model, chosen and chosen.key, str(options), str(steps), *some)
        before, refusal = st.session_state.get("train/refused", (None, ""))
        is_here = chosen is not None and chosen.images is not None
        refused = before == asked and is_here
        ready = chosen is not None and not wrong and not refused
        if st.button("Start training", type="primary", disabled=not ready, icon=":material/play_arrow:",
                     help="It runs as a process of its own and goes on when this page is closed"):  # fmt: skip
            _start(
                name,
                model,
                {
                    "data": data,
                    **({"side": chosen.side} if chosen and chosen.side else {}),
                    **form.chosen([*own, *training, *around], values),
                },
            )
        if refused:
            st.error(literal(refusal))
        elif ready and chosen and is_here:
            problem = _estimate(model, options, steps, chosen, some)
            if problem:  # once more from the top, so that the button does not start what cannot be
                st.session_state["train/refused"] = (asked, problem)
                st.rerun()


def _proposed(model: str, data: str | None) -> str:
    plain = f"{model}-{Path(data or 'data').stem}".lower().replace("_", "-")
    return "".join(letter for letter in plain if letter.isascii() and (letter.isalnum() or letter in ".-"))[:60]


def _named(name: str) -> bool:
    """Whether something is wrong with the name; then that is said."""
    try:
        jobs.check_name(name)
    except ValueError as error:
        st.error(literal(str(error)))
        return True
    return False


def _start(name: str, model: str, options: Mapping[str, Any]) -> None:
    try:
        jobs.start(name, model, options)
    except (ValueError, OSError) as error:
        st.error(literal(str(error)))
        return
    st.session_state["watch"] = name
    st.session_state.pop(f"train/name/{model}/{options['data']}", None)
    st.rerun()


def _together(
    kind: Any, own: list[Entry], training: list[Entry], around: list[Entry], values: Mapping[str, Any]
) -> bool:
    """Whether something is wrong with the options as a whole; then that is said under them."""
    try:
        kind.Options.read(form.chosen(own, values)).check_needs()
        trainer.TrainOptions.read({field.name: values[field.name] for field in training})
        trainer.Place.read({"out": ".", **{field.name: values[field.name] for field in around}})
    except ValueError as error:
        st.error(literal(str(error)))
        return True
    return False


def _estimate(
    model: str,
    options: dict[str, Any],
    training: dict[str, Any],
    chosen: Chosen,
    some: tuple[int | None, int | None, int],
) -> str:
    """Say what the training will take; or return why no model can be made of `some` of the images."""
    try:
        images = chosen.some(*some)
        found = run.estimate(model, options, training, images, f"{chosen.key} {some} {images.shape}")
    except ArithmeticError as error:  # no refusal: the steps here are of other batches than those of the training
        st.warning(literal(f"It diverged in a few steps that were tried: {error}"))
        return ""
    except (ValueError, RuntimeError, OSError, MemoryError) as error:
        return f"This model cannot be made: {str(error) or 'there is not enough memory for it'}"
    size = curves.size(found.memory)
    st.caption(f"{found.parameters:,} parameters, {size} of memory beside the program's, {_time(found.seconds)}")
    return ""


def _time(seconds: float | None) -> str:
    """How long a training will take, from steps on the CPU; a GPU is left to those that train."""
    if seconds is None:
        return "fitted by passes over the data, without steps: not timed"
    place = str(trainer.choose_device())
    said = f"about {curves.duration(seconds)}"
    return (
        f"{said} on the CPU" if place == "cpu" else f"{said} if it were on the CPU; it will run on {place}, not timed"
    )
