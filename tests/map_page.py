"""The page Map as tests run it without a browser, and what it hands to the map."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from streamlit.testing.v1 import AppTest


def page_of_map(folder: str) -> None:
    import streamlit as st

    import trainer
    from explorer import run
    from explorer.pages import map

    st.session_state.setdefault("pages", {})
    map.show(run.open_run(trainer.describe(folder)))


def opened(folder: Path) -> AppTest:
    page = AppTest.from_function(page_of_map, args=(str(folder),), default_timeout=60).run()
    assert not page.exception
    return page


def header(page: AppTest) -> dict[str, Any]:
    """Of the packet that the map was handed."""
    packet = page.session_state["map/packet"][1]
    (length,) = struct.unpack("<I", packet[:4])
    found: dict[str, Any] = json.loads(packet[4 : 4 + length])
    return found


def places_of(page: AppTest) -> np.ndarray:
    """(n, 2) the places in that packet."""
    packet = page.session_state["map/packet"][1]
    (length,) = struct.unpack("<I", packet[:4])
    part = header(page)["places"]
    start = 4 + length + part["offset"]
    return np.frombuffer(packet[start : start + part["shape"][0]], np.float32).reshape(-1, 2)


def text_of(page: AppTest) -> str:
    return " ".join(element.value for kind in ("subheader", "caption", "info", "warning", "error")
                    for element in page.get(kind))  # fmt: skip


def choose(page: AppTest, label: str, value: Any) -> AppTest:
    next(box for box in page.selectbox if box.label == label).set_value(value)
    page.run()
    assert not page.exception
    return page


def query(page: AppTest, text: str) -> None:
    next(field for field in page.text_input if field.label == "Select by a query").set_value(text)
    page.run()
    assert not page.exception
