"""Samples of a model whose latent is codes: drawn place after place, not by scaling noise. The stage of that page."""

from __future__ import annotations

import math
import secrets
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from explorer import address, controls, live, pictures, progress
from explorer.opened import Run
from explorer.samples import counts

if TYPE_CHECKING:  # it would load torch
    from trainer import Latent


@st.fragment
def stage(run: Run) -> None:
    """All that changes when something is chosen."""
    key = f"code samples/{run.checkpoint.digest}"
    toolbar = st.container(horizontal=True, vertical_alignment="bottom", gap="small")
    offered = counts(math.prod(run.model.shape))
    with toolbar:
        count = st.selectbox("Samples", offered, min(2, len(offered) - 1), key=f"{key}/count", width=110,
                             help="Images on the sheet", persist_state="session")  # fmt: skip
        seed = st.number_input("Seed", 0, controls.MOST, key=f"{key}/seed", width=110,
                               help="The same seed, the same codes", persist_state="session")  # fmt: skip
        st.button("New seed", on_click=_new_seed, args=(f"{key}/seed",), icon=":material/casino:", help="Other samples")
        temperature = st.slider(
            "Temperature", 0.1, 2.0, 1.0, 0.1, key=f"{key}/temperature", width=240, persist_state="session",
            help="Divides the log-probability of each code: below 1 the likely ones come more often",
        )  # fmt: skip
        classes, label = run.known_classes, None
        if classes:
            label = st.selectbox(
                "Class", [None, *range(len(classes))], key=f"{key}/class", width=140, persist_state="session",
                format_func=lambda each: "any" if each is None else classes[each],
                help="The prior has learned which codes go with each class",
            )  # fmt: skip
    z, images = _drawn(run, int(count), int(seed), temperature, label)
    side = math.isqrt(len(images))
    canvas = f"{key}/canvas"
    revision = hash((count, seed, temperature, label)) % 2**31
    picked = live.reported(canvas).cell(revision, len(images))
    if picked is not None:
        address.go_to_view(run, run.plain(z, picked))
    live.canvas(
        [], pictures.laid(images, side), key=canvas, revision=revision, unit="",
        cells=live.Cells(side, side, len(images), "Click a sample, or press Enter on it, to edit its codes"),
    )  # fmt: skip
    toolbar.download_button(
        "PNG", lambda: pictures.grid_png(list(images.reshape(side, side, *images.shape[1:]))),
        f"{run.checkpoint.name}-samples.png", "image/png", icon=":material/download:", on_click="ignore",
        help="The grid on screen, as a picture",
    )  # fmt: skip


def _new_seed(key: str) -> None:
    st.session_state[key] = secrets.randbelow(100_000)


def _drawn(run: Run, count: int, seed: int, temperature: float, label: int | None) -> tuple[Latent, np.ndarray]:
    """The codes of `count` samples and their decodes (count, h, w, c) uint8, drawn once, with progress."""
    wanted = (run.version, count, seed, temperature, label)
    known, drawn = st.session_state.get("code samples", (None, None))
    if known != wanted:
        z = run.sample(seed, count, temperature, label, progress.shown("Drawing codes", "places"))
        drawn = z, run.decode(z)
        st.session_state["code samples"] = (wanted, drawn)
    return drawn
