"""A person's own set as one array on disk: made once, with progress, then memory-mapped, however large it is."""

from __future__ import annotations

import hashlib
import math
import shutil
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from trainer.files import clear_leftovers, replacing
from trainer.places import home

LEAST, SMALLEST, LARGEST = 10, 8, 128  # images in a set; px of a side
CHUNK = 2**24  # bytes of pixels converted at once


def mapped(
    source: object, content: object, shape: tuple[int, ...], chunks: Iterable[np.ndarray], what: str, binary: bool
) -> Tensor:
    """An array of uint8 with `shape`, memory-mapped from its file; `chunks`, rows in order, make it once.

    `source` says what was read and how, `content` its state; a new state's array takes the place of the one before.
    binary: values all 0 or 1 become 0 or 255. Raises OSError where the disk has no room; nothing half-written stays.
    """
    folder = home() / "data" / "mapped"
    path = folder / f"{_short_hash(source)}-{_short_hash(content)}.npy"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        clear_leftovers(folder)
        needed, free = math.prod(shape), shutil.disk_usage(folder).free
        if needed > free:
            raise OSError(f"{what} needs {needed / 1e9:.1f} GB in {folder}, which has {free / 1e9:.1f} GB free")
        with replacing(path) as temporary:
            _fill(np.lib.format.open_memmap(temporary, "w+", np.uint8, shape), chunks, what, binary)
        for other in folder.glob(f"{_short_hash(source)}-*.npy"):
            if other != path:
                other.unlink(missing_ok=True)  # who has it mapped keeps it
    return torch.from_numpy(np.load(path, mmap_mode="c", allow_pickle=False))  # "c": torch wants it writable


def _short_hash(key: object) -> str:
    return hashlib.sha256(repr(key).encode()).hexdigest()[:16]


def _fill(array: np.memmap, chunks: Iterable[np.ndarray], what: str, binary: bool) -> None:
    row, most = 0, 0
    with tqdm(total=len(array), desc=f"reading {what}", unit=" images", leave=False, disable=None) as bar:
        for chunk in chunks:
            array[row : row + len(chunk)] = chunk
            row, most = row + len(chunk), max(most, int(chunk.max(initial=0)))
            bar.update(len(chunk))
    if row != len(array):
        raise ValueError(f"{what}: {row:,} images came, expected {len(array):,}")
    if binary and most == 1:
        for some in rows_of(len(array), array[0].nbytes):
            array[some] *= 255
    array.flush()


def rows_of(n: int, bytes_each: int) -> Iterator[slice]:
    """0 … n−1 in pieces of about `CHUNK` bytes."""
    step = max(1, CHUNK // bytes_each)
    return (slice(start, min(start + step, n)) for start in range(0, n, step))


def check(name: str, count: int, sides: tuple[int, int], remedy: str = "") -> None:
    """Raise ValueError unless a model can be trained on that many images with sides (h, w)."""
    if count < LEAST:
        raise ValueError(
            f'"{name}" has {count} image{"" if count == 1 else "s"}; at least {LEAST} are needed, '
            "since a tenth is kept for testing"
        )
    if not all(SMALLEST <= side <= LARGEST for side in sides):
        raise ValueError(
            f'the images of "{name}" are {sides[0]}×{sides[1]} pixels; sides from {SMALLEST} to {LARGEST} can be '
            f"trained on{remedy}"
        )
