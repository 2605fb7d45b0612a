"""The address of a view: what it says is shown, and what is shown is said in it, so that a link leads back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import streamlit as st

from explorer import written
from explorer.controls import MOST, literal
from explorer.opened import Run
from explorer.starts import IMAGE, MEAN, POINT, SAMPLE, Start, begin, key_of


def follow_address(run: Run) -> None:
    """In a whole run of the page: show what the address says, unless this session wrote it there. So links work, and
    the browser's back and forward, which lead through the addresses that `remember` wrote.
    """
    key = key_of(run)
    known: Start | None = st.session_state.get(key)
    asked = asked_for()
    if known is None or (asked.get("checkpoint") == run.checkpoint.name and asked != st.session_state.get("address")):
        st.session_state[key] = _from_address(run, asked, known.revision + 1 if known else 0)


def _from_address(run: Run, asked: Mapping[str, str], revision: int) -> Start:
    """The view that the address describes, or the prior's mean where it describes none of this checkpoint.

    The latent of the address is the view. What it began with adds the picture beside it, where that can be had.
    """
    mean = begin(run, revision, MEAN)
    if asked.get("checkpoint") != run.checkpoint.name:
        return mean
    space = run.model.space
    try:
        given = {
            part: written.numbers(part, asked[part], run.gaussian[part].dims) for part in run.gaussian if part in asked
        }
        labels = {part: kind.size for part, kind in run.labels.items() if part in asked}
        given |= {part: written.probabilities(part, asked[part], size) for part, size in labels.items()}
        mean = begin(run, revision, MEAN, labels={part: int(np.argmax(given[part])) for part in labels})
    except ValueError as error:
        st.error(literal(f"The link's view cannot be shown ({error}), so this is the start of the checkpoint."))
        return mean
    try:
        start = _origin(run, asked, mean)
    except ValueError as error:
        if given.keys() < space.keys():
            st.error(literal(f"The link's view cannot be shown, so this is the start of the checkpoint: {error}"))
            return mean
        st.error(literal(f"This is the link's view, without what it began with: {error}"))
        start = mean
    pairs = {part: tuple(np.flatnonzero(given[part]).tolist()) for part in labels}
    blends = {part: (pair[0], pair[1]) for part, pair in pairs.items() if len(pair) == 2}
    return replace(start, latent={**start.latent, **given}, blends=blends)


def _origin(run: Run, asked: Mapping[str, str], mean: Start) -> Start:
    """What the view began with, the `mean` if with nothing else. Raises ValueError that says what the address should
    have had, or to fetch images.
    """
    if "image" in asked:
        if not run.images_are_here:
            raise ValueError(run.fetching)
        return begin(run, mean.revision, IMAGE, number=written.within("image", asked["image"], run.numbers - 1))
    if "point" in asked:
        return begin(run, mean.revision, POINT, number=written.within("point", asked["point"], run.points - 1))
    if "seed" in asked:
        return begin(run, mean.revision, SAMPLE, seed=written.within("seed", asked["seed"], MOST))
    return mean


def view_of(run: Run, latent: dict[str, list[float]], **origin: int) -> dict[str, str]:
    """The address of a view: a checkpoint, a latent (a class that is certain by its number), and what it came from, if
    anything: the `image` of the test split, the `point` of the summary, or the `seed` of the draw.
    """
    parts = {part: ",".join(written.number(value) for value in values) for part, values in latent.items()}
    sure = {part: str(int(np.argmax(latent[part]))) for part in run.labels if max(latent[part]) == 1}
    return {"checkpoint": run.checkpoint.name, **parts, **sure, **{name: str(at) for name, at in origin.items()}}


def remember(run: Run, start: Start) -> None:
    """Keep the view for the next visit in this session, and put it into the address, so that a link reopens it."""
    st.session_state[key_of(run)] = start
    origins = {IMAGE: {"image": start.number}, POINT: {"point": start.number}, SAMPLE: {"seed": start.seed}}
    view = view_of(run, start.latent, **origins.get(start.kind, {}))
    say_where(view)


def codes_asked(run: Run, part: str) -> np.ndarray | None:
    """The grid of codes (h, w) that the address names, unless this session wrote it there. Raises ValueError unless it
    is one of this checkpoint.
    """
    asked = asked_for()
    if asked == st.session_state.get("address") or asked.get("checkpoint") != run.checkpoint.name or part not in asked:
        return None
    texts, grid = asked[part].split(","), run.codes[part]
    fine = [re.fullmatch("[0-9]{1,6}", text) is not None and int(text) < grid.size for text in texts]
    if len(texts) != grid.h * grid.w or not all(fine):
        expected = f"{grid.h * grid.w} whole numbers from 0 to {grid.size - 1}"
        raise ValueError(f"{part} has {len(texts)} values, expected {expected}")
    return np.array(texts, np.int64).reshape(grid.h, grid.w)


def keep_links() -> None:
    """On a page of links: the next one's address stays as it came, though it says less than is then shown, until
    something else is shown. What is added would be one step more for the browser's Back.
    """
    st.session_state["address"] = {}


def asked_for() -> dict[str, str]:
    """What the address says, or the view that was shown at it, where it was kept as it came."""
    asked = st.query_params.to_dict()
    if st.session_state.get("address") == {}:  # the link is followed for itself
        return asked
    found: dict[str, str] = st.session_state.get("kept", {}).get(_entry(asked), asked)
    return found


def _entry(asked: dict[str, str]) -> tuple[object, ...]:
    """A page and its address, which two pages may have alike."""
    return (st.session_state.get("page"), *sorted(asked.items()))


def say_where(view: dict[str, str]) -> None:
    """Put a view into the address, as an entry of the browser's history if it is another one."""
    asked = st.query_params.to_dict()
    part = "checkpoint" in asked and asked.items() < view.items()
    if part and st.session_state.get("address") == {}:
        st.session_state.setdefault("kept", {})[_entry(asked)] = view
    elif asked_for() != view:
        st.query_params.from_dict(view)
    st.session_state["address"] = view
    st.session_state["asked"] = view["checkpoint"]


