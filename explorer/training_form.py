"""The form of a new training: model, data, options, what it will take, and the button that starts it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

import trainer
from explorer import curves, form, jobs, pictures, run
from explorer.form import CHOICE, REAL, TOGGLE, WHOLE, Entry

if TYPE_CHECKING:
    from trainer import Checkpoint, Images

OWN = "a folder or file of yours"
LOOK = 8  # images of the data that are shown
NEW = "train"  # session state: widgets are train/…, and what they held is kept across pages


def _seed(key: str, default: Any) -> str:
    """The widget's key in the session, which holds what it held on an earlier visit."""
    kept = st.session_state.setdefault("kept", {})
    if key not in st.session_state:
        st.session_state[key] = kept.get(key, default)
    return key


def _keep(key: str, value: Any) -> Any:
    st.session_state["kept"][key] = value
    return value


def fill(checkpoint: Checkpoint) -> None:
    """Fill the form with what a checkpoint was trained with, for a callback."""
    from trainer import models

    values, config = jobs.changes(checkpoint), checkpoint.config
    if config.model not in models.names():
        return
    fields = [*form.entries(models.get(config.model).Options), *form.entries(trainer.TrainOptions), *_places()]
    held = {f"{NEW}/{config.model}/{field.name}": field.shown(values[field.name])
            for field in fields if field.name in values}  # fmt: skip
    named = config.data.name in trainer.data_names()
    held |= {f"{NEW}/model": config.model, f"{NEW}/data": config.data.name if named else OWN}
    held |= {f"{NEW}/name": _free(checkpoint.name)} | ({} if named else {f"{NEW}/path": config.data.name})
    st.session_state.setdefault("kept", {}).update(held)
    st.session_state.update(held)


def _places() -> list[Entry]:
    return [entry for entry in form.entries(trainer.Place) if entry.name in ("size", "half", "note")]


def _free(name: str) -> str:
    """A name like this one that no checkpoint and no job has."""
    taken = {path.name for path in trainer.root().glob("*")} | {job.name for job in jobs.jobs()}
    stem = name.rstrip("0123456789").rstrip("-") if name in taken else name
    return next(new for new in (name, *(f"{stem}-{n}" for n in range(2, 10_000))) if new not in taken)


@st.fragment
def show() -> None:
    """The whole form; a change reruns only this."""
    from trainer import models

    model = st.selectbox(
        "Model", models.names(), key=_seed(f"{NEW}/model", "vae" if "vae" in models.names() else models.names()[0]),
        help="The families of models; the line below says what the chosen one is",
    )  # fmt: skip
    _keep(f"{NEW}/model", model)
    kind = models.get(model)
    st.caption(models.about(model))
    data, images = _data()
    own, training, places = form.entries(kind.Options), form.entries(trainer.TrainOptions), _places()
    values: dict[str, Any] = {}
    problems: list[str] = []
    with st.expander("Options of the model", expanded=True):
        problems += _widgets(model, own, values, kind.Options)
    with st.expander("Options of the training"):
        problems += _widgets(model, [] if kind.closed_form else training, values, trainer.TrainOptions)
        problems += _widgets(model, places, values, None)
    name = st.text_input(
        "Name of the new checkpoint", key=_seed(f"{NEW}/name", _free(f"{model}-{Path(data or 'data').stem}".replace("_", "-"))),
        max_chars=64, help="Small letters, digits, dots and hyphens; the name of its folder",
    )  # fmt: skip
    _keep(f"{NEW}/name", name)
    try:
        trainer.check_folder(trainer.root() / name)
    except ValueError as error:
        problems.append(str(error).split(". Choose another --out")[0])
        st.error(problems[-1])
    if not problems:
        problems += _check(kind, own, values)
    ready = not problems and data is not None
    fields = [*own, *([] if kind.closed_form else training), *places]
    if st.button("Start training", type="primary", disabled=not ready, icon=":material/play_arrow:",
                 help="It runs as a process of its own and goes on when this page is closed"):  # fmt: skip
        _start(name, model, {**({"data": data} if data else {}), **form.chosen(fields, values)})
    if ready and images is not None:
        _estimate(model, own, values, {} if kind.closed_form else _only(training, values), data or "", images)


def _only(fields: list[Entry], values: dict[str, Any]) -> dict[str, Any]:
    return {field.name: values[field.name] for field in fields}


def _start(name: str, model: str, options: dict[str, Any]) -> None:
    try:
        jobs.start(name, model, options)
    except (ValueError, OSError) as error:
        st.error(str(error))
        return
    st.session_state["watch"] = name
    for where in (st.session_state, st.session_state["kept"]):
        where.pop(f"{NEW}/name", None)
    st.rerun()


