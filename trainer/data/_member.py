"""One array of an .npz file, of which no more is read than its header was found to be fit for; nothing is unpickled."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as format_

CLASSES = 100_000  # names of classes in a set
HELD = 2**29  # bytes of an array that is held whole: labels, names, levels
HEADER = 2**14  # bytes from an array's start that hold its header; numpy reads no longer ones either


@contextmanager
def member(path: Path, key: str) -> Iterator[tuple[Any, tuple[int, ...], np.dtype[Any], bool]]:
    """The stream of one array in an .npz file, with its shape, its dtype and whether it is in Fortran order: these are
    read from its header, no more is, and nothing is unpickled.
    """
    with zipfile.ZipFile(path) as archive:
        about, what = archive.getinfo(f"{key}.npy"), f'{key} of "{path.name}"'
        if about.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # the others unpack without a limit
            raise ValueError(f"{what} is compressed in another way than np.savez_compressed does: save it with that")
        with archive.open(about) as stream:
            head = io.BytesIO(stream.read(HEADER))
            try:
                version = format_.read_magic(head)
                read = format_.read_array_header_1_0 if version == (1, 0) else format_.read_array_header_2_0
                shape, fortran, dtype = read(head)
            except Exception:  # the header is Python's text, and its parser raises many kinds
                raise ValueError(f"{what} cannot be read: it is no array as np.save writes it") from None
            if any(n < 0 for n in shape):
                raise ValueError(f"{what} cannot be read: its header says {shape}")
            if not dtype.hasobject and math.prod(shape) * dtype.itemsize > about.file_size - head.tell():
                raise ValueError(f"{what} ends too early: its header says {dtype} {shape}")
            stream.seek(head.tell())
            yield stream, shape, dtype, fortran and len(shape) > 1


def array(path: Path, key: str, expected: tuple[str, str], shape: tuple[int | None, ...]) -> np.ndarray:
    """A member whole, if its header says one of the expected kinds of dtype and the shape, where None is any length up
    to `CLASSES`, and it takes no more than `HELD` bytes.
    """
    kinds, words = expected
    with member(path, key) as (stream, found, dtype, fortran):
        what, size = f'{key} of "{path.name}"', math.prod(found) * dtype.itemsize
        if dtype.hasobject:
            raise ValueError(
                f"{what} holds Python objects, which are never read: save {key}.astype(str) or {key}.astype(int)"
            )
        lengths = zip(found, shape, strict=False)
        fits = len(found) == len(shape) and all(0 <= n <= CLASSES if m is None else n == m for n, m in lengths)
        if not fits or dtype.kind not in kinds:
            wanted = f"({', '.join('k' if m is None else str(m) for m in shape)}{',' * (len(shape) == 1)}) of {words}"
            limit = f", k up to {CLASSES:,}" * (None in shape)
            raise ValueError(f"{what} came as {dtype} {found}, expected {wanted}{limit}")
        if size > HELD:
            raise ValueError(f"{what} takes {size / 1e9:.2f} GB, expected {HELD / 1e9:.2f} GB at most")
        content = stream.read(size)
    if len(content) != size:
        raise EOFError(f"{key} ends too early")
    return np.ndarray(found, dtype, content, order="F" if fortran else "C")
