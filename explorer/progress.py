"""A bar with the time left, for what may take long."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import streamlit as st

PATIENCE = 0.5  # s before a bar is worth its place


def told(doing: str) -> Callable[..., None]:
    """A bar that hears the share that is done, and what was counted: "doing: counted, 2 s left". At 1 it goes."""
    place, began = st.empty(), time.monotonic()

    def tell(share: float, counted: str = "") -> None:
        took = time.monotonic() - began
        if share >= 1:
            place.empty()
        elif share > 0 and took > PATIENCE:
            left = took * (1 - share) / share
            place.progress(share, f"{doing}: {counted or f'{100 * share:.0f} %'}, {left:.0f} s left")

    return tell


def shown(doing: str, unit: str) -> Callable[[Iterable[Any]], Iterator[Any]]:
    """Wraps a loop, whose bar says "doing: 3 of 9 units, 2 s left"."""

    def track(loop: Iterable[Any]) -> Iterator[Any]:
        steps, tell = list(loop), told(doing)
        for done, step in enumerate(steps):
            tell(done / len(steps), f"{done:,} of {len(steps):,} {unit}")
            yield step
        tell(1)

    return track
