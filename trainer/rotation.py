"""Would other axes know more? The rotation of a code after which single dimensions stand for single factors.

A factor that lies at 45° across two dimensions is known to both of them a little and to none well. The prior N(0, I)
is the same after any rotation, so that training alone cannot tell the axes apart.

Turns of two dimensions are taken one after another, each time the one that helps most: by the sum over factors of the
gap in mutual information between the best dimension and the next. Half of the images look for a turn, and the other
half say what it is worth, so that what merely fits the first half counts for nothing. A turn must gain more
than few images gain by chance: factors that are dealt to other images say how much that is.

Letters in shapes: n images, d latent dimensions, f factors.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.information import binned, gaps, mutual_information

if TYPE_CHECKING:
    from trainer.trainable import Track

LEAST = 0.05  # nats that a turn must gain, of however many images
DEALS, SPREADS = 50, 3  # of factors to other images; standard deviations of what such a deal gains, to be gained
COARSE, FINE = 3, 1  # degrees between the turns that are tried


@dataclass(frozen=True)
class Turn:
    """Two dimensions turned in their plane: the one becomes cos · one + sin · other, the other cos · other − sin · one.

    What was gained is said of images that the turn was not sought on.
    """

    one: int
    other: int
    degrees: float  # −44 … 45; a quarter turn is an exchange of the two
    gain: float  # nats, of the sum of the gaps
    more: np.ndarray  # (f,) nats by which the best dimension of each factor knows more


@dataclass(frozen=True)
class Rotation:
    """The turns that help, in their order."""

    turns: tuple[Turn, ...]
    matrix: np.ndarray  # (d, d) orthogonal: codes @ matrix are the turned codes
    gain: float  # nats, of all turns together
    least: float  # nats that a turn had to gain


def rotation(codes: np.ndarray, factors: np.ndarray, track: Track[Any] = iter) -> Rotation:
    """The rotation of codes (n, d) that makes single dimensions know of single factors (n, f) of level numbers.

    Raises ValueError for fewer than two dimensions or four images.
    """
    n, d = codes.shape
    if d < 2 or n < 4:
        raise ValueError(f"codes came as {n} images of {d} dimensions: a rotation needs 2 dimensions and 4 images")
    order = np.random.default_rng(0).permutation(n)
    seek, check = order[: n // 2], order[n // 2 :]
    matrix, turns = np.eye(d), []
    known, checked = (mutual_information(binned(codes[half]), factors[half]) for half in (seek, check))
    begun, settled, least = gaps(checked).sum(), False, _least(codes[check], factors[check])
    best: dict[tuple[int, int], tuple[float, float]] = {}  # plane -> gain, turn in degrees
    for _ in track(range(2 * d)):
        if settled:
            continue
        for plane in itertools.combinations(range(d), 2):
            if plane not in best:
                best[plane] = _best_turn((codes[seek] @ matrix)[:, plane], factors[seek], known, plane)
        plane = max(best, key=lambda each: best[each][0])
        settled = best[plane][0] < least
        after = matrix @ _plane(d, plane, best[plane][1])
        now = _with((codes[check] @ after)[:, plane], factors[check], checked, plane)
        gain = float(gaps(now).sum() - gaps(checked).sum())
        if settled or gain < least:
            best[plane] = (0.0, 0.0)
            continue
        turns.append(Turn(*plane, best[plane][1], gain, now.max(0) - checked.max(0)))
        matrix, checked = after, now
        known = _with((codes[seek] @ matrix)[:, plane], factors[seek], known, plane)
        best = {other: found for other, found in best.items() if not set(other) & set(plane)}
    return Rotation(tuple(turns), matrix, float(gaps(checked).sum() - begun), least)


def _least(codes: np.ndarray, factors: np.ndarray) -> float:
    """The nats that a turn must gain, for codes (n, d) and factors (n, f): chance makes gaps of about as much."""
    random, bins = np.random.default_rng(0), binned(codes)
    dealt = [gaps(mutual_information(bins, random.permutation(factors))).sum() for _ in range(DEALS)]
    return max(LEAST, SPREADS * math.sqrt(2) * float(np.std(dealt)))  # √2: a gain is a difference of two of them


def _plane(d: int, plane: tuple[int, int], degrees: float) -> np.ndarray:
    """(d, d), the turn of two dimensions, for codes in rows."""
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    found = np.eye(d)
    found[np.ix_(plane, plane)] = [[cos, -sin], [sin, cos]]
    return found


def _with(two: np.ndarray, factors: np.ndarray, known: np.ndarray, plane: tuple[int, int]) -> np.ndarray:
    """(d, f) mutual information as it is `known`, but for two dimensions (n, 2), which are measured."""
    found = known.copy()
    found[list(plane)] = mutual_information(binned(two), factors)
    return found


def _best_turn(two: np.ndarray, factors: np.ndarray, known: np.ndarray, plane: tuple[int, int]) -> tuple[float, float]:
    """By how much the best turn of two dimensions (n, 2) raises the sum of the gaps, and the turn in degrees."""

    def gap(degrees: float) -> float:
        return float(gaps(_with(two @ _plane(2, (0, 1), degrees), factors, known, plane)).sum())

    tried = {float(degrees): gap(degrees) for degrees in range(-45 + COARSE, 45 + COARSE, COARSE)}
    middle = max(tried, key=tried.__getitem__)
    fine = (np.arange(middle - COARSE + FINE, middle + COARSE, FINE) + 44) % 90 - 44  # 46 is −44, and an exchange
    tried |= {near: gap(near) for near in fine.tolist()}
    best = max(tried, key=lambda degrees: (tried[degrees], -abs(degrees)))
    return tried[best] - tried[0.0], best
