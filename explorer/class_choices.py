"""Widgets that choose a sheet of classes: where z comes from, the styles, the classes, what they are blended with."""

from __future__ import annotations

import secrets
from typing import Any

import streamlit as st

from explorer import classes, controls
from explorer.class_sheet import ANY, BY_CLASS, PRIORS, Sheet
from explorer.opened import Run

ROWS = 12  # classes that are shown at once


def choose(toolbar: st.delta_generator.DeltaGenerator, run: Run, key: str) -> tuple[Sheet, int]:
    """The sheet, and a number that changes with each new one. Its values are in the session, under `key`."""
    names = run.class_names(classes.parts(run)[0])
    kept: dict[str, Any] = {"persist_state": "session"}

    def reset() -> None:
        st.session_state[f"{key}/values"] = {}
        st.session_state[f"{key}/resets"] = st.session_state.get(f"{key}/resets", 0) + 1

    def new_seed() -> None:
        st.session_state[f"{key}/seed"] = secrets.randbelow(100_000)

    with toolbar:
        prior = ANY
        if classes.is_dependent(run):
            prior = st.selectbox(
                "z from", PRIORS, PRIORS.index(BY_CLASS), key=f"{key}/prior", width=170, **kept,
                help="p(z | y): the same noise in each class's own prior. p(z): of any class, and the same z for all.",
            )  # fmt: skip
        towards = st.selectbox(
            "Blend towards", range(len(names)), format_func=names.__getitem__, key=f"{key}/towards", width=140, **kept,
            help="The slider of this name leads every class to this one",
        )  # fmt: skip
        seed = st.number_input(
            "Seed", 0, controls.MOST, key=f"{key}/seed", width=110, help="The same seed, the same z", **kept
        )
        st.button("New seed", on_click=new_seed, icon=":material/casino:", help="Other styles")
        st.button("Reset", on_click=reset, icon=":material/restart_alt:", help="All sliders back to where they began")
        rows = list(range(len(names)))
        if len(rows) > ROWS:
            shown = st.multiselect(
                "Classes shown", rows, rows[:ROWS], format_func=names.__getitem__, max_selections=ROWS,
                key=f"{key}/rows", help=f"At most {ROWS} at once", **kept,
            )  # fmt: skip
            rows = shown or rows[:1]
    resets = st.session_state.get(f"{key}/resets", 0)
    revision = hash((int(seed), towards, PRIORS.index(prior), resets, *rows)) % 2**31
    return Sheet(run, rows, prior, int(seed), towards), revision
