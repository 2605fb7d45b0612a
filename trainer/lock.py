"""Who trains in a checkpoint folder is alone in it: an operating-system lock, which ends when its process does.

The lock is on the folder itself, so that nothing lies in there, and a folder that can only be read can be locked too.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

PATIENCE = 1.0  # seconds; a look at a lock holds it for an instant
LOOK_EVERY = 0.02  # seconds


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the folder, which must be there. Raises ValueError where another process trains in it."""
    until = time.monotonic() + PATIENCE
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        while not _held(descriptor):
            if time.monotonic() > until:
                raise ValueError(f'"{folder}" is being trained by another process: wait for its end, or stop it there')
            time.sleep(LOOK_EVERY)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def measuring(folder: Path) -> Iterator[None]:
    """Hold the folder of a checkpoint, and its weights too, so that it is seen that it is only measured."""
    with alone(folder), alone(folder / "model.safetensors"):
        yield


def is_measured(folder: Path) -> bool:
    """Whether a process measures a folder's checkpoint now, without training it."""
    return is_trained(folder / "model.safetensors")


def is_trained(folder: Path) -> bool:
    """Whether a process, started from wherever, trains in a folder now or waits to, or measures it."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # it is not there, or nobody's business
        return False
    try:
        return not _held(descriptor, shared=True)
    finally:
        os.close(descriptor)


def _held(folder: int, shared: bool = False) -> bool:
    try:
        return locked(folder, shared)
    except OSError:  # some network file systems lock no folders; there it is as if each were free
        return True


def locked(file: IO[str] | int, shared: bool = False) -> bool:
    """Take the system's lock on what is open, if it is free; it is released when that is closed."""
    import fcntl  # POSIX only

    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
