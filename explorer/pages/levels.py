"""What each level of the latent holds: keep some, resample the rest, and see what they decide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from explorer import address, controls, level_looks, level_overview
from explorer.opened import Run
from trainer import Checkpoint, load_summary

TITLE = "Levels"
ICON = ":material/layers:"
NEEDS = "many"
FITS = "takes a latent of several levels apart"
LOOKS = {
    "Resample": level_looks.surgery,
    "Swap": level_looks.swap,
    "Progressive": level_looks.progressive,
    "Sliders": level_looks.sliders,
}


def fits(run: Run) -> bool:
    """Whether there are several levels of real numbers, and pictures."""
    return len(run.gaussian) > 1 and run.is_continuous and not run.is_line


def show(run: Run, others: Sequence[Checkpoint]) -> None:
    """The page of one checkpoint, with the levels of another beside it."""
    st.subheader(f"Levels of {run.checkpoint.name}", anchor=False)
    st.caption(__doc__)
    address.say_where({"checkpoint": run.checkpoint.name})
    _page(run, others)


@st.fragment
def _page(run: Run, others: Sequence[Checkpoint]) -> None:
    overview = st.container()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        look = st.segmented_control(
            "With a picture", list(LOOKS), default="Resample", required=True, key="levels/look",
            persist_state="session",
            help="Draw some levels anew, exchange them between pictures, add them one by one, or move them",
        )  # fmt: skip
        beside = _beside(others)
    with overview:
        _overview(run, beside)
    LOOKS[look](run, *controls.halves("levels"))


def _beside(others: Sequence[Checkpoint]) -> Checkpoint | None:
    """Another checkpoint with levels, if a person wants one beside this one."""
    by_name = {other.name: other for other in others if level_overview.has_levels(other)}
    if st.session_state.get("levels/beside") not in by_name:
        st.session_state.pop("levels/beside", None)
    name = st.selectbox(
        "Compare with", [None, *by_name], format_func=lambda name: name or "no other checkpoint", key="levels/beside",
        width=240, persist_state="session", help="The levels of a second model beside those of this one",
    )  # fmt: skip
    return by_name.get(name) if name else None


def _overview(run: Run, beside: Checkpoint | None) -> None:
    history: list[Any] = []
    try:
        history = run.checkpoint.history()
    except (ValueError, OSError) as error:
        st.error(controls.literal(f"The history cannot be read: {error}"))
    found = {run.checkpoint.name: (run.summary, history)}
    if beside:
        try:
            found[beside.name] = (load_summary(beside.path), beside.history())
        except (ValueError, OSError) as error:
            st.error(controls.literal(f"{beside.name} cannot be compared: {error}"))
    level_overview.overview(found)
