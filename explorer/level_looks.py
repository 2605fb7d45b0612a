"""What the page Levels does with an image: resample levels, swap them, add them one by one, move them."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from explorer import address, answers, controls, levels, live, pictures, sources, starts
from explorer.opened import Run
from explorer.view import View

if TYPE_CHECKING:
    from trainer import Latent

PICTURE, DRAWN = "A picture", "A prior sample"
SIDE, CELL, STEP = 112, 56, 84  # px, about, of a picture alone, in a row, and of a step
OTHER = 2**20  # added to the seed of draws: the sample that they are drawn beside has one from 0 on too
Place = Any  # a Streamlit container


@dataclass(frozen=True)
class Chosen:
    """A latent to work on, in plain numbers, with its decode; and the image that it was inferred from, if any."""

    latent: dict[str, list[float]]
    decoded: np.ndarray  # (h, w, c) uint8
    seen: np.ndarray | None = None  # (h, w, c) uint8
    image: np.ndarray | None = None  # the same, in [0, 1]

    @property
    def key(self) -> str:
        return f"{zlib.crc32(repr(self.latent).encode()):08x}"


def _picture(opened: Run, subject: sources.Subject) -> Chosen | None:
    try:
        answer = answers.answers([opened], [subject])[0][0]
    except ValueError as error:
        st.error(controls.literal(str(error)))
        return None
    found = answer.found
    return Chosen(found.latent, found.reconstruction, found.seen, np.asarray(answer.steps[-1].image))


def _start(opened: Run, left: Place) -> Chosen | None:
    """The latent of a picture, or a draw from the prior."""
    with left:
        kind = st.radio("Start from", [PICTURE, DRAWN], horizontal=True, key="levels/start",
                        help="Whose levels are kept, resampled or moved")  # fmt: skip
        if kind == PICTURE:
            subjects = sources.choose(opened, most=1)
            return _picture(opened, subjects[0]) if subjects else None
        seed = st.number_input(
            "Seed of the sample", 0, controls.MOST, key="levels/seed", help="Another seed, another sample"
        )
        z = opened.sample(int(seed))
        return Chosen(opened.plain(z), opened.decode(z)[0])


def _waiting(stage: Place) -> None:
    stage.info("Choose, upload, draw or photograph a picture, and its levels appear here.")


def surgery(opened: Run, left: Place, stage: Place) -> None:
    """Some levels kept, the others drawn from the prior: what each decides about the image."""
    chosen, parts = _start(opened, left), list(opened.gaussian)
    with left:
        own = st.pills("Keep in the first row", parts, selection_mode="multi", default=parts[:-1],
                       key=f"levels/keep/{opened.checkpoint.digest}",
                       help="The others are drawn from the prior; with all kept it is the reconstruction")  # fmt: skip
        way = st.selectbox("Resample in the rows below", [levels.EACH, levels.BELOW, levels.ABOVE], key="levels/way",
                           help="Upper levels move what is below them, through the prior")  # fmt: skip
        count = st.slider("Draws", 2, 12, 8, key="levels/draws", help="Columns: each has the same draws in all rows")
        seed = st.number_input("Seed of the draws", 0, controls.MOST, key="levels/draw", help="Other draws")
    if chosen is None:
        return _waiting(stage)
    first = tuple(part for part in parts if part not in own)
    rows = [first, *levels.rows(parts, way)]
    z = opened.tensors(chosen.latent)
    drawn = int(seed) + OTHER
    images = [levels.resampled_pictures(opened, z, row, count, drawn) for row in rows]
    with stage:
        _heads(chosen)
        for row, pictures_of_it in zip(rows, images, strict=True):
            _strip(f"{', '.join(row)} resampled" if row else "nothing resampled", pictures_of_it)
        with st.container(horizontal=True):
            name = f"{opened.checkpoint.name}-levels"
            _file("PNG", lambda: pictures.grid_png(images), f"{name}.png", "image/png", "All rows as one picture")
            _file("Latents", lambda: _as_json(opened, z, rows, count, drawn), f"{name}.json", "application/json",
                  "The latent of every picture, row by row")  # fmt: skip
    return None


def _file(label: str, make: Callable[[], str | bytes], name: str, mime: str, about: str) -> None:
    st.download_button(label, make, name, mime, on_click="ignore", icon=":material/download:", help=about)


def _as_json(opened: Run, z: Latent, rows: Sequence[tuple[str, ...]], count: int, seed: int) -> str:
    drawn = [levels.resampled(opened, z, row, count, seed) for row in rows]
    table = [{"resampled": row, "latents": [opened.plain(latents, i) for i in range(count)]}
             for row, latents in zip(rows, drawn, strict=True)]  # fmt: skip
    return json.dumps({"checkpoint": opened.checkpoint.name, "start": opened.plain(z), "rows": table})


def swap(opened: Run, left: Place, stage: Place) -> None:
    """Two images that exchange their upper levels."""
    with left:
        subjects = [*sources.choose(opened, "First picture from", "sources", 1),
                    *sources.choose(opened, "Second picture from", "sources/to", 1)]  # fmt: skip
    if len(subjects) < 2:
        return _waiting(stage)
    with stage:
        one, other = (_picture(opened, subject) for subject in subjects)
        if one is None or other is None:
            return None
        parts = list(opened.gaussian)
        both = levels.swapped(opened, opened.tensors(one.latent), opened.tensors(other.latent))
        heads = ["own levels", *("upper " + ", ".join(parts[: k + 1]) for k in range(len(parts)))]
        for title, row in zip(("The first picture", "The second picture"), both, strict=True):
            st.markdown(f"**{title}**, with more and more upper levels of the other")
            with st.container(horizontal=True, gap="small"):
                for head, image in zip(heads, row, strict=True):
                    answers.picture(head, image, 96)
    return None


def progressive(opened: Run, left: Place, stage: Place) -> None:
    """From the prior means to the reconstruction, a level at a time."""
    with left:
        subjects = sources.choose(opened, most=1)
    if not subjects:
        return _waiting(stage)
    with stage:
        chosen = _picture(opened, subjects[0])
        if chosen is None or chosen.image is None:
            return None
        _heads(chosen)
        with st.container(horizontal=True, gap="xsmall"):
            for step in levels.progressive(opened, chosen.image, opened.tensors(chosen.latent)):
                with st.container(width=STEP + 8):
                    answers.picture(f"with its {step.part}" if step.part else "prior means", step.picture, STEP)
                    if step.part:
                        colours, limit = pictures.difference(step.change)
                        answers.picture(f"change, ±{limit:.2f}", colours, STEP)
                        st.caption(_price(step))
        st.caption("What a level costs is its KL for this picture; what it gains is how much log p(x|z) rises, "
                   "each level being at its posterior mean or its prior mean. Red is brighter.")  # fmt: skip
    return None


def _price(step: levels.Step) -> str:
    cost = "" if step.nats is None else f"costs {step.nats:,.1f} nats"
    gain = "" if step.gain is None else f"{'gains' if step.gain >= 0 else 'loses'} {abs(step.gain):,.1f} nats"
    return ", ".join(filter(None, (cost, gain)))


def sliders(opened: Run, left: Place, stage: Place) -> None:
    """Every dimension of one level, live; an upper one moves what is below it."""
    chosen, parts = _start(opened, left), list(opened.gaussian)
    with left:
        part = st.selectbox(
            "Sliders of", parts, key="levels/part", help="Coarse to fine; the other levels stay where they are"
        )
    if chosen is None:
        return _waiting(stage)
    base = f"levels/moved/{opened.checkpoint.digest}/{chosen.key}"
    revision, latent = st.session_state.get(base, (0, chosen.latent))
    key = f"{base}/{part}"
    event = live.reported(key)
    if event.revision == revision:
        latent = starts.Start(latent, revision).moved(event.values).latent
    st.session_state[base] = revision, latent

    def reset() -> None:
        st.session_state[base] = revision + 1, chosen.latent

    left.button("Reset", on_click=reset, icon=":material/restart_alt:", help="All levels back to where they began")
    if left.button("Explore its latent", icon=":material/tune:", help="Opens the page with the sliders of all levels"):
        address.go_to_view(opened, latent)
    view = View(opened, latent, st.session_state.setdefault("levels/pictures", {}), moved=part)
    with stage:
        names = controls.names_of(opened, event.named)
        live.canvas(view.axes(names, event.wanted), view.picture, key=key, revision=revision, unit=view.unit,
                    original=chosen.seen,
                    fold_label=f"{len(view.inactive)} inactive dimensions: the data hardly use them")  # fmt: skip
    return None


def _heads(chosen: Chosen) -> None:
    with st.container(horizontal=True, gap="small"):
        if chosen.seen is not None:
            answers.picture("input", chosen.seen, SIDE)
        answers.picture("reconstruction" if chosen.seen is not None else "prior sample", chosen.decoded, SIDE)


def _strip(caption: str, images: np.ndarray) -> None:
    picture, width = pictures.crisp(pictures.strip(list(images)), CELL * len(images))
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        with st.container(width=128):
            st.caption(caption)
        st.image(picture, width=width, output_format="PNG", alt=f"{len(images)} images, {caption}")
