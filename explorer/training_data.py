"""The images that a new training is for: chosen, and looked at."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

import trainer
from explorer import pictures, run
from explorer.controls import literal
from explorer.training_fields import kept, places, widget

if TYPE_CHECKING:
    from trainer import Images

OWN = "a folder or file of yours"
LOOK = 8  # images of the data that are shown


def choose() -> tuple[str | None, int | None, Images | None]:
    """The data's name or path, None until there is one; the side that images of a folder are brought to; and the images
    where nothing need be fetched for them.
    """
    side = None
    names = [*trainer.data_names(), OWN]
    here = next(name for name in names if name == OWN or trainer.data_is_here(name))
    name = st.selectbox("Data", names, **kept("data", here), help="The images to train on")
    if name == OWN:
        path = st.text_input(
            "Path", **kept("path", ""), placeholder="/home/me/pictures",
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
            (field,) = places("side")
            side = widget(field, kept("side", None), idle=False)
    if not trainer.data_is_here(name):
        st.caption(f"The images of {name} are not on this machine yet: they are fetched when the training starts.")
        return name, side, None
    try:
        images = run.images_of(name, side, changed(name))
        _look(images)
    except (ValueError, OSError) as error:
        st.error(literal(str(error)))
        return None, None, None
    return name, side, images


def told(name: str, side: int | None, labels: int | None, seed: int) -> Images:
    """The images of a data set that lies here, a model being told so many labels. Raises ValueError or OSError."""
    return run.images_of(name, side, changed(name), labels, seed)


def changed(name: str) -> float:
    """When a person's own set was last written; a named one never changes."""
    if not Path(name).is_absolute():
        return 0.0
    folders = [folder for folder, _, _ in os.walk(name)]  # none where it is a file
    return max(os.stat(each).st_mtime for each in (name, *folders))


def _look(images: Images) -> None:
    """The first few images of the data, and how many and how large they are."""
    import torch

    some = trainer.to_bytes(images.batch(torch.arange(min(LOOK, len(images)))))
    picture, _ = pictures.crisp(pictures.strip(list(some)), 300)
    c, h, w = images.shape
    about = f"{len(images):,} images of {h} × {w}, {'grey' if c == 1 else 'RGB'}"
    st.image(picture, width="stretch", caption=about)
