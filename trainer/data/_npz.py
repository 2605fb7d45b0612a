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
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainer.data import Images, Split, chosen, part_of
from trainer.data._mapped import check, mapped, rows_of
from trainer.data._member import array, member
from trainer.data.sprites import SHAPES, SYMMETRY

FACTORS = ("shape", "scale", "orientation", "position x", "position y")  # of dSprites; its colour is constant
LABELS, NAMES, LEVELS = ("iubfUS", "whole numbers or texts"), ("US", "texts"), ("iu", "whole numbers")  # kinds of dtype
KEYS = "images (and labels), or train_images and test_images (and their labels), or dSprites' imgs and latents_classes"


def load(path: Path, split: Split, size: int | None) -> Images:
    """One split, (n, 1 or 3, h, w). Raises ValueError, or OSError, that says what to do, for what is no such file."""
    if not path.is_file():
        raise FileNotFoundError(f'there is no file "{path}"')
    if not zipfile.is_zipfile(path):
        raise ValueError(f'"{path}" is damaged or no .npz file: np.savez writes one')
    try:
        return _load(path, split, size)
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, RuntimeError, UnicodeError) as error:
        why = str(error).strip("'")  # a KeyError puts its sentence in quotes; a RuntimeError is an encrypted file's
        raise ValueError(f'"{path}" is damaged or no .npz file: {why}') from None


def _load(path: Path, split: Split, size: int | None) -> Images:
    with zipfile.ZipFile(path) as archive:
        keys = {name.removesuffix(".npy") for name in archive.namelist()}
    if {"train_images", "test_images"} <= keys:
        _check_alike(path)
        pixels = _pixels(path, f"{split}_images")
        rows = chosen(torch.arange(len(pixels)), split, size, path.name)
        labels, names = _labels(path, keys, f"{split}_labels")
    elif "imgs" in keys and "latents_classes" in keys:
        pixels = _pixels(path, "imgs")
        rows = part_of(len(pixels), split, size, path.name)
        found = array(path, "latents_classes", LEVELS, (len(pixels), 1 + len(FACTORS)))
        levels = torch.from_numpy(found.astype(np.int64))[rows, 1:]
        return Images(path.name, pixels, levels[:, 0], SHAPES, rows=rows, levels=levels, factor_names=FACTORS,
                      factor_note=SYMMETRY)  # fmt: skip
    elif "images" in keys:
        pixels = _pixels(path, "images")
        rows = part_of(len(pixels), split, size, path.name)
        labels, names = _labels(path, keys, "labels")
    else:
        raise ValueError(f'"{path.name}" has the keys {", ".join(sorted(keys)) or "none"}; expected {KEYS}')
    return Images(path.name, pixels, None if labels is None else labels[rows], names, rows=rows)


def _labels(path: Path, keys: set[str], key: str) -> tuple[Tensor | None, list[str]]:
    """Labels as 0 … k−1 with the names of the classes; without names any numbers or texts may stand for classes."""
    if key not in keys:
        return None, []
    both = [key] if key == "labels" else sorted({"train_labels", "test_labels"} & keys)
    every = {}
    for other in both:
        with member(path, other.replace("labels", "images")) as (_, shape, _, _):
            count = shape[0]
        every[other] = _whole(array(path, other, LABELS, (count,)), f'{other} of "{path.name}"')
    found, classes = every[key], np.unique(np.concatenate(list(every.values())))
    given = _texts(array(path, "class_names", NAMES, (None,)), path) if "class_names" in keys else []
    if not given or classes.dtype.kind in "US":
        return torch.from_numpy(np.searchsorted(classes, found.astype(classes.dtype))), _texts(classes, path)
    if classes.min() < 0 or classes.max() >= len(given):
        raise ValueError(
            f'{" and ".join(both)} of "{path.name}" run from {classes.min()} to {classes.max()}, expected 0 to '
            f"{len(given) - 1}, since class_names has {len(given)}"
        )
    return torch.from_numpy(found.astype(np.int64)), given


def _whole(labels: np.ndarray, what: str) -> np.ndarray:
    """Labels (n,): numbers as int64, also floats that are whole, as tables often hold them; bytes in UTF-8 as texts.
    Raises ValueError for other numbers and other bytes.
    """
    if labels.dtype.kind == "S":
        try:
            return np.char.decode(labels, "utf-8")
        except UnicodeError:
            raise ValueError(f"{what} are names that are no texts in UTF-8") from None
    if labels.dtype.kind in "bU":
        return labels
    with np.errstate(invalid="ignore"):
        whole = labels.astype(np.int64)
    odd = labels[whole != labels]
    if len(odd):
        raise ValueError(f"{what} holds {odd[0]:g}, expected {LABELS[1]}")
    return whole


def _texts(classes: np.ndarray, path: Path) -> list[str]:
    """The names of classes (k,), which may be numbers, texts, or bytes in UTF-8."""
    try:
        names = [name.decode() if isinstance(name, bytes) else str(name) for name in classes]
        "".join(names).encode()  # an array may hold numbers that are no characters, or half of one
    except (ValueError, SystemError):  # the latter is Python's for a character beyond the last one
        raise ValueError(f'the classes of "{path.name}" have names that are no texts in UTF-8') from None
    return names


def _pixels(path: Path, key: str) -> Tensor:
    """The images of a member, (n, c, h, w) uint8, memory-mapped."""
    with member(path, key) as (stream, shape, dtype, fortran):
        if dtype.hasobject or dtype.kind not in "buf" or (dtype.kind == "u" and dtype.itemsize > 1):
            raise ValueError(f'{key} of "{path.name}" came as {dtype}, expected uint8, or floats from 0 to 1')
        if fortran:
            raise ValueError(f'{key} of "{path.name}" is in Fortran order: save it with np.ascontiguousarray')
        (_, h, w), last = _layout(shape, key, path)
        check(path.name, shape[0], (h, w))
        source, about = (str(path.resolve()), key), path.stat()
        chunks, binary = _chunks(stream, shape, dtype, f'{key} of "{path.name}"'), dtype.kind != "f"
        found = mapped(source, (about.st_size, about.st_mtime_ns), shape, chunks, path.name, binary)
    if found.ndim == 3:
        return found[:, None]
    return found.permute(0, 3, 1, 2) if last else found


def _check_alike(path: Path) -> None:
    """Raise ValueError unless the images of both splits have the same channels and sides."""
    found = {}
    for key in ("train_images", "test_images"):
        with member(path, key) as (_, shape, _, _):
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
            low, high = chunk.min(), chunk.max()
            if not np.isfinite([low, high]).all():
                raise ValueError(f"{what} holds NaN or infinite values, expected floats from 0 to 1")
            if low < 0 or high > 1:
                raise ValueError(f"{what}: floats run from {low:g} to {high:g}, expected 0 to 1")
            chunk = (chunk * 255).round()
        yield chunk.astype(np.uint8)
