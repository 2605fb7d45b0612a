"""A person's own pictures on a map: where they belong, how that is known, and how far out they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from explorer import answers, projecting, projection, sources
from explorer.atlas import Shown
from explorer.controls import literal
from explorer.opened import Run

if TYPE_CHECKING:
    from torch import Tensor

MEASURED = 5_000  # points at most whose own neighbours say what is far out


@dataclass(frozen=True)
class Brought:
    """A picture of a person's own, among the points."""

    name: str
    point: np.ndarray  # (d,)
    place: np.ndarray  # (2,)
    image: Tensor  # (1, c, h, w) in [0, 1], as the model sees it


def bring(run: Run, shown: Shown) -> list[Brought]:
    """Pictures that a person puts on the map, and how each came to its place."""
    if not st.toggle("Place a picture", key="map/bring", help="Upload, draw or choose pictures to see where they lie"):
        return []
    said = st.container(gap=None)  # what became of the pictures stands above what chooses them
    subjects = sources.choose(run)
    if not subjects or not len(shown.cloud):
        return []
    try:
        found = [answer.found for answer in answers.answers([run], subjects)[0]]
    except ValueError as error:
        st.error(literal(str(error)))
        return []
    import torch

    new = np.concatenate([run.model.points(run.tensors(each.latent)).numpy() for each in found])
    with said:
        places, how = _places(shown, new)
        st.caption(how)
        for subject, share in zip(subjects, _outlying(shown, new), strict=True):
            st.caption(literal(f"{subject.picture.name}: further out than {share:.0f} % of the training latents"))
    images = [torch.from_numpy(each.seen).permute(2, 0, 1)[None].float() / 255 for each in found]
    names = [subject.picture.name for subject in subjects]
    return [Brought(*each) for each in zip(names, new, places, images, strict=True)]


def _places(shown: Shown, new: np.ndarray) -> tuple[np.ndarray, str]:
    by_neighbours = shown.placed(new)
    if shown.projected.umap is None:
        return by_neighbours, f"Placed exactly, for {shown.projected.title} is linear."
    by_umap = projecting.place_by_umap(shown.cloud, shown.points, shown.projected, new)
    if by_umap is None:
        return by_neighbours, "Placed among its nearest neighbours, until UMAP's transform is ready."
    return by_umap, "Placed by UMAP's transform."


def _outlying(shown: Shown, new: np.ndarray) -> np.ndarray:
    wanted = (shown.points, new.tobytes())
    known, shares = st.session_state.get("map/outlying", (None, np.zeros(0)))
    if known != wanted:
        training = shown.cloud.run.summary.arrays["points"].astype(np.float32)
        shares = projection.outlyingness(training[:MEASURED], new)
        st.session_state["map/outlying"] = (wanted, shares)
    found: np.ndarray = shares
    return found
