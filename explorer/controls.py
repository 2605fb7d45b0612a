"""What several pages share: where a view starts from, checkpoints beside it, previews, text shown as it is."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
import streamlit as st

from explorer.opened import Run
from explorer.run import open_run

if TYPE_CHECKING:
    from trainer import Checkpoint, Latent

MEAN, SAMPLE, IMAGE, POINT = "mean", "sample", "image", "point"
MOST = 2**31 - 1  # the largest seed
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

    def moved(self, values: dict[str, float]) -> Start:
        """The same with axes (part/dimension) where a person put them."""
        latent = {part: list(numbers) for part, numbers in self.latent.items()}
        for axis, value in values.items():
            part, _, dim = axis.partition("/")
            latent[part][int(dim)] = round(value, DIGITS)
        return replace(self, latent=latent)


def start_from(toolbar: st.delta_generator.DeltaGenerator, run: Run) -> Start:
    """Where to start: the prior's mean, a draw from it, or a data image. A choice makes a new start at once."""
    key = key_of(run)
    start: Start = st.session_state[key]
    titles = _titles(run, start)
    last = MOST
    if start.kind in (IMAGE, POINT):
        last = (run.numbers if start.kind == IMAGE else run.points) - 1
    # The widgets say what the view came from, whoever changed it last: a person here, an address, another page.
    for name, value in (("kind", start.kind), ("seed", start.seed), ("number", min(start.number, last))):
        st.session_state[f"{key}/{name}"] = value

    def choose() -> None:
        chosen = {name: st.session_state.get(f"{key}/{name}", getattr(start, name)) for name in ("seed", "number")}
        st.session_state[key] = begin(run, start.revision + 1, st.session_state[f"{key}/kind"], **chosen)

    with toolbar:
        st.selectbox(
            "Start from", list(titles), format_func=titles.__getitem__, key=f"{key}/kind", on_change=choose, width=180,
            help="Where all sliders begin" + ("" if run.has_prior else "; this model has no prior, so a Gaussian "
                                              "fitted to its codes stands in"),
        )  # fmt: skip
        if start.kind == SAMPLE:
            st.number_input(
                "Seed", 0, MOST, key=f"{key}/seed", on_change=choose, width=140, help="The same seed, the same draw"
            )
        if start.kind in (IMAGE, POINT):
            about = "Test image" if start.kind == IMAGE else "The decode of training image"
            st.number_input(
                "Image", 0, last, key=f"{key}/number", on_change=choose, width=140, help=f"{about} 0 … {last:,}"
            )
        st.button("Reset", on_click=choose, icon=":material/restart_alt:", help="All sliders back to where they began")
    if start.kind == POINT and not run.images_are_here:
        st.caption(literal(run.fetching))
    return start


def _titles(run: Run, start: Start) -> dict[str, str]:
    """What a view can start from, for people. An image is offered where its file is, which reads nothing yet."""
    prior = "prior" if run.has_prior else "codes"
    titles = {MEAN: f"Mean of the {prior}", SAMPLE: "Prior sample" if run.has_prior else "Sample near codes"}
    if run.images_were_fetched:
        titles[IMAGE] = "Data image"
    if not run.images_were_fetched or start.kind == POINT:
        titles[POINT] = "Data image's decode"
    return titles


def key_of(run: Run) -> str:
    """Where this session keeps the view of a checkpoint."""
    return f"start/{run.checkpoint.digest}"


def begin(run: Run, revision: int, kind: str, seed: int = 0, number: int = 0) -> Start:
    """A new start. Where the images cannot be had, the point of that number stands in for an image."""
    if kind == IMAGE and run.images_are_here:
        number = min(number, run.numbers - 1)
        original, z = run.image(number)
        return Start(_plain(z), revision, kind, seed, number, original)
    if kind in (IMAGE, POINT):
        number = min(number, run.points - 1)
        return Start(_plain(run.point(number)), revision, POINT, seed, number)
    latent = _plain(run.sample(seed)) if kind == SAMPLE else _zero(run)
    return Start(latent, revision, kind, seed, number)


def _plain(z: Latent) -> dict[str, list[float]]:
    return {part: [round(value, DIGITS) for value in values[0].tolist()] for part, values in z.items()}


def _zero(run: Run) -> dict[str, list[float]]:
    return {name: [0.0] * part.dims for name, part in run.gaussian.items()}


def explore(page: st.Page, name: str) -> None:
    """Go to a page with a checkpoint chosen, or to the first one that it fits; what the address said of another view is
    dropped. For a callback.
    """
    st.session_state["checkpoint"] = name
    st.session_state["any page"] = True  # app.py goes on to another page where this one does not fit
    st.switch_page(page)


def rival(run: Run, others: Sequence[Checkpoint]) -> Checkpoint | None:
    """A checkpoint on the same data, of about the same size, that has a prior where this one has none, or has none
    where this one does.
    """
    same = [o for o in others if o.config.data == run.checkpoint.config.data]
    for other in sorted(same, key=lambda o: abs(o.config.parameters - run.checkpoint.config.parameters)):
        try:
            if open_run(other).has_prior != run.has_prior:
                return other
        except (ValueError, OSError):
            continue
    return None


def beside(run: Run, others: Sequence[Checkpoint], on_rival: Callable[[], None]) -> list[Run]:
    """Other checkpoints that a person puts beside this one; the one that makes the sharpest contrast by one click."""
    by_name = {other.name: other for other in others}
    contrast = rival(run, others)

    def compare(name: str) -> None:
        st.session_state["beside"] = [name]
        on_rival()

    if contrast:
        st.button(
            f"Compare with {contrast.name}", on_click=compare, args=(contrast.name,), icon=":material/compare_arrows:",
            help="The same images through a model with a prior and one without: reconstructions, draws, interpolations",
        )  # fmt: skip
    st.session_state["beside"] = [name for name in st.session_state.get("beside", []) if name in by_name]
    chosen = st.multiselect("Beside it", list(by_name), key="beside", help="Other models on the same pictures")
    opened = []
    for name in chosen:
        try:
            opened.append(open_run(by_name[name]))
        except (ValueError, OSError) as error:
            st.error(literal(f"{name} does not open: {error}"))
    return opened


def refusals(run: Run) -> None:
    """Why second stages in the checkpoint's folder could not be attached, if any could not."""
    for sentence in run.model.refused:
        st.warning(literal(sentence))


def preview(checkpoint: Checkpoint) -> None:
    """The checkpoint's picture of samples, if it has one; a sentence where it is damaged."""
    if checkpoint.preview:
        st.image(str(checkpoint.preview), width="stretch")
    elif (checkpoint.path / "preview.png").exists():
        st.error(literal(f"The preview of {checkpoint.name} cannot be shown: its preview.png is damaged."))


def literal(text: str) -> str:
    """Text that came from a file or an address, as Markdown that shows just that."""
    return re.sub(r"([\\`*_{}\[\]()#+!|$~<>:])", r"\\\1", text)


class Work(Protocol):
    """What goes on beside the page."""

    @property
    def is_over(self) -> bool:
        """Whether it ended, in whichever way."""


@st.fragment(run_every=0.5)
def follow(work: Work, say: Callable[[], tuple[float, str]], cancel: Callable[[], None], key: str, help: str) -> None:
    """How far work is, by the share and the words of `say`, and a button that ends it; the page runs again once it is
    over.
    """
    if work.is_over:
        st.rerun()
    st.progress(*say())
    st.button("Cancel", on_click=cancel, key=key, help=help)
