"""Widgets that several pages share: where a view starts from, and the address that leads back to it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from explorer.run import Run

if TYPE_CHECKING:
    from trainer import Latent

MEAN, SAMPLE, IMAGE = "mean", "sample", "image"
DIGITS = 4  # decimals that an address keeps; a latent is rounded to them, so that a link is the same view


@dataclass(frozen=True)
class Start:
    """A latent in plain numbers, the data image it came from, and a number that changes with each new start."""

    latent: dict[str, list[float]]
    revision: int
    original: np.ndarray | None = None
    number: int | None = None  # of the data image

    def moved(self, values: dict[str, float]) -> Start:
        """The same with axes (part/dimension) where a person put them."""
        latent = {part: list(numbers) for part, numbers in self.latent.items()}
        for axis, value in values.items():
            part, _, dim = axis.partition("/")
            latent[part][int(dim)] = round(value, DIGITS)
        return replace(self, latent=latent)


def start_from(toolbar: st.delta_generator.DeltaGenerator, run: Run) -> Start:
    """Where to start: the prior's mean, a draw from it, or a data image. A choice makes a new start at once."""
    key = f"start/{run.checkpoint.digest}"
    if key not in st.session_state:
        st.session_state[key] = _from_address(run)
    prior = "prior" if run.has_prior else "codes"
    titles = {
        MEAN: f"Mean of the {prior}",
        SAMPLE: "Random prior sample" if run.has_prior else "Random draw near the codes",
        IMAGE: "Data image",
    }

    def begin() -> None:
        st.session_state[key] = _begin(run, st.session_state["start/kind"], st.session_state[key].revision + 1)

    with toolbar:
        kind = st.selectbox(
            "Start from", list(titles), format_func=titles.__getitem__, key="start/kind", on_change=begin, width=220,
            help="Where all sliders begin" + ("" if run.has_prior else "; this model has no prior, so a Gaussian "
                                              "fitted to its codes stands in"),
        )  # fmt: skip
        if kind == SAMPLE:
            st.number_input(
                "Seed", 0, 2**31 - 1, key="start/seed", on_change=begin, width=140, help="The same seed, the same draw"
            )
        if kind == IMAGE:
            last = len(run.images) - 1
            st.number_input(
                "Image",
                0,
                last,
                key=f"start/image/{run.checkpoint.digest}",
                on_change=begin,
                width=140,
                help=f"Test image 0 … {last:,}",
            )
        st.button("Reset", on_click=begin, icon=":material/restart_alt:", help="All sliders back to where they began")
    start: Start = st.session_state[key]
    return start


def _begin(run: Run, kind: str, revision: int) -> Start:
    if kind == IMAGE:
        return _image(run, int(st.session_state.get(f"start/image/{run.checkpoint.digest}", 0)), revision)
    if kind == SAMPLE:
        return Start(_plain(run.sample(int(st.session_state.get("start/seed", 0)))), revision)
    return Start(_zero(run), revision)


def _image(run: Run, number: int, revision: int) -> Start:
    original, z = run.image(number)
    return Start(_plain(z), revision, original, number)


def _plain(z: Latent) -> dict[str, list[float]]:
    return {part: [round(value, DIGITS) for value in values[0].tolist()] for part, values in z.items()}


def _zero(run: Run) -> dict[str, list[float]]:
    return {name: [0.0] * part.dims for name, part in run.model.space.items()}


def _from_address(run: Run) -> Start:
    """The view that the address describes, or the prior's mean where it describes none of this checkpoint."""
    asked = st.query_params
    if asked.get("checkpoint") != run.checkpoint.name:
        return _begin(run, st.session_state.get("start/kind", MEAN), 0)
    start = Start(_zero(run), 0)
    try:
        if "image" in asked:
            number = int(asked["image"])
            if not 0 <= number < len(run.images):
                raise ValueError(f"image={number}")
            st.session_state["start/kind"] = IMAGE
            st.session_state[f"start/image/{run.checkpoint.digest}"] = number
            start = _image(run, number, 0)
        latent = {
            name: [float(value) for value in asked[name].split(",")] if name in asked else start.latent[name]
            for name in run.model.space
        }
        for name, part in run.model.space.items():
            if len(latent[name]) != part.dims or not np.isfinite(latent[name]).all():
                raise ValueError(f"{name} has {len(latent[name])} values, expected {part.dims} numbers")
    except ValueError as error:
        st.error(f"The link's view cannot be shown ({error}), so this is the start of the checkpoint.")
        return start
    return replace(start, latent=latent)


def remember(run: Run, start: Start) -> None:
    """Keep the view for the next visit in this session, and put it into the address, so that a link reopens it."""
    st.session_state[f"start/{run.checkpoint.digest}"] = start
    view = {"checkpoint": run.checkpoint.name}
    view |= {part: ",".join(f"{value:g}" for value in values) for part, values in start.latent.items()}
    if start.number is not None:
        view["image"] = str(start.number)
    if st.query_params.to_dict() != view:
        st.query_params.from_dict(view)
    st.session_state["asked"] = run.checkpoint.name