def _data() -> tuple[str | None, Images | None]:
    """The data's name or path, None until there is one, and its images where nothing need be fetched for them."""
    name: str | None = st.selectbox(
        "Data", [*trainer.data_names(), OWN], key=_seed(f"{NEW}/data", "digits"), help="The images to train on"
    )
    _keep(f"{NEW}/data", name)
    if name == OWN:
        path = st.text_input(
            "Path", key=_seed(f"{NEW}/path", ""), placeholder="/home/me/pictures",
            help="A folder of images, or an .npz file, on the machine that runs this app",
        )  # fmt: skip
        _keep(f"{NEW}/path", path)
        if not path.strip():
            st.caption("Give the path of a folder of images, or of an .npz file with an array “images”.")
            return None, None
        name = str(Path(path.strip()).expanduser().absolute())
        if not Path(name).exists():
            st.error(f"There is no folder or file “{name}”.")
            return None, None
    assert name
    if not trainer.data_is_here(name):
        st.caption(f"The images of {name} are not on this machine yet: they are fetched when the training starts.")
        return name, None
    try:
        images = run.images_of(name, None, Path(name).stat().st_mtime if Path(name).is_absolute() else 0.0)
        import torch

        some = trainer.to_bytes(images.batch(torch.arange(min(LOOK, len(images)))))
    except (ValueError, OSError) as error:
        st.error(str(error))
        return None, None
    picture, width = pictures.crisp(pictures.strip(list(some)), 300)
    c, h, w = images.shape
    st.image(
        picture, width=min(width, 320), caption=f"{len(images):,} images of {h} × {w}, {'grey' if c == 1 else 'RGB'}"
    )
    return name, images


def _widgets(model: str, fields: list[Entry], values: dict[str, Any], options: Any) -> list[str]:
    """A widget per field, its value into `values`; what is wrong with those that are typed."""
    problems = []
    for field in fields:
        key = _seed(f"{NEW}/{model}/{field.name}", field.shown(field.default))
        idle = not field.has_effect({**dict.fromkeys(field.needs), **values})
        shown = _keep(key, _widget(field, key, idle))
        try:
            values[field.name] = field.read(shown)
            if field.kind == form.WIDTHS and options is not None:
                options.read({field.name: values[field.name]})
        except ValueError as error:
            values[field.name] = field.default
            problems.append(str(error))
            st.error(problems[-1])
    return problems


def _widget(field: Entry, key: str, idle: bool) -> Any:
    needed = f" Has an effect only with {' and '.join(field.needs)}." if field.needs else ""
    about = {"key": key, "help": field.help + needed, "disabled": idle}
    if field.kind == CHOICE:
        return st.selectbox(field.title, field.choices, **about)
    if field.kind == TOGGLE:
        return st.toggle(field.title, **about)
    if field.kind not in (WHOLE, REAL):
        return st.text_input(field.title, **about)
    number = int if field.kind == WHOLE else float
    low, high = (None if bound is None else number(bound) for bound in (field.low, field.high))
    step = 1 if field.kind == WHOLE else 10.0 ** (np.floor(np.log10(abs(field.default or 1.0))))
    more: dict[str, Any] = {"value": None, "placeholder": "none"} if field.optional else {}
    layout = {} if field.kind == WHOLE else {"format": "%.6g"}
    return st.number_input(field.title, low, high, step=number(step), **more, **layout, **about)


def _check(kind: Any, own: list[Entry], values: dict[str, Any]) -> list[str]:
    """What is wrong with the options together, said under them."""
    try:
        kind.Options.read(form.chosen(own, values)).check_needs()
        trainer.TrainOptions.read({name: v for name, v in values.items() if name in trainer.TrainOptions.model_fields})
    except ValueError as error:
        st.error(str(error))
        return [str(error)]
    return []


def _estimate(
    model: str, own: list[Entry], values: dict[str, Any], training: dict[str, Any], data: str, images: Images
) -> None:
    try:
        found = run.estimate(model, form.chosen(own, values), training, images, f"{data} {len(images)}")
    except (ValueError, RuntimeError) as error:
        st.error(f"This model cannot be made: {error}")
        return
    time = "one pass over the data" if found.seconds is None else f"about {curves.duration(found.seconds)} on the CPU"
    st.caption(f"{found.parameters:,} parameters, {curves.size(found.memory)} of memory, {time}")
