"""An .npz file of a person's own: `images` with `labels`, the four keys of an archive, or DeepMind's dSprites.

    images (n, h, w), (n, h, w, c) or (n, c, h, w), with labels (n,) and class_names (k,) where they are known
    train_images, train_labels, test_images, test_labels   the same, with splits of its own
    imgs (n, h, w), latents_classes (n, 6)   dSprites; the columns are colour, shape, scale, orientation, x, y

Pixels are uint8, or 0 and 1, or floats from 0 to 1. Nothing in the file is unpickled.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainer.data import Images, Split, chosen, part_of
from trainer.data._mapped import check, mapped, rows_of

FACTORS = ("shape", "scale", "orientation", "position x", "position y")  # of dSprites; its colour is constant
SHAPES = ("square", "ellipse", "heart")
KEYS = "images (and labels), or train_images and test_images (and their labels), or dSprites' imgs and latents_classes"


def load(path: Path, split: Split, size: int | None) -> Images:
    """One split, (n, 1 or 3, h, w). Raises ValueError, or OSError, that says what to do, for what is no such file."""
    if not path.is_file():
        raise FileNotFoundError(f'there is no file "{path}"')
    try:
        with np.load(path, allow_pickle=False) as file:
            return _load(path, set(file.files), file, split, size)
    except (zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f'"{path}" is damaged or no .npz file: {error}') from None


def _load(path: Path, keys: set[str], file: Any, split: Split, size: int | None) -> Images:
    if {"train_images", "test_images"} <= keys:
        pixels = _pixels(path, f"{split}_images")
        rows = chosen(torch.arange(len(pixels)), split, size, path.name)
        labels, names = _labels(file, keys, f"{split}_labels", len(pixels), path)
    elif "imgs" in keys and "latents_classes" in keys:
        pixels = _pixels(path, "imgs")
        rows = part_of(len(pixels), split, size, path.name)
        levels = torch.from_numpy(file["latents_classes"].astype(np.int64))[rows, 1:]
        return Images(path.name, pixels, levels[:, 0], SHAPES, rows=rows, levels=levels, factor_names=FACTORS)
    elif "images" in keys:
        pixels = _pixels(path, "images")
        rows = part_of(len(pixels), split, size, path.name)
        labels, names = _labels(file, keys, "labels", len(pixels), path)
    else:
        raise ValueError(f'"{path.name}" has the keys {", ".join(sorted(keys)) or "none"}; expected {KEYS}')
    return Images(path.name, pixels, None if labels is None else labels[rows], names, rows=rows)


def _labels(file: Any, keys: set[str], key: str, count: int, path: Path) -> tuple[Tensor | None, list[str]]:
    """Labels as 0 … k−1 with the names of the classes; any numbers or texts may stand for classes."""
    if key not in keys:
        return None, []
    try:
        found = file[key]
    except ValueError as error:
        raise ValueError(f'{key} of "{path.name}" cannot be read: {error}') from None
    if found.shape != (count,) or found.dtype.kind not in "iubU":
        raise ValueError(f'{key} of "{path.name}" came as {found.dtype} {found.shape}, expected ({count},) of numbers')
    both = np.concatenate([file[other] for other in ("train_labels", "test_labels") if other in keys] or [found])
    classes = np.unique(both)
    given = [str(name) for name in file["class_names"]] if "class_names" in keys else []
    named = given if classes.dtype.kind in "iu" and classes.max() < len(given) else []
    names = named or [str(value) for value in classes]
    return torch.from_numpy(found.astype(np.int64) if named else np.searchsorted(classes, found)), names


def _pixels(path: Path, key: str) -> Tensor:
    """The images of a member, (n, c, h, w) uint8, memory-mapped."""
    with _member(path, key) as (stream, shape, dtype):
        if dtype.hasobject or dtype.kind not in "buf" or (dtype.kind == "u" and dtype.itemsize > 1):
            raise ValueError(f'{key} of "{path.name}" came as {dtype}, expected uint8, or floats from 0 to 1')
        h, w, last = _layout(shape, key, path)
        check(path.name, shape[0], (h, w))
        about = path.stat()
        array = mapped(
            (str(path.resolve()), about.st_size, about.st_mtime_ns, key),
            shape,
            _chunks(stream, shape, dtype),
            path.name,
        )
    if array.ndim == 3:
        return array[:, None]
    return array.permute(0, 3, 1, 2) if last else array


def _layout(shape: tuple[int, ...], key: str, path: Path) -> tuple[int, int, bool]:
    """Height, width, and whether the channels stand last."""
    if len(shape) == 3:
        return shape[1], shape[2], False
    if len(shape) == 4 and shape[3] in (1, 3):
        return shape[1], shape[2], True
    if len(shape) == 4 and shape[1] in (1, 3):
        return shape[2], shape[3], False
    raise ValueError(
        f'{key} of "{path.name}" came as {shape}, expected (n, h, w), (n, h, w, c) or (n, c, h, w), c 1 or 3'
    )


class _member:
    """The stream of one array in an .npz file, with its shape and dtype: read from its header, not unpickled."""

    def __init__(self, path: Path, key: str) -> None:
        self.archive = zipfile.ZipFile(path)
        self.stream = self.archive.open(f"{key}.npy")

    def __enter__(self) -> tuple[Any, tuple[int, ...], np.dtype[Any]]:
        version = np.lib.format.read_magic(self.stream)
        reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = reader(self.stream)
        if fortran and len(shape) > 1:
            raise ValueError("its arrays are in Fortran order: save them with np.ascontiguousarray")
        return self.stream, shape, dtype

    def __exit__(self, *error: object) -> None:
        self.stream.close()
        self.archive.close()


def _chunks(stream: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Iterator[np.ndarray]:
    """Rows in order, as uint8."""
    each = int(np.prod(shape[1:]))
    for some in rows_of(shape[0], each * dtype.itemsize):
        count = some.stop - some.start
        chunk = np.frombuffer(stream.read(count * each * dtype.itemsize), dtype)
        if len(chunk) != count * each:
            raise EOFError("it ends too early")
        chunk = chunk.reshape(count, *shape[1:])
        if dtype.kind == "f":
            if not (chunk.min() >= 0 and chunk.max() <= 1):
                raise ValueError(f"floats run from {chunk.min():g} to {chunk.max():g}, expected 0 to 1")
            chunk = (chunk * 255).round()
        yield chunk.astype(np.uint8)
