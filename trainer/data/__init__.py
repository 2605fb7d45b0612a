"""Data sets: one module each, found by the name of its file. A module has `load(split, size) -> Images`."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Split = Literal["train", "test"]


@dataclass(frozen=True)
class Factor:
    """A known cause of variation: its name and the value that each level stands for."""

    name: str
    levels: tuple[str, ...]


class Images:
    """Images at rest, with their labels. `batch` is the one way to pixels, whatever holds them.

    pixels: (n, c, h, w), uint8 (0 … 255 becomes 0 … 1), or float for data that are no pictures.
    labels: (n,) integers, or None. factors: (n, f) level numbers of `factor_names`, or None.
    """

    def __init__(
        self,
        name: str,
        pixels: Tensor,
        labels: Tensor | None = None,
        class_names: Sequence[str] = (),
    ) -> None:
        if pixels.ndim != 4:
            raise ValueError(f'data set "{name}": pixels came as {tuple(pixels.shape)}, expected (n, c, h, w)')
        self.name = name
        self.labels = labels
        self.class_names = tuple(class_names)
        self.shape: tuple[int, int, int] = (pixels.shape[1], pixels.shape[2], pixels.shape[3])
        self._pixels = pixels

    def __len__(self) -> int:
        return len(self._pixels)

    def batch(self, indices: Tensor, device: torch.device | str = "cpu") -> Tensor:
        """(b,) positions in 0 … n−1 -> (b, c, h, w) in [0, 1] on `device`. The set moves there once and stays."""
        if self._pixels.device != torch.device(device):
            self._pixels = self._pixels.to(device)
        pixels = self._pixels[indices.to(self._pixels.device)]
        return pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels

    def factors(self, indices: Tensor) -> Tensor | None:
        """(b, f) level numbers of `factor_names`, or None where the causes are not known."""
        return None

    factor_names: tuple[str, ...] = ()

    def stream(self, device: torch.device | str = "cpu", size: int = 1024) -> Iterator[Tensor]:
        """All images in order, in batches."""
        for start in range(0, len(self), size):
            yield self.batch(torch.arange(start, min(start + size, len(self))), device)


def names() -> list[str]:
    """The data sets there are."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load(name: str, split: Split = "train", size: int | None = None) -> Images:
    """The data set called `name`. `size` keeps that many images, drawn once by a fixed seed.

    Raises ValueError for an unknown name (and says the nearest) or a size that the set does not have.
    """
    if name not in names():
        near = difflib.get_close_matches(name, names(), n=1)
        hint = f' Did you mean "{near[0]}"?' if near else ""
        raise ValueError(f'there is no data set "{name}".{hint} There are: {", ".join(names())}.')
    if split not in ("train", "test"):
        raise ValueError(f'split came as "{split}", expected "train" or "test"')
    images: Images = importlib.import_module(f"{__name__}.{name}").load(split, size)
    return images


def shuffled(n: int, seed: int = 0) -> Tensor:
    """A fixed order of 0 … n−1, for splits that stay the same everywhere."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed))


def part_of(n: int, split: Split, size: int | None, name: str) -> Tensor:
    """Which of n images belong to `split`: nine tenths train, one tenth test, in a fixed shuffled order."""
    order = shuffled(n)
    edge = n - n // 10
    chosen = order[:edge] if split == "train" else order[edge:]
    if size is None:
        return chosen
    if split == "test":  # `size` is about training; a tenth as many are enough to test on
        size = min(len(chosen), max(1, size // 10))
    if not 1 <= size <= len(chosen):
        raise ValueError(f'size={size} does not fit data set "{name}": it has {len(chosen):,} images in {split}')
    return chosen[:size]
