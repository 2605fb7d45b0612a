"""Data sets: one module each, found by the name of its file. A module has `load(split, size) -> Images`.

Modules whose names begin with an underscore help the others. A path instead of a name is a person's own set.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import os
import pkgutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from trainer import told

if TYPE_CHECKING:
    from trainer.trainable import Trainable

Split = Literal["train", "test"]
RESIDENT = 8 * 2**30  # bytes; a larger set stays where it lies, and only batches move to an accelerator


class Images:
    """Images at rest, with their labels. `batch` is the one way to pixels, whatever holds them.

    pixels: (n, c, h, w), uint8 (0 … 255 becomes 0 … 1), or others, which stay as they are: data that are no pictures.
    labels: (n,) integers, or None. levels: (n, f) level numbers of `factor_names`, or None.
    factor_note: what must stand beside a score against these factors.
    rows: where `pixels` hold more than this set, the (n,) places of its images in them.
    rate: samples per second, where the images are waveforms (c, 1, w) with silence at ½.
    told: (n,) the labels that models are told, −1 where they are not; all of them, unless it is given.
    """

    def __init__(
        self,
        name: str,
        pixels: Tensor,
        labels: Tensor | None = None,
        class_names: Sequence[str] = (),
        *,
        rows: Tensor | None = None,
        levels: Tensor | None = None,
        factor_names: Sequence[str] = (),
        factor_note: str = "",
        rate: int | None = None,
        told: Tensor | None = None,
    ) -> None:
        if pixels.ndim != 4:
            raise ValueError(f'data set "{name}": pixels came as {tuple(pixels.shape)}, expected (n, c, h, w)')
        self.name = name
        self.labels = labels
        self.rate = rate
        self._told = told
        self.class_names = tuple(class_names)
        self.factor_names = tuple(factor_names)
        self.factor_note = factor_note
        self.shape: tuple[int, int, int] = (pixels.shape[1], pixels.shape[2], pixels.shape[3])
        self._pixels, self._rows, self._levels = pixels, rows, levels
        self._given: Tensor | None = None  # labels (n,) where a model that is told them lies

    def __len__(self) -> int:
        return len(self._pixels if self._rows is None else self._rows)

    def batch(self, indices: Tensor, device: torch.device | str = "cpu") -> Tensor:
        """(b,) positions in 0 … n−1 -> (b, c, h, w) in [0, 1] on `device`.

        A set moves there once and stays, unless it is too large for that.
        """
        if self._rows is not None:
            self._rows = self._rows.to(indices.device)
            indices = self._rows[indices]
        if self._pixels.device != torch.device(device) and self.resident(device):
            self._pixels = self._pixels.to(device)
        pixels = self._pixels.index_select(0, indices.to(self._pixels.device)).to(device)  # rows copied whole
        return pixels.float().div_(255) if pixels.dtype == torch.uint8 else pixels

    @property
    def told(self) -> Tensor:
        """(n,) int64, the labels that models are told, −1 where they are not."""
        if self._told is not None:
            return self._told
        return torch.full((len(self),), -1) if self.labels is None else self.labels.long()

    @told.setter
    def told(self, labels: Tensor) -> None:
        self._told, self._given = labels, None

    def given(self, indices: Tensor, model: Trainable) -> dict[str, Tensor]:
        """What a model is told beside the pixels at these positions (b,): "y", the labels (b,) int64 on its device, if
        it is `labelled`; −1 where they are not known.
        """
        if not model.labelled:
            return {}
        if self._given is None or self._given.device != model.device:
            self._given = self.told.to(model.device)
        return {"y": self._given[indices.to(model.device)]}

    def resident(self, device: torch.device | str) -> bool:
        """Whether batches come from `device` itself, once it has the set."""
        return torch.device(device).type == "cpu" or self._pixels.nbytes <= RESIDENT

    def factors(self, indices: Tensor) -> Tensor | None:
        """(b, f) level numbers of `factor_names`, or None where the causes are not known."""
        return None if self._levels is None else self._levels[indices.cpu()]

    def stream(self, device: torch.device | str = "cpu", size: int = 1024) -> Iterator[Tensor]:
        """All images in order, in batches."""
        for start in range(0, len(self), size):
            yield self.batch(torch.arange(start, min(start + size, len(self))), device)


def names() -> list[str]:
    """The data sets there are."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def is_path(name: str) -> bool:
    """Whether a data set's name is a path, as that of a person's own folder or .npz file is."""
    return name not in names() and (os.sep in name or "/" in name or name.endswith(".npz") or Path(name).exists())


