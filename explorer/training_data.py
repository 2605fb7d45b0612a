"""The images that a new training is for: chosen, and looked at."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

import trainer
from explorer import pictures, run
from explorer.controls import literal
from explorer.job import modified
from explorer.training_fields import kept, places, widget

if TYPE_CHECKING:
    from trainer import Images

OWN = "a folder or file of yours"
USUAL = "digits"  # small, and on every machine: scikit-learn brings it
LOOK = 8  # images of the data that are shown
ENTRIES = 20_000  # files and folders of a person's own set that are asked when they were written; about 0.1 s


@dataclass(frozen=True)
class Chosen:
    """The data of a new training."""

    name: str  # or path
    side: int | None = None  # px, that images of a folder are brought to
    changed: float = 0.0
    images: Images | None = None  # all of them, where nothing need be fetched for that

    @property
    def key(self) -> str:
        """What stands for all the images."""
        return f"{self.name} {self.changed} {self.side}"

    def some(self, size: int | None, labels: int | None, seed: int) -> Images:
        """So many of the images, a model being told so many labels. Raises ValueError or OSError."""
        return run.images_of(self.name, self.side, self.changed, size, labels, seed)


def choose() -> Chosen | None:
    """What is chosen; None until there is something."""
    side = None
    names = [*trainer.data_names(), OWN]
    first = [USUAL, *names] if USUAL in names else names
    here = next(name for name in first if name == OWN or trainer.data_is_here(name))
    name = st.selectbox("Data", names, **kept("data", here), help="The images to train on")
    if name == OWN:
        path = st.text_input(
            "Path", **kept("path", ""), placeholder="/home/me/pictures",
            help="A folder of images or of WAV files, or an .npz file, on the machine that runs this app",
        ).strip()  # fmt: skip
        if not path:
            st.caption(
                "Give the path of a folder of images or of WAV files, or of an .npz file with an array “images”."
            )
            return None
        try:
            name = str(Path(path).expanduser().absolute())
            is_there = Path(name).exists()
        except (OSError, RuntimeError, ValueError) as error:
            st.error(literal(f"“{path[:100]}” cannot be looked at: {error}"))
            return None
        if not is_there:
            st.error(literal(f"There is no folder or file “{name}”."))
            return None
        if Path(name).is_dir():
            (field,) = places("side")
            side = widget(field, kept("side", None), idle=False)
    if not trainer.data_is_here(name):
        st.caption(f"The images of {name} are not on this machine yet: they are fetched when the training starts.")
        return Chosen(name, side)
    try:
        chosen = Chosen(name, side, changed(name))
        images = chosen.some(None, None, 0)
        _look(images)
    except (ValueError, OSError) as error:
        st.error(literal(str(error)))
        return None
    return replace(chosen, images=images)


def changed(name: str) -> float:
    """When a person's own set was last written, of a very large one as far as it is walked; a named one never changes.

    A folder comes before what lies in it, and its own time tells what was added to it or taken away.
    """
    if not Path(name).is_absolute():
        return 0.0
    walked = os.walk(name)  # nothing where it is a file
    inside = (Path(folder, entry) for folder, folders, files in walked for entry in (*folders, *files))
    return max(modified(path) for path in (Path(name), *islice(inside, ENTRIES)))


def _look(images: Images) -> None:
    """The first few images of the data, and how many and how large they are."""
    import torch

    some = trainer.to_bytes(images.batch(torch.arange(min(LOOK, len(images)))))
    picture, _ = pictures.crisp(pictures.strip(list(some)), 300)
    c, h, w = images.shape
    about = f"{len(images):,} images of {h} × {w}, {'grey' if c == 1 else 'RGB'}"
    st.image(picture, width="stretch", caption=about)
