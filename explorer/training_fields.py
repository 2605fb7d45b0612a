"""Widgets for options, which keep what they hold while another page is shown."""

from __future__ import annotations

import math
from typing import Any

import streamlit as st

import trainer
from explorer import form
from explorer.controls import literal
from explorer.form import CHOICE, REAL, TOGGLE, WHOLE, Entry


def kept(what: str, default: Any) -> dict[str, Any]:
    """What makes a widget keep what it holds, also while another page is shown."""
    key = f"train/{what}"
    st.session_state.setdefault(key, default)
    return {"key": key, "persist_state": "session"}


def places(*names: str) -> list[Entry]:
    return [entry for entry in form.entries(trainer.Place) if entry.name in (names or ("size", "half", "note"))]


def places_of(model: Any) -> list[Entry]:
    """Of what stands beside a model's own options, those that have an effect on it."""
    return places("size", "half", "note", *(["labels"] if model.labelled else []))


def widgets(model: str, fields: list[Entry], values: dict[str, Any], options: Any) -> bool:
    """A widget per field, its value into `values`; whether one that is typed is wrong, which is said under it."""
    wrong = False
    for field in fields:
        idle = not field.has_effect({**dict.fromkeys(field.needs), **values})
        shown = widget(field, kept(f"{model}/{field.name}", field.shown(field.default)), idle)
        try:
            values[field.name] = field.read(shown)
            if field.kind == form.WIDTHS and options is not None:
                options.read({field.name: values[field.name]})
        except ValueError as error:
            values[field.name] = field.default
            st.error(literal(str(error)))
            wrong = True
    return wrong


def widget(field: Entry, key: dict[str, Any], idle: bool) -> Any:
    needed = f" Has an effect only with {' and '.join(field.needs)}." if field.needs else ""
    about: dict[str, Any] = {**key, "help": field.help + needed, "disabled": idle}
    if field.kind == CHOICE:
        return st.selectbox(field.title, field.choices, **about)
    if field.kind == TOGGLE:
        return st.toggle(field.title, **about)
    if field.kind not in (WHOLE, REAL):
        return st.text_input(field.title, **about)
    step = 1 if field.kind == WHOLE else 10.0 ** math.floor(math.log10(abs(field.default or 1.0)))
    about |= {"value": None, "placeholder": "none"} if field.optional else {}
    about |= {"format": "%.6g"} if field.kind == REAL else {}
    # without bounds: a browser keeps what lies beyond them to itself, on screen, and another number would be trained
    return st.number_input(field.title, step=step, **about)