Widgets = Mapping[str, tuple[str, Mapping[str, Any] | int | float]]  # name in an address -> a widget's key, and its
# values by what an address calls them, or the largest of whole numbers, or, a float, of numbers from 0


def follow_settings(run: Run, widgets: Widgets) -> None:
    """In a whole run of the page, before its widgets: set them as the address says, unless this session wrote it there.
    What it gets wrong is a sentence, and leaves a widget as it was.
    """
    asked = asked_for()
    if asked.get("checkpoint") != run.checkpoint.name:
        st.session_state.pop("left out", None)
        return
    if asked != st.session_state.get("address"):
        st.session_state["left out"] = _followed(asked, widgets)
    for sentence in st.session_state.get("left out", []):  # also where the page runs once more by itself
        st.error(literal(sentence))


def _followed(asked: Mapping[str, str], widgets: Widgets) -> list[str]:
    """What the address gets wrong, once the widgets are as it says."""
    wrong = []
    for name, (key, values) in widgets.items():
        try:
            if name in asked:
                st.session_state[key] = _setting(name, asked[name], values)
        except ValueError as error:
            wrong.append(f"A setting of the link is left out: {error}.")
    return wrong


def _setting(name: str, text: str, values: Mapping[str, Any] | int | float) -> Any:
    """What a widget is set to. Raises ValueError that says what the address should have had."""
    if isinstance(values, int):
        return written.within(name, text, values)
    if isinstance(values, float):
        return written.up_to(name, text, values)
    if text not in values:
        raise ValueError(f"{name} came as “{text[:20]}”, expected {' or '.join(values)}")
    return values[text]


def say_settings(run: Run, widgets: Widgets) -> None:
    """After the widgets: put where they stand into the address."""
    found: dict[str, str] = {}
    for name, (key, values) in widgets.items():
        value = st.session_state.get(key)
        if isinstance(values, Mapping):
            found |= [(name, text) for text, each in values.items() if each == value]
        elif value is not None:
            found[name] = written.number(value) if isinstance(values, float) else str(value)
    say_where({"checkpoint": run.checkpoint.name, **found})


def go_to_view(run: Run, latent: dict[str, list[float]]) -> None:
    """Leave this page for the one where a latent can be moved or edited."""
    page = "codebook" if run.is_coded else "traversals"
    st.switch_page(st.session_state["pages"][page], query_params=view_of(run, latent))
