"""Ctrl-C and SIGTERM: a training stops between two steps, and files that belong together are written together.

Signals reach the main thread only, so these are for it.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
ELSEWHERE = -1  # on the list of `noted`: another process of the same training had a signal


@contextmanager
def _sent_to(handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    """Both signals call `handler` in here, and afterwards what they called before."""
    before = [signal.signal(number, handler) for number in SIGNALS]
    try:
        yield
    finally:
        for number, previous in zip(SIGNALS, before, strict=True):
            signal.signal(number, previous)


def raised() -> AbstractContextManager[None]:
    """Both signals raise KeyboardInterrupt where the program stands."""
    return _sent_to(signal.default_int_handler)


@contextmanager
def noted() -> Iterator[list[int]]:
    """The first signal is put on the list, for a loop that looks there; the second one raises KeyboardInterrupt.

    One that went to all processes of a training may reach this one after it heard of it from another.
    """
    asked: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if any(said != ELSEWHERE for said in asked):
            raise KeyboardInterrupt
        asked.append(number)

    with _sent_to(note):
        yield asked


@contextmanager
def held() -> Iterator[None]:
    """Signals wait until what is written in here is whole, and then do what they would have done."""
    came: list[int] = []
    with _sent_to(lambda number, frame: came.append(number)):
        yield
    for number in came:
        signal.raise_signal(number)
