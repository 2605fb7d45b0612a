"""Latents in, latents out: where to decode. No screen, no model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from trainer import Latent

REACH = 3.0  # every axis runs from −3 to 3 of its own unit


def stops(count: int) -> np.ndarray:
    """`count` positions from −3 to 3, rounded to 4 decimals so that an address holds them exactly."""
    return np.linspace(-REACH, REACH, count).round(4)


def traverse(z: Latent, part: str, dims: Sequence[int], positions: np.ndarray) -> Latent:
    """One latent (each part (1, …)) -> len(dims) · len(positions) latents, in that order: each dimension in `dims`
    of `part` is moved through `positions` while everything else stays.
    """
    k = len(positions)
    moved = {name: values.repeat(len(dims) * k, *[1] * (values.ndim - 1)) for name, values in z.items()}
    for row, dim in enumerate(dims):
        moved[part][row * k : (row + 1) * k, dim] = moved[part].new_tensor(positions)
    return moved


def by_importance(importance: np.ndarray, active: np.ndarray) -> tuple[list[int], list[int]]:
    """The active dimensions, most important first, and the inactive ones."""
    order = [int(dim) for dim in (-importance).argsort(kind="stable")]
    return [dim for dim in order if active[dim]], [dim for dim in order if not active[dim]]


def stops_within(budget: int, dims: int, frame_bytes: int) -> tuple[int, int]:
    """How many stops an axis gets, 41, 21 or 11, and how many axes then fit into `budget` bytes."""
    for count in (41, 21, 11):
        if dims * count * frame_bytes <= budget:
            return count, dims
    return 11, max(1, budget // (11 * frame_bytes))