def _reader(name: str) -> str:
    """The module that reads a person's own set; "" for the name of one that is known."""
    if not is_path(name):
        return ""
    if name.endswith(".npz"):
        return "_npz"
    sounds = any(file.suffix.lower() == ".wav" for file in Path(name).rglob("*"))
    return "_wav" if sounds else "_folder"


def whole_name(name: str) -> str:
    """The same for every folder that a program may run in: a path of a person's own set from the root, or the name."""
    return str(Path(name).resolve()) if is_path(name) else name


def load(
    name: str,
    split: Split = "train",
    size: int | None = None,
    side: int | None = None,
    labels: int | None = None,
    seed: int = 0,
) -> Images:
    """The data set called `name`, or in the folder or .npz file at that path.

    `size` keeps that many images, drawn once by a fixed seed; `side` brings the images of a folder to side × side.
    Of the training split models are told `labels` labels only, as many of each class, drawn by `seed`. Raises
    ValueError for an unknown name (and says the nearest), a size or labels that the set does not have, or files that
    are no such set; OSError where it cannot be fetched or read, or is too large for the memory.
    """
    try:
        images = _load(name, split, size, side)
    except MemoryError:
        raise OSError(f'there is not enough memory for data set "{Path(name).name}"') from None
    if labels is not None and split == "train":
        if images.labels is None:
            raise ValueError(f'labels came as {labels:,}, but data set "{images.name}" has none')
        images.told = told.keep(images.labels, labels, images.class_names, seed, images.name)
    return images


def _load(name: str, split: Split, size: int | None, side: int | None) -> Images:
    if split not in ("train", "test"):
        raise ValueError(f'split came as "{split}", expected "train" or "test"')
    reader = _reader(name)
    if side is not None and reader != "_folder":
        raise ValueError(f'side={side} is for a folder of images; the images of "{name}" have their size')
    if reader == "_folder":
        return _set(reader).load(Path(name), split, size, side)
    if reader:
        return _set(reader).load(Path(name), split, size)
    if name not in names():
        near = difflib.get_close_matches(name, names(), n=1)
        hint = f' Did you mean "{near[0]}"?' if near else ""
        raise ValueError(
            f'there is no data set "{name}".{hint} There are: {", ".join(names())}; or give the path of a folder of '
            "images or of WAV files, or of an .npz file."
        )
    images: Images = _set(name).load(split, size)
    return images


def is_here(name: str) -> bool:
    """Whether `load` of this name needs to fetch nothing."""
    if is_path(name):
        return Path(name).exists()
    archive = getattr(_set(name), "ARCHIVE", None) if name in names() else None
    return name in names() and (archive is None or archive.path() is not None)


def about(name: str, whole: bool = True) -> str:
    """What a data set is, from its module: a few sentences, or their first line."""
    text = inspect.getdoc(_set(_reader(name) or name)) or ""
    return " ".join(text.split()) if whole else text.splitlines()[0]


def _set(name: str) -> Any:
    return importlib.import_module(f"{__name__}.{name}")


def shuffled(n: int, seed: int = 0) -> Tensor:
    """A fixed order of 0 … n−1, for splits that stay the same everywhere."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed))


def part_of(n: int, split: Split, size: int | None, name: str) -> Tensor:
    """Which of n images belong to `split`: nine tenths train, one tenth test, in a fixed shuffled order."""
    order = shuffled(n)
    edge = n - n // 10
    return _first(order[:edge] if split == "train" else order[edge:], split, size, name)


def chosen(rows: Tensor, split: Split, size: int | None, name: str) -> Tensor:
    """The rows of an official split, in its order; of a smaller `size` that many, drawn by a fixed seed."""
    return rows if size is None else _first(rows[shuffled(len(rows))], split, size, name)


def _first(rows: Tensor, split: Split, size: int | None, name: str) -> Tensor:
    if size is None:
        return rows
    if split == "test":  # `size` is about training; a tenth as many are enough to test on
        size = min(len(rows), max(1, size // 10))
    if not 1 <= size <= len(rows):
        raise ValueError(f'size={size} does not fit data set "{name}": it has {len(rows):,} images in {split}')
    return rows[:size]
