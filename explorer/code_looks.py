"""What the page Codebook shows under its board: how codes are used, what each is, what they cost; and sound."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import streamlit as st

from explorer import codebook_figures, codes, controls, figures, pictures, progress, rate, stage_training, waves
from explorer.live import LIMIT
from explorer.opened import Run

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

T = TypeVar("T")
KEPT = 64  # things that a session keeps, so that a click elsewhere computes nothing again
SHOWN, NEAREST = 12, 8  # patches of a code, and its neighbours
SIDE = 64  # px, about, of a tile
FINE = 768  # samples, at least, of a tile: a drawing of fewer may be too narrow for its label, or have gaps


def kept(run: Run, what: tuple[object, ...], make: Callable[[], T]) -> T:
    """What `make` gives, made once in a session for a checkpoint."""
    known: dict[tuple[object, ...], T] = st.session_state.setdefault("codebook/kept", {})
    key = (run.version, *what)
    known[key] = known.pop(key) if key in known else make()
    while len(known) > KEPT:
        del known[next(iter(known))]
    return known[key]


def palette(run: Run, part: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The codes as they are offered, their shares of the data's cells, and their tiles."""

    def make() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        usage = run.summary.codes[part].usage
        order = codes.by_usage(usage)[: codes.LISTED]
        return order, usage[order] / max(1, usage.sum()), codes.constant_tiles(run, part, order)

    return kept(run, ("palette", part), make)


def candidates(run: Run, part: str, grid: np.ndarray, cells: Sequence[int]) -> codes.Candidates:
    """`codes.candidates`, which do not depend on what the cells hold now."""
    others = np.delete(grid.flatten(), cells).tobytes()
    return kept(run, ("candidates", part, others, *cells), lambda: codes.candidates(run, part, grid, cells, LIMIT // 2))


def choose_code(run: Run, part: str, last: int | None) -> int:
    """The code that is looked at closely: that of the cell chosen last, or any that a person names."""
    key = f"codebook/code/{run.checkpoint.digest}"
    known, count = st.session_state.get(f"{key}/last", (0, 0))
    if last is not None and last != known:  # a new field: a message under way would bring an older one's value back
        known, count = st.session_state[f"{key}/last"] = last, count + 1
    code = st.number_input(
        "Code", 0, run.codes[part].size - 1, known, key=f"{key}/{count}", width=140, persist_state="session",
        help="The code of the cell chosen last, or any other",
    )  # fmt: skip
    return int(code)


def usage(run: Run, part: str, code: int) -> None:
    """From the summary alone, so that it needs no data."""
    counts = run.summary.codes[part]
    left, right = st.columns(2, gap="medium")
    _plot(left, codebook_figures.usage(counts, code))
    _plot(right, codebook_figures.where(counts, code, run.kind))
    if counts.by_class is not None:
        names = run.checkpoint.config.data.class_names or map(str, range(len(counts.by_class)))
        _plot(left, codebook_figures.by_class(counts, list(names)))
    _plot(right, codebook_figures.entropy(counts))


def dictionary(run: Run, part: str, code: int) -> None:
    """One code closely, and the codebook as a map."""
    codebook = codes.codebook(run)
    left, right = st.columns([2, 3], gap="large")
    with left:
        _plot(st, codebook_figures.plane(*codes.plane(codebook), run.summary.codes[part], code))
    with right:
        order, _, tiles = palette(run, part)
        tile = {int(each): tiles[at] for at, each in enumerate(order)}
        near, distances = codes.neighbours(codebook, code, NEAREST)
        st.markdown(f"**Code {code} and its nearest neighbours**, each in a constant grid, with their distances")
        labels = [f"{code}", *(f"{other} · {gap:.2f}" for other, gap in zip(near, distances, strict=True))]
        _strip([tile.get(int(each)) for each in (code, *near)], labels)
        _patches(run, part, code)


def _patches(run: Run, part: str, code: int) -> None:
    kind, parts = run.kind, "samples" if run.is_line else "pixels"
    st.markdown(f"**Where the data have code {code}**: the {parts} around its cell, in test {kind}s")
    if not run.images_are_here:
        st.caption(controls.literal(run.fetching))
        return
    n = min(rate.MEASURED, run.numbers)
    with st.spinner(f"Encoding test {kind}s …"):
        images, grids = kept(run, ("coded", part), lambda: codes.coded(run, part, n))
    found = codes.occurrences(grids, code, SHOWN)
    if not found:
        st.caption(f"None of {n:,} test {kind}s has it.")
    patches = [codes.surroundings(images[image], codes.cell_box(run, part, cell)) for image, cell in found]
    _strip(patches, [f"{kind} {image}" for image, _ in found])


def _strip(tiles: Sequence[np.ndarray | None], labels: Sequence[str]) -> None:
    """Tiles side by side, each with its label; one that is not there is left out."""
    with st.container(horizontal=True, gap="small"):
        for tile, label in zip(tiles, labels, strict=True):
            if tile is not None:
                shown, width = pictures.crisp(waves.drawn(_joined(tile) if len(tile) == 1 else tile), SIDE)
                st.image(shown, caption=label, width=width, alt=label)


def _joined(wave: np.ndarray) -> np.ndarray:
    """(1, n, c) -> (1, FINE or more, 1): a waveform with straight lines between its samples."""
    values = wave.mean((0, 2))
    at = np.linspace(0, len(values) - 1, max(FINE, len(values)))
    return np.interp(at, np.arange(len(values)), values)[None, :, None]


def rates(run: Run, part: str, code: int) -> None:
    """Bits per image or waveform, from the summaries; and images, where they are here, against files."""
    try:
        found = rate.of_codes(run, part)
    except (FileNotFoundError, ValueError) as error:
        st.error(controls.literal(f"The learned prior is left out: {error}"))
        found = rate.of_frequencies(run, part)
    found = found + rate.lossless(run, found)
    if run.images_are_here:
        found = found + kept(run, ("files",), lambda: _measured(run))
    bits = f"bits per {run.kind}"
    _plot(st, codebook_figures.rates(found, bits.capitalize()))
    st.dataframe([{"way": each.name, bits: round(each.bits, 1), "how": each.note} for each in found], hide_index=True,
                 column_config={bits: st.column_config.NumberColumn(format="localized")})  # fmt: skip
    if not run.images_are_here and not run.is_line:
        st.caption(f"PNG and JPEG are measured on test images. {controls.literal(run.fetching)}")
    stage_training.offer_prior(run)
    st.caption("A rate of codes is that of an ideal coder that knows the decoder; a file's reader knows its format.")


def _measured(run: Run) -> list[rate.Rate]:
    if run.is_line:
        return []
    n = min(rate.MEASURED, run.numbers)
    return rate.of_files(run, run.images, n, progress.told(f"Writing {n:,} test images as files"))


def listen(run: Run, latent: dict[str, list[float]], original: np.ndarray | None) -> None:
    """A waveform's original and its decode, to be played."""
    sounds = {"Original": None if original is None else original.ravel(), "Decode": waves.of(run, latent)}
    with st.container(horizontal=True):
        for title, wave in sounds.items():
            if wave is not None:
                with st.container(width=320):
                    st.caption(title)
                    st.audio(waves.played(wave), sample_rate=waves.rate_of(run))


def _plot(place: Any, figure: Figure) -> None:
    place.plotly_chart(figure, config=figures.CONFIG, alt=figure.layout.title.text)
