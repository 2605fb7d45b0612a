"""An .npz file of a person's own: `images` with `labels`, the four keys of an archive, or DeepMind's dSprites.

    images (n, h, w), (n, h, w, c) or (n, c, h, w), with labels (n,) and class_names (k,) where they are known
    train_images, train_labels, test_images, test_labels   the same, with splits of its own
    imgs (n, h, w), latents_classes (n, 6)   dSprites; the columns are colour, shape, scale, orientation, x, y

Pixels are uint8, or 0 and 1, or floats from 0 to 1. Nothing in the file is unpickled.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainer.data import Images, Split, chosen, part_of
from trainer.data._mapped import check, mapped, rows_of
from trainer.data.sprites import SHAPES, SYMMETRY

FACTORS = ("shape", "scale", "orientation", "position x", "position y")  # of dSprites; its colour is constant
KEYS = "images (and labels), or train_images and test_images (and their labels), or dSprites' imgs and latents_classes"


def load(path: Path, split: Split, size: int | None) -> Images:
    """One split, (n, 1 or 3, h, w). Raises ValueError, or OSError, that says what to do, for what is no such file."""
    if not path.is_file():
        raise FileNotFoundError(f'there is no file "{path}"')
    if not zipfile.is_zipfile(path):
        raise ValueError(f'"{path}" is damaged or no .npz file: np.savez writes one')
    try:
        with np.load(path, allow_pickle=False) as file:
            return _load(path, set(file.files), file, split, size)
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, RuntimeError) as error:  # the last one: encrypted
        why = str(error).strip("'")  # a KeyError puts its sentence in quotes
        raise ValueError(f'"{path}" is damaged or no .npz file: {why}') from None


def _load(path: Path, keys: set[str], file: Any, split: Split, size: int | None) -> Images:
    if {"train_images", "test_images"} <= keys:
        _check_alike(path)
        pixels = _pixels(path, f"{split}_images")
        rows = chosen(torch.arange(len(pixels)), split, size, path.name)
        labels, names = _labels(file, keys, f"{split}_labels", len(pixels), path)
    elif "imgs" in keys and "latents_classes" in keys:
        pixels = _pixels(path, "imgs")
        rows = part_of(len(pixels), split, size, path.name)
        levels = _array(file, "latents_classes", path, "iu", (len(pixels), 1 + len(FACTORS)))
        levels = torch.from_numpy(levels.astype(np.int64))[rows, 1:]
        return Images(path.name, pixels, levels[:, 0], SHAPES, rows=rows, levels=levels, factor_names=FACTORS,
                      factor_note=SYMMETRY)  # fmt: skip
    elif "images" in keys:
        pixels = _pixels(path, "images")
        rows = part_of(len(pixels), split, size, path.name)
        labels, names = _labels(file, keys, "labels", len(pixels), path)
    else:
        raise ValueError(f'"{path.name}" has the keys {", ".join(sorted(keys)) or "none"}; expected {KEYS}')
    return Images(path.name, pixels, None if labels is None else labels[rows], names, rows=rows)


def _array(file: Any, key: str, path: Path, kinds: str, shape: tuple[int | None, ...]) -> Any:
    """A member whole, if it has one of the kinds of dtype, and the shape, where None is any length."""
    try:
        found = file[key]
    except ValueError as error:
        raise ValueError(f'{key} of "{path.name}" cannot be read: {error}') from None
    if not isinstance(found, np.ndarray):
        raise ValueError(f'{key} of "{path.name}" is no array')
    fits = len(found.shape) == len(shape) and all(n in (m, None) for m, n in zip(found.shape, shape, strict=True))
    if not fits or found.dtype.kind not in kinds:
        expected = f"({', '.join('k' if n is None else str(n) for n in shape)}{',' * (len(shape) == 1)})"
        what = "texts" if kinds == "U" else "numbers"
        raise ValueError(f'{key} of "{path.name}" came as {found.dtype} {found.shape}, expected {expected} of {what}')
    return found


def _labels(file: Any, keys: set[str], key: str, count: int, path: Path) -> tuple[Tensor | None, list[str]]:
    """Labels as 0 … k−1 with the names of the classes; without names any numbers or texts may stand for classes."""
    if key not in keys:
        return None, []
    found = _array(file, key, path, "iubU", (count,))
    both = [key] if key == "labels" else sorted({"train_labels", "test_labels"} & keys)
    classes = np.unique(np.concatenate([_array(file, other, path, "iubU", (None,)) for other in both]))
    given = [str(name) for name in _array(file, "class_names", path, "U", (None,))] if "class_names" in keys else []
    if not given or classes.dtype.kind == "U":
        return torch.from_numpy(np.searchsorted(classes, found.astype(classes.dtype))), [str(name) for name in classes]
    if classes.min() < 0 or classes.max() >= len(given):
        raise ValueError(
            f'{" and ".join(both)} of "{path.name}" run from {classes.min()} to {classes.max()}, expected 0 to '
            f"{len(given) - 1}, since class_names has {len(given)}"
        )
    return torch.from_numpy(found.astype(np.int64)), given


def _pixels(path: Path, key: str) -> Tensor:
    """The images of a member, (n, c, h, w) uint8, memory-mapped."""
    with _member(path, key) as (stream, shape, dtype):
        if dtype.hasobject or dtype.kind not in "buf" or (dtype.kind == "u" and dtype.itemsize > 1):
            raise ValueError(f'{key} of "{path.name}" came as {dtype}, expected uint8, or floats from 0 to 1')
        (_, h, w), last = _layout(shape, key, path)
        check(path.name, shape[0], (h, w))
        source, about = (str(path.resolve()), key), path.stat()
        chunks, binary = _chunks(stream, shape, dtype, f'{key} of "{path.name}"'), dtype.kind != "f"
        array = mapped(source, (about.st_size, about.st_mtime_ns), shape, chunks, path.name, binary)
    if array.ndim == 3:
        return array[:, None]
    return array.permute(0, 3, 1, 2) if last else array


def _check_alike(path: Path) -> None:
    """Raise ValueError unless the images of both splits have the same channels and sides."""
    found = {}
    for key in ("train_images", "test_images"):
        with _member(path, key) as (_, shape, _):
            found[key], _ = _layout(shape, key, path)
    if found["train_images"] != found["test_images"]:
        said = ", ".join(f"{key} of {' × '.join(map(str, shape))}" for key, shape in found.items())
        raise ValueError(f'"{path.name}" has {said} (channels × height × width): both must be alike')


def _layout(shape: tuple[int, ...], key: str, path: Path) -> tuple[tuple[int, int, int], bool]:
    """(c, h, w), and whether the channels stand last."""
    if len(shape) == 3:
        return (1, shape[1], shape[2]), False
    if len(shape) == 4 and shape[3] in (1, 3):
        return (shape[3], shape[1], shape[2]), True
    if len(shape) == 4 and shape[1] in (1, 3):
        return (shape[1], shape[2], shape[3]), False
    raise ValueError(
        f'{key} of "{path.name}" came as {shape}, expected (n, h, w), (n, h, w, c) or (n, c, h, w), c 1 or 3'
    )


@contextmanager
def _member(path: Path, key: str) -> Iterator[tuple[Any, tuple[int, ...], np.dtype[Any]]]:
    """The stream of one array in an .npz file, with its shape and dtype: read from its header, not unpickled."""
    with zipfile.ZipFile(path) as archive, archive.open(f"{key}.npy") as stream:
        try:
            version = np.lib.format.read_magic(stream)
            reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, fortran, dtype = reader(stream)
        except ValueError as error:
            raise ValueError(f'{key} of "{path.name}" cannot be read: {error}') from None
        if fortran and len(shape) > 1:
            raise ValueError(f'{key} of "{path.name}" is in Fortran order: save it with np.ascontiguousarray')
        yield stream, shape, dtype


def _chunks(stream: Any, shape: tuple[int, ...], dtype: np.dtype[Any], what: str) -> Iterator[np.ndarray]:
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
                raise ValueError(f"{what}: floats run from {chunk.min():g} to {chunk.max():g}, expected 0 to 1")
            chunk = (chunk * 255).round()
        yield chunk.astype(np.uint8)
