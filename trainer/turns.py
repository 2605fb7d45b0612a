"""One device runs one training, and others wait in a line that can be seen and reordered.

Everything is a file in the person's folder, `queue/DEVICE/`: the training that runs holds an operating-system lock on
`lock`, each that waits holds one on a ticket of its own, and the system releases a lock when its process ends in any
way. `order.json` lists names in the order that a person gave them; the others come after, by arrival.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from trainer.files import write_text
from trainer.places import home

LOOK_EVERY = 0.2  # seconds


def _folder(device: str) -> Path:
    device = "cuda:0" if device == "cuda" else device  # two names of one card
    return home() / "queue" / device.replace(":", "-")


def _locked(file: IO[str], shared: bool = False) -> bool:
    """Take the system's lock on a file if it is free; it is released when the file is closed."""
    import fcntl  # POSIX only

    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def waiting(device: str) -> list[str]:
    """The names of the trainings that wait for a device, the next one first."""
    return [_name(ticket) for ticket in _line(device)]


def _name(ticket: str) -> str:
    return ticket.rpartition(".")[0]  # a process has its number there


def _line(device: str) -> list[str]:
    """The tickets of those that wait, NAME.PID, the next one first."""
    folder = _folder(device)
    arrived: dict[str, float] = {}
    for ticket in folder.glob("*.ticket"):
        try:
            with ticket.open() as file:
                if not _locked(file, shared=True):  # so its owner lives
                    arrived[ticket.stem] = float(file.read())
        except (FileNotFoundError, ValueError):
            continue
    try:
        order = json.loads((folder / "order.json").read_bytes())
    except (FileNotFoundError, ValueError):
        order = []
    place = {name: index for index, name in enumerate(order) if isinstance(name, str)}
    return sorted(arrived, key=lambda ticket: (place.get(_name(ticket), len(place)), arrived[ticket]))


def reorder(device: str, names: Sequence[str]) -> None:
    """Let those that wait take their turns in this order."""
    write_text(_folder(device) / "order.json", json.dumps(list(names)))


@contextmanager
def turn(device: str, name: str) -> Iterator[None]:
    """Wait for the device, then hold it. What waits can be told to end, by a signal; the next one then moves up."""
    folder = _folder(device)
    folder.mkdir(parents=True, exist_ok=True)
    own = f"{name}.{os.getpid()}"
    ticket = folder / f"{own}.ticket"
    with (folder / "lock").open("a") as lock:
        with (folder / f".{own}").open("w") as file:
            _locked(file)
            file.write(repr(time.time()))
            file.flush()
            os.replace(file.name, ticket)  # it is never seen without its lock
            try:
                while _line(device)[:1] != [own] or not _locked(lock):
                    time.sleep(LOOK_EVERY)
            finally:
                ticket.unlink(missing_ok=True)
        yield
