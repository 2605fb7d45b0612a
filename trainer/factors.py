"""A table of codes and known factors of the same images, which the metrics of disentanglement index.

A representation is encoded once. A factor that never changes is left out.

Letters in shapes: n images, d latent dimensions, f factors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from trainer.data import Images, shuffled

if TYPE_CHECKING:
    from trainer.latent import LatentModel
    from trainer.trainable import Track


@dataclass(frozen=True)
class Table:
    """Codes and factors of the same images."""

    codes: np.ndarray  # (n, d)
    factors: np.ndarray  # (n, f) level numbers, from 0
    names: tuple[str, ...]  # of the factors

    def __post_init__(self) -> None:
        n, f = len(self.codes), len(self.names)
        if self.codes.ndim != 2 or self.factors.shape != (n, f):
            raise ValueError(f"codes {self.codes.shape} and factors {self.factors.shape} are no (n, d) and (n, {f})")
        if not (self.factors.max(0) > self.factors.min(0)).all():
            raise ValueError("a factor that never changes cannot be told from anything: leave it out")

    def rows_of(self, factor: int) -> list[np.ndarray]:
        """The rows at each level of a factor, of those levels that occur."""
        order = self.factors[:, factor].argsort(kind="stable")
        levels = self.factors[order, factor]
        return np.split(order, np.flatnonzero(np.diff(levels)) + 1)

    def split(self, train: int, test: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows to learn from and rows to be tested on. Raises ValueError where there are too few."""
        if train < 1 or test < 1 or train + test > len(self.codes):
            raise ValueError(
                f"{train:,} images to learn from and {test:,} to test on, but there are {len(self.codes):,}"
            )
        order = np.random.default_rng(seed).permutation(len(self.codes))
        return order[:train], order[train : train + test]


@torch.no_grad()
def encode(model: LatentModel, images: Images, size: int = 20_000, seed: int = 0, track: Track[Tensor] = iter) -> Table:
    """The posterior means and factors of `size` images, drawn by a seed. Raises ValueError for a data set without
    factors, with fewer than 10 images, or where no factor varies over those that are drawn.
    """
    if not images.factor_names:
        raise ValueError(f'data set "{images.name}" has no known factors to compare dimensions with')
    if min(size, len(images)) < 10:
        raise ValueError(f"{min(size, len(images))} images came, expected at least 10")
    rows = shuffled(len(images), seed)[:size]
    codes, factors = [], []
    for some in track(rows.split(256)):
        codes.append(model.points(model.encode(images.batch(some, model.device))).cpu())
        found = images.factors(some)
        assert found is not None
        factors.append(found)
    levels = torch.cat(factors).numpy()
    varied = levels.max(0) > levels.min(0)
    if not varied.any():
        raise ValueError(
            f'no factor varies over {len(rows):,} images of "{images.name}": expected at least one that does'
        )
    names = tuple(name for name, varies in zip(images.factor_names, varied, strict=True) if varies)
    return Table(torch.cat(codes).double().numpy(), levels[:, varied], names)
