"""What a selection of points has that the rest has not. Points and places in, numbers out; no screen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

DRAWS = 200  # of the bootstrap
CHUNK = 2**22  # numbers drawn at once


@dataclass(frozen=True)
class Difference:
    """How far a selection's mean lies from the rest's in each dimension, in pooled standard deviations (Cohen's d)."""

    effect: np.ndarray  # (d,) NaN where a dimension is constant
    low: np.ndarray  # (d,) 2.5th and
    high: np.ndarray  # (d,) 97.5th percentile of resampled effects

    @property
    def order(self) -> list[int]:
        """The dimensions that are not constant, the largest effect first."""
        by_size = np.argsort(-np.abs(np.nan_to_num(self.effect)), kind="stable")
        return [int(dim) for dim in by_size if np.isfinite(self.effect[dim])]


def inside(polygon: np.ndarray, places: np.ndarray) -> np.ndarray:
    """(n,) which places (n, 2) lie inside a closed polygon (v, 2), by the even-odd rule.

    Raises ValueError unless it is (v, 2) finite numbers.
    """
    polygon = np.asarray(polygon, np.float64)
    if polygon.ndim != 2 or polygon.shape[1] != 2 or not np.isfinite(polygon).all():
        raise ValueError(f"polygon: expected finite (v, 2), got {polygon.shape}")
    found = np.zeros(len(places), bool)
    x, y = places[:, 0].astype(np.float64), places[:, 1].astype(np.float64)
    for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, 0), strict=True):
        if y0 != y1:  # a horizontal edge is crossed by no horizontal ray
            crosses = (y0 > y) != (y1 > y)
            found ^= crosses & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return found


def differences(points: np.ndarray, chosen: np.ndarray, seed: int = 0, draws: int = DRAWS) -> Difference:
    """Cohen's d of the chosen points (n,) bool against the rest in each dimension of (n, d), with a 95 % interval of
    the percentile bootstrap: both groups drawn again with replacement.

    Raises ValueError unless two points are chosen and two are not.
    """
    groups = points[chosen].astype(np.float64), points[~chosen].astype(np.float64)
    if min(map(len, groups)) < 2:
        raise ValueError("Choose at least two points, and leave at least two others, to compare them.")
    centre = points.mean(0, dtype=np.float64)  # near 0, squares keep their digits
    rng = np.random.default_rng(seed)
    one, rest = groups[0] - centre, groups[1] - centre
    moved = _cohen(_moments(one, rng, draws), _moments(rest, rng, draws), len(one), len(rest))  # (draws, d)
    effect = _cohen(_moments(one, None, 1), _moments(rest, None, 1), len(one), len(rest))[0]
    finite = np.isfinite(moved)
    low, high = np.full((2, len(effect)), np.nan)
    for dim in np.flatnonzero(np.isfinite(effect)):
        if finite[:, dim].any():
            low[dim], high[dim] = np.percentile(moved[finite[:, dim], dim], [2.5, 97.5])
    return Difference(effect, low, high)


def _moments(values: np.ndarray, rng: np.random.Generator | None, draws: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and unbiased variance, each (draws, d), of resampled values (n, d); without rng of the values themselves."""
    n = len(values)
    if rng is None:
        return values.mean(0)[None], values.var(0, ddof=1)[None]
    means, variances = [], []
    at_once = max(1, CHUNK // n)
    for start in range(0, draws, at_once):
        many = min(at_once, draws - start)
        picked = rng.integers(n, size=(many, n)) + n * np.arange(many)[:, None]
        weight = np.bincount(picked.ravel(), minlength=many * n).reshape(many, n) / n  # (draws, n), rows sum to 1
        mean = weight @ values
        means.append(mean)
        variances.append((weight @ values**2 - mean**2).clip(min=0) * n / (n - 1))
    return np.concatenate(means), np.concatenate(variances)


def _cohen(one: tuple[np.ndarray, np.ndarray], rest: tuple[np.ndarray, np.ndarray], n: int, m: int) -> np.ndarray:
    pooled = np.sqrt(((n - 1) * one[1] + (m - 1) * rest[1]) / (n + m - 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(pooled > 1e-9, (one[0] - rest[0]) / pooled, np.nan)


def class_counts(values: np.ndarray, chosen: np.ndarray, classes: int) -> np.ndarray:
    """(classes, 2) how many of each class are chosen, and how many there are."""
    return np.stack([np.bincount(values[chosen], minlength=classes), np.bincount(values, minlength=classes)], 1)


def spread_over(rows: np.ndarray, most: int) -> np.ndarray:
    """At most that many of some rows, evenly over them, in their order."""
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).round().astype(int)]
