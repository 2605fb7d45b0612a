"""Opening checkpoints and data, and waking up: the only file that caches."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable, Container
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import streamlit as st
from streamlit.runtime import get_instance
from streamlit.runtime.scriptrunner import get_script_run_ctx

import trainer
from explorer import comparing, launching
from explorer.comparing import Measured
from explorer.opened import Run, drawing

if TYPE_CHECKING:  # these names would load torch, and the first paint does not wait for that
    from trainer import Checkpoint, Estimate, Images

T = TypeVar("T")


def open_run(checkpoint: Checkpoint) -> Run:
    """A checkpoint, opened once for all sessions until it is trained, or measured, anew.

    Raises ValueError or OSError with a sentence for the page.
    """
    path = trainer.describe(checkpoint.path).path  # it may have gone since it was listed
    weights = (path / "model.safetensors").stat()
    digest = _digest(str(path), weights.st_mtime_ns, weights.st_size)
    rest = [path / "config.json", path / "summary.npz", *sorted(path.glob("*/model.safetensors"))]
    changed = [f"{file.relative_to(path)}@{file.stat().st_mtime_ns}" for file in rest if file.exists()]
    return _open(str(path), " ".join([digest, *changed]))


def unreadable(found: Container[str]) -> dict[str, str]:
    """Why folders besides the checkpoints `found` cannot be read, by name. What has no weights yet is none of them."""
    why = {}
    for path in sorted(trainer.root().glob("*/config.json")):
        if path.parent.name in found:
            continue
        try:
            trainer.describe(path.parent)
        except FileNotFoundError:
            continue
        except (ValueError, OSError) as error:
            why[path.parent.name] = str(error)
    return why


def history(checkpoint: Checkpoint) -> list[dict[str, Any]]:
    """What happened in its training, as `Checkpoint.history` says; a long one is parsed once for all sessions, until it
    grows, and may not be changed.

    Raises ValueError or OSError with a sentence for the page.
    """
    file = checkpoint.path / "history.jsonl"
    found = file.stat() if file.exists() else None
    if found is None or found.st_size < LONG:
        return checkpoint.history()
    return _history(str(checkpoint.path), found.st_mtime_ns, found.st_size)


LONG = 1_000_000  # bytes of a history that takes a moment to parse


@st.cache_resource(max_entries=2, show_spinner=False)  # few, since one may take several hundred MB of memory
def _history(path: str, changed: int, size: int) -> list[dict[str, Any]]:
    return trainer.describe_running(path).history()


def measured(checkpoint: Checkpoint) -> Measured:
    """What was measured of a checkpoint, read once for all sessions until it is measured, or trained, anew.

    Raises ValueError or OSError with a sentence for the page.
    """
    path = trainer.describe(checkpoint.path).path  # it may have gone since it was listed
    files = [path / name for name in ("model.safetensors", "summary.npz", "evaluation.json")]
    return _measured(str(path), *(file.stat().st_mtime_ns if file.exists() else 0 for file in files))


@st.cache_resource(max_entries=512, show_spinner=False)
def _measured(path: str, *changed: int) -> Measured:
    summary = trainer.load_summary(Path(path))
    with drawing:
        model = trainer.load(path)
    return comparing.measured(trainer.describe(path), model, summary)


def kept(make: Callable[[], T], *key: str | int) -> T:
    """What `make` gave for this key, in any session; it may draw its progress, and may not change afterwards."""
    shelf = _large(*key) if key[0] in LARGE else _shelf(*key)
    if not shelf:
        shelf.append(make())
    found: T = shelf[0]
    return found


LARGE = ("cloud", "images")  # what takes long to make, and stays whatever else is kept


@st.cache_resource(max_entries=8, show_spinner=False)
def _large(*key: str | int) -> list[Any]:
    return []


@st.cache_resource(max_entries=64, show_spinner=False)
def _shelf(*key: str | int) -> list[Any]:
    return []


@lru_cache(maxsize=256)
def _digest(path: str, changed: int, size: int) -> str:
    """The weights' digest, which takes reading them; `changed` and `size` say when to do that again."""
    return trainer.describe(path).digest


@st.cache_resource(max_entries=8, show_spinner="Opening the checkpoint …")
def _open(path: str, version: str) -> Run:
    with drawing:
        model = trainer.load(path)
    run = Run(trainer.describe(path), model, trainer.load_summary(Path(path)), version)
    run.summary.check(run.model.space)
    settle()
    return run


@st.cache_resource(show_spinner=False)
def warm_up() -> None:
    """After the first paint: import torch in the background, so that the first picture need not wait for it."""

    def work() -> None:
        import torch  # noqa: F401

        import trainer.models  # noqa: F401

    threading.Thread(target=work, daemon=True).start()


def while_open(close: Callable[[], object]) -> None:
    """Call a method when the browser tab of this session is gone, or the server ends, if its object is still there."""
    runtime, context = get_instance(), get_script_run_ctx()
    assert context
    session, method = context.session_id, weakref.WeakMethod(close)

    def watch() -> None:
        while method() and runtime.is_active_session(session):
            time.sleep(1)
        if found := method():
            found()

    threading.Thread(target=watch, daemon=True).start()


def settle() -> None:
    """Take what is loaded out of the garbage collector, which runs after every rerun and would walk all of torch."""
    gc.unfreeze()  # what was taken out before and is garbage by now
    gc.collect()
    gc.freeze()


@st.cache_resource(max_entries=4, show_spinner="Reading the data …")
def images_of(name: str, side: int | None, changed: float, size: int | None, labels: int | None, seed: int) -> Images:
    """The training images of a data set, all or `size` of them; `changed` makes a person's own set new when its files
    are. Models are told that many `labels`, drawn by `seed`, or all.

    Raises ValueError or OSError with a sentence.
    """
    return trainer.load_data(name, "train", size, side, labels, seed)


@st.cache_data(max_entries=64, show_spinner="Taking a few steps, to see how long all will take …")
def estimate(model: str, options: dict[str, Any], training: dict[str, Any], _images: Images, key: str) -> Estimate:
    """What a training will take; `key` stands for the images. Raises ValueError where no model can be made of them."""
    from trainer import models

    kind = models.get(model)
    steps = trainer.TrainOptions.read(training)
    with drawing:  # it also sets how many threads torch has
        return trainer.estimate(model, kind.Options.read(options), steps, _images, launching.threads("cpu"))
