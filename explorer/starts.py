"""Where a view starts from: the prior's mean, a draw, a data image, a class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from explorer.controls import MOST, literal, standing
from explorer.opened import Run

if TYPE_CHECKING:
    from trainer import Latent

MEAN, SAMPLE, IMAGE, POINT = "mean", "sample", "image", "point"
ANY = -1  # in a choice of classes: none of them in particular
NONE: Mapping[str, int] = {}
DIGITS = 4  # decimals that an address keeps; a latent is rounded to them, so that a link is the same view


@dataclass(frozen=True)
class Start:
    """A latent in plain numbers, where it came from, and a number that changes with each new start."""

    latent: dict[str, list[float]]
    revision: int
    kind: str = MEAN
    seed: int = 0  # of a draw
    number: int = 0  # of a test image, or of a point of the summary
    original: np.ndarray | None = None  # that test image
    blends: Mapping[str, tuple[int, int]] = field(default_factory=dict)  # part -> two classes that its axis blends

    def moved(self, values: dict[str, float]) -> Start:
        """The same with axes where a person put them: "part/dimension", a part that is a class, or "part/one/other",
        the share of the other of two classes. A value between two classes leaves the probabilities as they are.
        """
        latent = {part: list(numbers) for part, numbers in self.latent.items()}
        for axis, value in values.items():
            part, *dims = axis.split("/")
            if len(dims) == 1:
                latent[part][int(dims[0])] = round(value, DIGITS)
            elif dims or value == int(value):
                one, other = (int(dims[0]), int(dims[1])) if dims else (int(value), int(value))
                latent[part] = blended(len(latent[part]), one, other, value if dims else 0.0)
        return replace(self, latent=latent)


def blended(size: int, one: int, other: int, share: float) -> list[float]:
    """Probabilities of `size` classes: `share` of the other, the rest of the one."""
    found = [0.0] * size
    found[other] = round(share, DIGITS)
    found[one] = round(1 - share, DIGITS) if other != one else 1.0
    return found


def start_from(toolbar: st.delta_generator.DeltaGenerator, run: Run) -> Start:
    """Where to start: the prior's mean, a draw from it, or a data image. A choice makes a new start at once."""
    key = key_of(run)
    start: Start = st.session_state[key]
    titles = _titles(run, start)
    last = MOST
    if start.kind in (IMAGE, POINT):
        last = (run.numbers if start.kind == IMAGE else run.points) - 1
    # The widgets say what the view came from, whoever changed it last: a person here, an address, another page.
    number = min(start.number, last)
    shown = {"kind": start.kind, "seed": start.seed, "number": number}
    keys = {name: standing(f"{key}/{name}", value) for name, value in shown.items()}

    def restart(**chosen: Any) -> None:
        now: Start = st.session_state[key]
        before = {"kind": now.kind, "seed": now.seed, "number": now.number}
        st.session_state[key] = begin(run, now.revision + 1, **{**before, **chosen})

    def choose(name: str) -> None:
        value = st.session_state[keys[name]]
        if value != shown[name]:
            restart(**{name: value})

    with toolbar:
        st.selectbox(
            "Start from", list(titles), list(titles).index(start.kind), titles.__getitem__, key=keys["kind"],
            on_change=choose, args=("kind",), width=180,
            help="Where all sliders begin" + ("" if run.has_prior else "; this model has no prior, so a Gaussian "
                                              "fitted to its codes stands in"),
        )  # fmt: skip
        if start.kind == SAMPLE:
            st.number_input(
                "Seed", 0, MOST, start.seed, key=keys["seed"], on_change=choose, args=("seed",), width=140,
                help="The same seed, the same draw",
            )  # fmt: skip
        if start.kind in (IMAGE, POINT):
            about = "Test image" if start.kind == IMAGE else "The decode of training image"
            st.number_input(
                "Image", 0, last, number, key=keys["number"], on_change=choose, args=("number",), width=110,
                help=f"{about} 0 … {last:,}",
            )  # fmt: skip
        st.button("Reset", on_click=restart, icon=":material/restart_alt:", help="All sliders back to where they began")
    if start.kind == POINT and not run.images_are_here:
        st.caption(literal(run.fetching))
    return start


