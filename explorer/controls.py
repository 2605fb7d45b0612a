"""Widgets that several pages share: where a view starts from, and the address that leads back to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from explorer.run import Run, open_run

if TYPE_CHECKING:
    from trainer import Checkpoint, Latent

MEAN, SAMPLE, IMAGE = "mean", "sample", "image"
MOST = 2**31 - 1  # the largest seed
DIGITS = 4  # decimals that an address keeps; a latent is rounded to them, so that a link is the same view


@dataclass(frozen=True)
class Start:
    """A latent in plain numbers, where it came from, and a number that changes with each new start."""

    latent: dict[str, list[float]]
    revision: int
    kind: str = MEAN
    seed: int = 0  # of a draw
    number: int = 0  # of a data image
    original: np.ndarray | None = None  # that image

    def moved(self, values: dict[str, float]) -> Start:
        """The same with axes (part/dimension) where a person put them."""
        latent = {part: list(numbers) for part, numbers in self.latent.items()}
        for axis, value in values.items():
            part, _, dim = axis.partition("/")
            latent[part][int(dim)] = round(value, DIGITS)
        return replace(self, latent=latent)


def follow_address(run: Run) -> None:
    """In a whole run of the page: show what the address says, unless this session wrote it there. So links work, and
    the browser's back and forward, which lead through the addresses that `remember` wrote.
    """
    key = _key(run)
    known: Start | None = st.session_state.get(key)
    asked = st.query_params.to_dict()
    if known is None or (asked.get("checkpoint") == run.checkpoint.name and asked != st.session_state.get("address")):
        st.session_state[key] = _from_address(run, known.revision + 1 if known else 0)


def start_from(toolbar: st.delta_generator.DeltaGenerator, run: Run) -> Start:
    """Where to start: the prior's mean, a draw from it, or a data image. A choice makes a new start at once."""
    key = _key(run)
    start: Start = st.session_state[key]
    prior = "prior" if run.has_prior else "codes"
    titles = {
        MEAN: f"Mean of the {prior}",
        SAMPLE: "Prior sample" if run.has_prior else "Sample near codes",
        IMAGE: "Data image" if run.images_are_here else "Data image's decode",
    }
    # The widgets say what the view came from, whoever changed it last: a person here, an address, another page.
    for name, value in (("kind", start.kind), ("seed", start.seed), ("number", start.number)):
        st.session_state[f"{key}/{name}"] = value

    def begin() -> None:
        chosen = {name: st.session_state.get(f"{key}/{name}", getattr(start, name)) for name in ("seed", "number")}
        st.session_state[key] = _begin(run, start.revision + 1, st.session_state[f"{key}/kind"], **chosen)

    with toolbar:
        st.selectbox(
            "Start from", list(titles), format_func=titles.__getitem__, key=f"{key}/kind", on_change=begin, width=180,
            help="Where all sliders begin" + ("" if run.has_prior else "; this model has no prior, so a Gaussian "
                                              "fitted to its codes stands in"),
        )  # fmt: skip
        if start.kind == SAMPLE:
            st.number_input(
                "Seed", 0, MOST, key=f"{key}/seed", on_change=begin, width=140, help="The same seed, the same draw"
            )
        if start.kind == IMAGE:
            last = run.numbers - 1
            about = "Test image" if run.images_are_here else f"{run.fetching} Until then: the decode of training image"
            st.number_input(
                "Image", 0, last, key=f"{key}/number", on_change=begin, width=140, help=f"{about} 0 … {last:,}"
            )
        st.button("Reset", on_click=begin, icon=":material/restart_alt:", help="All sliders back to where they began")
    return start


def _key(run: Run) -> str:
    return f"start/{run.checkpoint.digest}"


def _begin(run: Run, revision: int, kind: str, seed: int = 0, number: int = 0) -> Start:
    if kind == IMAGE:
        original, z = run.image(number)
        return Start(_plain(z), revision, kind, seed, number, original)
    latent = _plain(run.sample(seed)) if kind == SAMPLE else _zero(run)
    return Start(latent, revision, kind, seed, number)


def _plain(z: Latent) -> dict[str, list[float]]:
    return {part: [round(value, DIGITS) for value in values[0].tolist()] for part, values in z.items()}


def _zero(run: Run) -> dict[str, list[float]]:
    return {name: [0.0] * part.dims for name, part in run.model.space.items()}


def _from_address(run: Run, revision: int) -> Start:
    """The view that the address describes, or the prior's mean where it describes none of this checkpoint."""
    asked = st.query_params
    start = _begin(run, revision, MEAN)
    if asked.get("checkpoint") != run.checkpoint.name:
        return start
    try:
        if "image" in asked:
            start = _begin(run, revision, IMAGE, number=_within("image", asked["image"], run.numbers - 1))
        elif "seed" in asked:
            start = _begin(run, revision, SAMPLE, seed=_within("seed", asked["seed"], MOST))
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


def _within(what: str, text: str, most: int) -> int:
    number = int(text)
    if not 0 <= number <= most:
        raise ValueError(f"{what}={number}, expected 0 … {most:,}")
    return number


def view_of(run: Run, latent: dict[str, list[float]], **origin: int) -> dict[str, str]:
    """The address of a view: a checkpoint, a latent, and the `image` or the `seed` that it came from, if any."""
    parts = {part: ",".join(f"{value:.{DIGITS}f}".rstrip("0").rstrip(".") for value in v) for part, v in latent.items()}
    return {"checkpoint": run.checkpoint.name, **parts, **{name: str(number) for name, number in origin.items()}}


def remember(run: Run, start: Start) -> None:
    """Keep the view for the next visit in this session, and put it into the address, so that a link reopens it."""
    st.session_state[_key(run)] = start
    origins = {IMAGE: {"image": start.number}, SAMPLE: {"seed": start.seed}}
    view = view_of(run, start.latent, **origins.get(start.kind, {}))
    say_where(view)


def say_where(view: dict[str, str]) -> None:
    """Put a view into the address, as an entry of the browser's history if it is another one."""
    if st.query_params.to_dict() != view:
        st.query_params.from_dict(view)
    st.session_state["address"] = view
    st.session_state["asked"] = view["checkpoint"]


def go_to_view(run: Run, latent: dict[str, list[float]]) -> None:
    """Leave this page for the traversals of a latent."""
    st.switch_page(st.session_state["pages"]["traversals"], query_params=view_of(run, latent))


def explore(page: st.Page, name: str) -> None:
    """Go to a page with a checkpoint chosen; what the address said of another view is dropped. For a callback."""
    st.session_state["checkpoint"] = name
    st.switch_page(page)


def rival(run: Run, others: Sequence[Checkpoint]) -> Checkpoint | None:
    """A checkpoint on the same data, of about the same size, that has a prior where this one has none, or has none
    where this one does.
    """
    same = [o for o in others if o.config.data == run.checkpoint.config.data]
    for other in sorted(same, key=lambda o: abs(o.config.parameters - run.checkpoint.config.parameters)):
        try:
            if open_run(str(other.path), other.digest).has_prior != run.has_prior:
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
            opened.append(open_run(str(by_name[name].path), by_name[name].digest))
        except (ValueError, OSError) as error:
            st.error(f"{name} does not open: {error}")
    return opened


def preview(checkpoint: Checkpoint) -> None:
    """The checkpoint's picture of samples, if it has one; a sentence where it is damaged."""
    if checkpoint.preview:
        st.image(str(checkpoint.preview), width="stretch")
    elif (checkpoint.path / "preview.png").exists():
        st.error(f"The preview of {checkpoint.name} cannot be shown: its preview.png is damaged.")
