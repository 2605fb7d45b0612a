"""The metrics of disentanglement in a thread of their own, so that the page lives on. No screen."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import trainer
from explorer.opened import Run, Track

TRAIN, TEST, SEED = 10_000, 5_000, 0
ABOUT = {
    "BetaVAE score": "a linear classifier says which factor pairs of images share",
    "FactorVAE score": "the dimension that varies least says which factor is held",
    "MIG": "gap in mutual information between the best dimension and the next, of each factor's entropy",
    "DCI disentanglement": "each dimension matters to few factors",
    "DCI completeness": "each factor needs few dimensions",
    "DCI informativeness": "share of test images whose factors are told right from all dimensions",
    "SAP": "gap in a linear classifier's accuracy between the best single dimension and the next",
    "modularity": "each dimension knows of one factor only",
}


class Closed(Exception):
    """Nobody wants the scores any more."""


@dataclass(frozen=True)
class Scores:
    """What came out, and what must stand beside it."""

    values: dict[str, float]  # by the names of `ABOUT`, without those that could not be computed
    how: str  # sizes, seed, how, and what was left out and why
    perfect: float  # what the factors' own levels, as a code, have of MIG
    factors: tuple[str, ...]


class Scoring:
    """The scores of one checkpoint, for every session: who comes later sees how far they are."""

    def __init__(self, run: Run) -> None:
        self.found: Scores | None = None
        self.problem = ""
        self._run = run
        self._thread: threading.Thread | None = None  # that is at work
        self._doing, self._share, self._left, self._heard = "", 0.0, float("nan"), 0.0

    @property
    def is_over(self) -> bool:
        """Whether no thread is at work."""
        return self._thread is None

    def start(self) -> None:
        """Begin, unless it has begun."""
        if self._thread is None and self.found is None:
            self.problem, self._doing, self._share, self._left = "", "Beginning", 0.0, float("nan")
            self._thread = threading.Thread(target=self._work, daemon=True)
            self._thread.start()

    def close(self) -> None:
        """End it at its next step."""
        self._thread = None

    def said(self) -> tuple[float, str]:
        """The share that is done, and what is being done with the time left."""
        left = self._left - (time.monotonic() - self._heard)
        return self._share, self._doing if math.isnan(left) else f"{self._doing}: {max(1.0, left):.0f} s left"

    def _work(self) -> None:
        try:
            found = compute(self._run, self._track)
            if self._thread is threading.current_thread():
                self.found = found
        except Closed:
            return
        except Exception as error:  # whatever it is, a page waits for this thread
            if self._thread is threading.current_thread():
                self.problem = str(error) or type(error).__name__
        if self._thread is threading.current_thread():
            self._thread = None

    def _track(self, loop: Iterable[Any]) -> Iterator[Any]:
        """Hears each step of the encoding or of the scores, and how much work it is."""
        steps, began, done = list(loop), time.monotonic(), 0.0
        work = [step.work if isinstance(step, trainer.ScoreStep) else 1.0 for step in steps]
        whole = sum(work)
        for step, more in zip(steps, work, strict=True):
            if self._thread is not threading.current_thread():
                raise Closed
            self._heard, self._share = time.monotonic(), done / whole
            self._left = (self._heard - began) * (whole - done) / done if done else float("nan")
            self._doing = str(step) if isinstance(step, trainer.ScoreStep) else "Encoding the images"
            yield step
            done += more


def compute(run: Run, track: Track) -> Scores:
    """All metrics of one checkpoint, on as many test images as there are, up to 15,000. Raises ValueError where they
    are too few, or have no known factors.
    """
    import torch

    with torch.inference_mode():
        table = trainer.encode_with_factors(run.model, run.images, TRAIN + TEST, SEED, track)
    train = min(TRAIN, 2 * len(table.codes) // 3)
    test = min(TEST, len(table.codes) - train)
    perfect = trainer.FactorTable(table.factors.astype(float), table.factors, table.names)
    found = trainer.disentanglement_scores(table, train, test, SEED, track)
    return Scores(found.values, found.how, trainer.mig_of(perfect), table.names)
