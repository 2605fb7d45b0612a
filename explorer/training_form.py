"""The form of a new training: model, data, options, what it will take, and the button that starts it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

import trainer
from explorer import curves, form, jobs, pictures, run
from explorer.controls import literal
from explorer.form import CHOICE, REAL, TOGGLE, WHOLE, Entry
from explorer.job import options_of

if TYPE_CHECKING:
    from trainer import Checkpoint, Images

OWN = "a folder or file of yours"
LOOK = 8  # images of the data that are shown


def _kept(what: str, default: Any) -> dict[str, Any]:
    """What makes a widget keep what it holds, also while another page is shown."""
    key = f"train/{what}"
    st.session_state.setdefault(key, default)
    return {"key": key, "persist_state": "session"}


def _places(*names: str) -> list[Entry]:
    return [entry for entry in form.entries(trainer.Place) if entry.name in (names or ("size", "half", "note"))]


def _free(name: str) -> str:
    """The name, or with a number the next one, that no checkpoint and no job has."""
    taken = {path.name for path in trainer.root().glob("*")} | {job.name for job in jobs.jobs()}
    stem = name.rstrip("0123456789").rstrip("-") or name
    return next(new for new in (name, *(f"{stem}-{n}" for n in range(2, len(taken) + 3))) if new not in taken)


def fill(checkpoint: Checkpoint) -> None:
    """Fill the form with what a checkpoint was trained with; for a callback."""
    from trainer import models

    config, values = checkpoint.config, options_of(checkpoint)
    if config.model not in models.names():
        return
    fields = [*form.entries(models.get(config.model).Options), *form.entries(trainer.TrainOptions), *_places()]
    held = {f"{config.model}/{field.name}": field.shown(values[field.name]) for field in fields if field.name in values}
    data = config.data.name if config.data.name in trainer.data_names() else OWN
    held |= {"model": config.model, "data": data, f"name/{config.model}/{config.data.name}": _free(checkpoint.name)}
    held |= {"path": config.data.name, "side": config.data.side} if data == OWN else {}
    st.session_state.update({f"train/{what}": value for what, value in held.items()})


@st.fragment
def show() -> None:
    """The whole form; a change reruns only this."""
    from trainer import models

    known = models.names()
    learning = [
        name for name in known if issubclass(models.get(name), trainer.Density) and not models.get(name).closed_form
    ]
    usual = min(learning or known, key=lambda name: len(models.get(name).Options.model_fields))  # the simplest of them
    model = st.selectbox(
        "Model", known, **_kept("model", usual),
        help="The families of models; the line below says what the chosen one is",
    )  # fmt: skip
    kind = models.get(model)
    st.caption(models.about(model))
    with st.container():  # so that an error in here moves nothing below out of its place
        data, side, images = _data()
        name = st.text_input(
            "Name of the new checkpoint", **_kept(f"name/{model}/{data}", _free(_proposed(model, data))), max_chars=64,
            help="Small letters, digits, dots and hyphens; the name of its folder",
        )  # fmt: skip
        wrong = _named(name)
    start = st.container()  # its button waits for what the options below are
    own, training = form.entries(kind.Options), [] if kind.closed_form else form.entries(trainer.TrainOptions)
    values: dict[str, Any] = {}
    with st.expander("Options of the model"):
        wrong |= _widgets(model, own, values, kind.Options)
    with st.expander("Options of the training"):
        wrong |= _widgets(model, [*training, *_places()], values, None)
    with start:
        wrong = wrong or _together(kind, own, training, values)
        ready = data is not None and not wrong
        if st.button("Start training", type="primary", disabled=not ready, icon=":material/play_arrow:",
                     help="It runs as a process of its own and goes on when this page is closed"):  # fmt: skip
            _start(
                name,
                model,
                {
                    "data": data,
                    **({"side": side} if side else {}),
                    **form.chosen([*own, *training, *_places()], values),
                },
            )
        if ready and images is not None:
            options = form.chosen(own, values)
            _estimate(model, options, {field.name: values[field.name] for field in training}, f"{data} {side}", images)


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


def _data() -> tuple[str | None, int | None, Images | None]:
    """The data's name or path, None until there is one; the side that images of a folder are brought to; and the images
    where nothing need be fetched for them.
    """
    side = None
    names = [*trainer.data_names(), OWN]
    here = next(name for name in names if name == OWN or trainer.data_is_here(name))
    name = st.selectbox("Data", names, **_kept("data", here), help="The images to train on")
    if name == OWN:
        path = st.text_input(
            "Path", **_kept("path", ""), placeholder="/home/me/pictures",
            help="A folder of images, or an .npz file, on the machine that runs this app",
        ).strip()  # fmt: skip
        if not path:
            st.caption("Give the path of a folder of images, or of an .npz file with an array “images”.")
            return None, None, None
        try:
            name = str(Path(path).expanduser().absolute())
            is_there = Path(name).exists()
        except (OSError, RuntimeError, ValueError) as error:
            st.error(literal(f"“{path[:100]}” cannot be looked at: {error}"))
            return None, None, None
        if not is_there:
            st.error(literal(f"There is no folder or file “{name}”."))
            return None, None, None
        if Path(name).is_dir():
            (field,) = _places("side")
            side = _widget(field, _kept("side", None), idle=False)
    if not trainer.data_is_here(name):
        st.caption(f"The images of {name} are not on this machine yet: they are fetched when the training starts.")
        return name, side, None
    try:
        images = run.images_of(name, side, Path(name).stat().st_mtime if Path(name).is_absolute() else 0.0)
        _look(images)
    except (ValueError, OSError) as error:
        st.error(literal(str(error)))
        return None, None, None
    return name, side, images


def _look(images: Images) -> None:
    """The first few images of the data, and how many and how large they are."""
    import torch

    some = trainer.to_bytes(images.batch(torch.arange(min(LOOK, len(images)))))
    picture, _ = pictures.crisp(pictures.strip(list(some)), 300)
    c, h, w = images.shape
    about = f"{len(images):,} images of {h} × {w}, {'grey' if c == 1 else 'RGB'}"
    st.image(picture, width="stretch", caption=about)


def _widgets(model: str, fields: list[Entry], values: dict[str, Any], options: Any) -> bool:
    """A widget per field, its value into `values`; whether one that is typed is wrong, which is said under it."""
    wrong = False
    for field in fields:
        idle = not field.has_effect({**dict.fromkeys(field.needs), **values})
        shown = _widget(field, _kept(f"{model}/{field.name}", field.shown(field.default)), idle)
        try:
            values[field.name] = field.read(shown)
            if field.kind == form.WIDTHS and options is not None:
                options.read({field.name: values[field.name]})
        except ValueError as error:
            values[field.name] = field.default
            st.error(literal(str(error)))
            wrong = True
    return wrong


def _widget(field: Entry, key: dict[str, Any], idle: bool) -> Any:
    needed = f" Has an effect only with {' and '.join(field.needs)}." if field.needs else ""
    about: dict[str, Any] = {**key, "help": field.help + needed, "disabled": idle}
    if field.kind == CHOICE:
        return st.selectbox(field.title, field.choices, **about)
    if field.kind == TOGGLE:
        return st.toggle(field.title, **about)
    if field.kind not in (WHOLE, REAL):
        return st.text_input(field.title, **about)
    number: Any = int if field.kind == WHOLE else float
    low, high = (None if bound is None else number(bound) for bound in (field.low, field.high))
    step = 1 if field.kind == WHOLE else 10.0 ** math.floor(math.log10(abs(field.default or 1.0)))
    about |= {"value": None, "placeholder": "none"} if field.optional else {}
    about |= {"format": "%.6g"} if field.kind == REAL else {}
    return st.number_input(field.title, low, high, step=step, **about)


def _together(kind: Any, own: list[Entry], training: list[Entry], values: Mapping[str, Any]) -> bool:
    """Whether something is wrong with the options as a whole; then that is said under them."""
    try:
        kind.Options.read(form.chosen(own, values)).check_needs()
        trainer.TrainOptions.read({field.name: values[field.name] for field in training})
        trainer.Place.read({"out": ".", **{field.name: values[field.name] for field in _places()}})
    except ValueError as error:
        st.error(literal(str(error)))
        return True
    return False


def _estimate(model: str, options: dict[str, Any], training: dict[str, Any], data: str, images: Images) -> None:
    try:
        found = run.estimate(model, options, training, images, f"{data} {len(images)}")
    except (ValueError, RuntimeError) as error:
        st.error(literal(f"This model cannot be made: {error}"))
        return
    time = "one pass over the data" if found.seconds is None else f"about {curves.duration(found.seconds)} on the CPU"
    st.caption(f"{found.parameters:,} parameters, {curves.size(found.memory)} of memory, {time}")
