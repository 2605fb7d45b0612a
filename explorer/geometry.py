"""Latents in, latents out: where to decode. No screen, no model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from trainer import Latent

COLUMNS = 11  # pictures in a row of the traversals
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


def through_classes(z: Latent, part: str, classes: Sequence[int] | np.ndarray) -> Latent:
    """One latent (each part (1, …)) -> as many as there are `classes`: `part` is each of them while all else stays."""
    import torch

    k = len(classes)
    moved = {name: values.repeat(k, *[1] * (values.ndim - 1)) for name, values in z.items()}
    return {**moved, part: torch.eye(z[part].shape[1])[torch.tensor(classes)]}


def blend(z: Latent, part: str, one: int, other: int, shares: np.ndarray) -> Latent:
    """One latent (each part (1, …)) -> len(shares) latents: `part` goes from class `one` to class `other`."""
    import torch

    moved = through_classes(z, part, [one] * len(shares))
    return {
        **moved,
        part: torch.lerp(moved[part], torch.eye(z[part].shape[1])[other], torch.tensor(shares).float()[:, None]),
    }


def interpolate(one: Latent, other: Latent, count: int) -> Latent:
    """`count` latents on the straight line between two, both ends included (each part (1, …))."""
    import torch

    share = torch.linspace(0, 1, count)
    return {name: torch.lerp(a, other[name], share.view(-1, *[1] * (a.ndim - 1))) for name, a in one.items()}


def by_importance(importance: np.ndarray, active: np.ndarray) -> tuple[list[int], list[int]]:
    """The active dimensions, most important first, and the inactive ones."""
    order = [int(dim) for dim in (-importance).argsort(kind="stable")]
    return [dim for dim in order if active[dim]], [dim for dim in order if not active[dim]]


def columns(count: int) -> list[int]:
    """Which of `count` stops make the row of the traversals: 11, the first, the last and the middle among them; all
    where they are fewer.
    """
    if count <= COLUMNS:
        return list(range(count))
    return [round(place) for place in np.linspace(0, count - 1, COLUMNS)]
