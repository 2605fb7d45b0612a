"""What is selected on a map in this session: drawn around, clicked, or asked for by a query."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import streamlit as st

from explorer import query
from explorer.atlas import Shown
from explorer.cloud import Cloud
from explorer.controls import literal
from explorer.map import Chosen


@dataclass(frozen=True)
class Selected:
    """What is selected of the cloud named `points`."""

    points: str
    mask: np.ndarray  # (n,) bool
    what: str
    row: int = -1  # the point that was clicked, if one was


def select(chosen: Selected | None) -> None:
    """From now on, this is selected."""
    st.session_state["map/selected"] = chosen


def selected(shown: Shown) -> Selected | None:
    """What is selected of these points."""
    found: Selected | None = st.session_state.get("map/selected")
    return found if found and found.points == shown.points else None


def query_box(shown: Shown) -> None:
    """A selection by what is known of the points."""
    names = [name for name in shown.cloud.columns if name not in shown.cloud.dims]
    emptied = st.session_state.get("map/emptied", 0)
    text = st.text_input(
        "Select by a query", key=f"map/query/{emptied}/{shown.points}", placeholder=_example(shown.cloud),
        help=f"Compare with =, !=, <, >, <=, >= or “in top 1 %”; join with and, or, not. There are "
        f"{', '.join([*names, *shown.cloud.dims[:1]])} …",
    )  # fmt: skip
    if not text.strip():
        asked = st.session_state.pop("map/asked", None)
        now = selected(shown)
        if asked and now and now.what == _asked_for(asked[1]):  # which is not wanted any more
            select(None)
        return
    try:
        mask = query.select(text, shown.cloud.columns)
    except ValueError as error:
        st.error(literal(str(error)))
        return
    if not mask.any():
        st.warning("No point is like that.")
    elif st.session_state.get("map/asked") != (shown.points, text):
        st.session_state["map/asked"] = (shown.points, text)
        select(Selected(shown.points, mask, _asked_for(text)))


def _empty_query() -> None:
    """A box without the query whose selection gives way to another one, so that it can be asked again."""
    st.session_state.pop("map/asked", None)
    st.session_state["map/emptied"] = st.session_state.get("map/emptied", 0) + 1


def _asked_for(text: str) -> str:
    return f"Selected by: {text}"


def _example(cloud: Cloud) -> str:
    """A query that these points can answer."""
    known = cloud.columns.get("class")
    amount = next((name for name, column in cloud.columns.items() if not column.levels), "")
    parts = [f"class = {known.levels[-1]}"] if known and known.levels else []
    return " and ".join([*parts, f"{'error' if 'error' in cloud.columns else amount} in top 1 %"])


def take(shown: Shown, chosen: Chosen) -> bool:
    """Select what a person chose on the map; whether that is news."""
    if st.session_state.get("map/number") == chosen.number:
        return False
    st.session_state["map/number"] = chosen.number
    _empty_query()
    mask = shown.selected(chosen)
    row = chosen.point if chosen.kind == "point" else -1
    select(None if mask is None else Selected(shown.points, mask, f"Drawn around on {shown.projected.title}", row))
    return True
