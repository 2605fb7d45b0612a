"""Widgets through which a person chooses the codes that editing begins with: of a picture, of a draw, or of a link."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import streamlit as st

from explorer import address, codes, controls, progress, sources
from explorer.opened import Run
from explorer.seeing import see

PICTURE, DRAWN, LINKED = "Picture", "Draw", "Link"
KEPT = 32  # grids that a session keeps, so that nothing is encoded or drawn twice


@dataclass(frozen=True)
class Given:
    """One grid of codes, or two whose cells can change places, and what they are of."""

    starts: np.ndarray  # (1 or 2, h, w)
    originals: tuple[np.ndarray | None, ...]  # each (h, w, c) in [0, 1], None where the codes are of no image
    revision: int  # another one for other codes


def follow_address(run: Run, part: str) -> None:
    """In a whole run of the page: begin with the codes that a link, or another page, brought. A run of the board alone
    may come with an address that is older than what was written there last.
    """
    key = f"codebook/{run.checkpoint.digest}"
    try:
        asked = address.codes_asked(run, part)
    except ValueError as error:
        st.error(controls.literal(f"The link's codes cannot be shown: {error}"))
        return
    if asked is not None:
        st.session_state[f"{key}/linked"] = asked
        st.session_state[f"{key}/kind"] = LINKED


def choose(toolbar: st.delta_generator.DeltaGenerator, run: Run, part: str) -> Given | None:
    """What a person chose; None, and a sentence that says what to do, where there is nothing yet."""
    key = f"codebook/{run.checkpoint.digest}"
    linked: np.ndarray | None = st.session_state.get(f"{key}/linked")
    drawn = "the prior" if run.has_prior else "independent codes"
    titles = {PICTURE: "A waveform" if run.is_line else "A picture", DRAWN: f"A draw from {drawn}"}
    titles |= {LINKED: "The link's codes"} if linked is not None else {}
    st.session_state.setdefault(f"{key}/kind", PICTURE if run.numbers else DRAWN)
    with toolbar:
        kind = st.selectbox("Start from", list(titles), format_func=titles.__getitem__, key=f"{key}/kind", width=220,
                            help="Whose codes are edited", persist_state="session")  # fmt: skip
        if kind == DRAWN:
            seed = st.number_input("Seed", 0, controls.MOST, key=f"{key}/seed", width=120, persist_state="session",
                                   help="The same seed, the same codes")  # fmt: skip
            return _given([(f"seed {seed}", _once(run, f"seed {seed}", lambda: _draw(run, part, int(seed))), None)])
        if kind == LINKED and linked is not None:
            return _given([("link", linked, None)])
        return _waveform(run, part, key) if run.is_line else _pictures(run, part)


def _given(found: Sequence[tuple[str, np.ndarray, np.ndarray | None]]) -> Given:
    names, grids, images = zip(*found, strict=True)
    starts = np.stack(grids)
    return Given(starts, images, zlib.crc32(repr(names).encode() + starts.tobytes()))


def _pictures(run: Run, part: str) -> Given | None:
    """The codes of one or two pictures."""
    with st.popover("Choose the picture", icon=":material/image:", help="From the data, a file, a drawing or a photo"):
        subjects = sources.choose(run)
        if not subjects:
            return None
        subject = sources.one_of(subjects)
        others = {other.picture.name: other for other in subjects if other is not subject}
        name = st.selectbox("Swap cells with", [None, *others], format_func=lambda name: name or "no other picture",
                            help="A second picture, such as by “How many”: chosen cells change places with its own",
                            key="codebook/second")  # fmt: skip
    found = []
    for chosen in [subject, *([others[name]] if name in others else [])]:
        image = _seen(run, chosen)
        grid = _once(run, chosen.key, partial(codes.encode, run, part, image))
        found.append((chosen.key, grid, image))
    return _given(found)


def _seen(run: Run, subject: sources.Subject) -> np.ndarray:
    """What the model sees of a picture, (h, w, c) in [0, 1]."""
    return see(subject.picture, run.model.shape, run.look, sources.proposed(subject, run))[-1].image


def _waveform(run: Run, part: str, key: str) -> Given | None:
    import torch

    if not run.images_are_here:
        st.info(controls.literal(run.fetching))
        return None
    number = st.number_input("Waveform", 0, run.numbers - 1, key=f"{key}/number", width=140,
                             help=f"Of the test data, 0 … {run.numbers - 1:,}")  # fmt: skip
    image = run.images.batch(torch.tensor([int(number)]))[0].permute(1, 2, 0).numpy()
    return _given([(f"waveform {number}", codes.encode(run, part, image), image)])


def _draw(run: Run, part: str, seed: int) -> np.ndarray:
    return np.asarray(run.sample(seed, track=progress.shown("Drawing codes", "places"))[part][0])


def _once(run: Run, key: str, make: Callable[[], np.ndarray]) -> np.ndarray:
    kept: dict[tuple[str, str], np.ndarray] = st.session_state.setdefault("codebook/grids", {})
    name = (run.version, key)
    if name not in kept:
        kept[name] = make()
        while len(kept) > KEPT:
            del kept[next(iter(kept))]
    return kept[name]
