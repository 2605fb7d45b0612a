"""Files that are written whole or not at all, whatever happens meanwhile."""

from __future__ import annotations

import itertools
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from trainer.lock import alone

if TYPE_CHECKING:
    from torch import Tensor

_numbers = itertools.count()  # of temporary files, since threads share a process number


@contextmanager
def claimed(folder: Path, remedy: str = "Choose another --out") -> Iterator[None]:
    """Make a folder that can be written into, before anything that takes long, and be alone in it; removed if nothing
    comes into it.

    Raises OSError that says why it cannot be and the `remedy`, ValueError where another process trains in it.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]  # innermost first
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        _remove_empty(made)
        raise OSError(f'"{folder}" cannot be written into: {error.strerror}. {remedy}') from None
    with alone(folder):  # if it is not, whoever is keeps what was made
        try:
            yield
        finally:
            _remove_empty(made)


def _remove_empty(folders: Sequence[Path]) -> None:
    """Remove folders, the innermost first; one that is not empty stays, and so do those around it."""
    with suppress(OSError):
        for path in folders:
            path.rmdir()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write to a temporary name beside `path`; on success it is made durable and takes the name, else it is removed.

    Raises OSError that names `path`, which is then as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{next(_numbers)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _make_durable(temporary)
        temporary.replace(path)
        _make_durable(path.parent)  # the name itself
    except OSError as error:
        if error.errno is None:  # a sentence already
            raise
        raise OSError(f'"{path}" cannot be written: {error.strerror}. What was there is as it was.') from None
    finally:
        with suppress(OSError):
            temporary.unlink()


def _make_durable(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def clear_leftovers(folder: Path) -> None:
    """Remove the temporary files of `replacing` that processes left which were killed while they wrote."""
    for path in folder.glob(".*"):
        found = re.fullmatch(r"\.[\w.-]+\.(?:json|jsonl|safetensors|npz|npy|md|png)\.(\d{1,9})(?:-\d+)?", path.name)
        if found and not _lives(int(found[1])):
            path.unlink(missing_ok=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another person's
        return True
    return True


def write_text(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def save_tensors(path: Path, tensors: dict[str, Tensor], about: dict[str, str] | None = None) -> None:
    """Write named tensors, and strings about them, into a .safetensors file. Raises OSError."""
    from safetensors.torch import save

    with replacing(path) as temporary:  # safetensors' own files are for their owner's eyes alone
        temporary.write_bytes(save(tensors, about))
