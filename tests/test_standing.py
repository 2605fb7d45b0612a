"""A widget that shows what other things change too."""

from __future__ import annotations

import pytest
from conftest import ROOT
from streamlit.testing.v1 import AppTest

import trainer
from explorer import run, starts
from explorer.opened import Run


def page() -> None:
    import streamlit as st

    from explorer.controls import standing

    def choose() -> None:
        if st.session_state[key] != value:
            st.session_state["class"] = st.session_state[key]
            st.session_state["heard"] += 1

    def elsewhere() -> None:
        st.session_state["class"] = 4

    st.session_state.setdefault("heard", 0)
    value = st.session_state.setdefault("class", 3)
    key = standing("field", value)
    st.number_input("Class", value=value, key=key, on_change=choose)
    st.button("Elsewhere", on_click=elsewhere)


def test_it_follows_and_a_message_that_was_under_way_undoes_nothing() -> None:
    app = AppTest.from_function(page, default_timeout=60).run()
    field = app.number_input[0]
    assert field.value == 3
    under_way = app._tree.get_widget_states()
    app.button[0].click().run()
    assert app.number_input[0].value == 4
    app._run(under_way)
    assert not app.exception
    assert app.number_input[0].value == app.session_state["class"] == 4 and app.session_state["heard"] == 0


def test_it_stays_the_same_widget_for_who_changes_it() -> None:
    """Else a person who types in it, or holds a key down, would be thrown out."""
    app = AppTest.from_function(page, default_timeout=60).run()
    before = app.number_input[0].id
    for value in (7, 8):
        app.number_input[0].set_value(value).run()
        assert app.number_input[0].value == app.session_state["class"] == value
    assert app.number_input[0].id == before and app.session_state["heard"] == 2
    app.button[0].click().run()
    assert app.number_input[0].value == 4 and app.number_input[0].id != before
    app.number_input[0].set_value(3).run()
    assert app.session_state["class"] == 3


def test_a_view_of_an_image_that_is_gone_still_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a person's own folder is moved away while it is explored."""
    monkeypatch.setattr(Run, "images_were_fetched", False)
    opened = run.open_run(trainer.describe(ROOT / "checkpoints" / "vae-digits"))
    assert starts.IMAGE in starts._titles(opened, starts.Start({}, 0, starts.IMAGE))
    assert starts.IMAGE not in starts._titles(opened, starts.Start({}, 0, starts.MEAN))