def choose_classes(toolbar: st.delta_generator.DeltaGenerator, run: Run, start: Start) -> None:
    """For each part that is a class: which one, and which one its axis leads to, if any. A choice is a new start."""
    key = key_of(run)

    def choose(part: str, name: str, widget: str, before: int) -> None:
        value = st.session_state[widget]
        if value == before:
            return
        now: Start = st.session_state[key]
        one, other = _pair(now, part)
        one, other = (value, other) if name == "class" else (one, value)
        blends = {name: pair for name, pair in now.blends.items() if name != part}
        if other not in (ANY, one):
            blends[part] = (one, other)
        latent = {**now.latent, part: blended(len(now.latent[part]), one, one, 0.0)}
        st.session_state[key] = replace(now, latent=latent, blends=blends, revision=now.revision + 1)

    for part, names in ((part, run.class_names(part)) for part in run.labels):
        one, other = _pair(start, part)
        keys = standing(f"{key}/{part}/class", one), standing(f"{key}/{part}/towards", other)
        title = class_title(run, part)
        with toolbar:
            st.selectbox(
                title, range(len(names)), one, names.__getitem__, key=keys[0], width=120,
                on_change=choose, args=(part, "class", keys[0], one),
                help="The class that is decoded; of a picture, the most probable one",
            )  # fmt: skip
            st.selectbox(
                "Blend towards", range(ANY, len(names)), other - ANY, [*names, "no other"].__getitem__, key=keys[1],
                width=120, on_change=choose, args=(part, "towards", keys[1], other),
                help="A slider then leads from the class to this one",
            )  # fmt: skip


def _pair(start: Start, part: str) -> tuple[int, int]:
    """The class of a part, and the one that its axis leads to."""
    return start.blends.get(part, (int(np.argmax(start.latent[part])), ANY))


def class_title(run: Run, part: str) -> str:
    """What a part that is a class is called: as it is in the model, unless it is the class that the data have."""
    return "Class" if run.model.labelled else part.capitalize()


def choose_part(toolbar: st.delta_generator.DeltaGenerator, run: Run) -> str:
    """The one part whose sliders are shown, or "" for those of all; asked where there are several, coarse to fine."""
    if len(run.gaussian) < 2:
        return ""
    return toolbar.selectbox(
        "Sliders of", ["", *run.gaussian], format_func=lambda part: part or "all levels", width=140,
        key=f"part/{run.checkpoint.digest}", persist_state="session",
        help="Coarse to fine; an upper level moves what is below it",
    )  # fmt: skip


def _titles(run: Run, start: Start) -> dict[str, str]:
    """What a view can start from, for people. An image is offered where its file is, which reads nothing yet."""
    prior = "prior" if run.has_prior else "codes"
    mean = f"Mean of the {prior}"
    if run.labels:
        mean = "Mean of p(z|y)" if run.gaussian else "First class"
    titles = {MEAN: mean, SAMPLE: "Prior sample" if run.has_prior else "Sample near codes"}
    if run.images_were_fetched or start.kind == IMAGE:
        titles[IMAGE] = "Data image"
    if not run.images_were_fetched or start.kind == POINT:
        titles[POINT] = "Data image's decode"
    return titles


def key_of(run: Run) -> str:
    """Where this session keeps the view of a checkpoint."""
    return f"start/{run.checkpoint.digest}"


def begin(
    run: Run, revision: int, kind: str, seed: int = 0, number: int = 0, labels: Mapping[str, int] = NONE
) -> Start:
    """A new start. Where the images cannot be had, the point of that number stands in for an image. `labels` are the
    classes whose mean it is.
    """
    if kind == IMAGE and run.images_are_here:
        number = min(number, run.numbers - 1)
        original, z = run.image(number)
        return Start(_plain(z), revision, kind, seed, number, original)
    if kind in (IMAGE, POINT):
        number = min(number, run.points - 1)
        return Start(_plain(run.point(number)), revision, POINT, seed, number)
    latent = _plain(run.sample(seed) if kind == SAMPLE else run.class_mean(labels))
    return Start(latent, revision, kind, seed, number)


def _plain(z: Latent) -> dict[str, list[float]]:
    """One latent in plain numbers, as an address keeps them: 0 without a sign."""
    return {part: [round(value, DIGITS) + 0.0 for value in values[0].tolist()] for part, values in z.items()}
