"""One device runs one training, and others wait in a line that can be seen and reordered.

Everything is a file in the person's folder, `queue/DEVICE/`: the training that runs holds an operating-system lock on
`lock`, each that waits holds one on a ticket of its own, and the system releases a lock when its process ends in any
way. A ticket says when its training came and its folder, by which it is known. `order.json` lists tickets in the order
that a person gave them; the others come after, by arrival. No ticket's name comes again, so that a wish ends with it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from trainer.files import write_text
from trainer.lock import locked
from trainer.places import home

LOOK_EVERY = 0.2  # seconds


def _folder(device: str) -> Path:
    device = "cuda:0" if device == "cuda" else device  # two names of one card
    return home() / "queue" / device.replace(":", "-")


def waiting(device: str) -> list[str]:
    """The folders, from the root on, of the trainings that wait for a device, the next one first."""
    return [folder for folder, _ in _line(device)]


def waits_for(folder: Path) -> str | None:
    """The device that the training in a folder waits for, None if it waits for none."""
    lines = (path.name.replace("-", ":") for path in (home() / "queue").glob("*/"))
    return next((device for device in lines if str(folder.resolve()) in waiting(device)), None)


def _line(device: str) -> list[tuple[str, str]]:
    """The folder and the ticket's name of those that wait, the next one first."""
    place = _folder(device)
    arrived: dict[tuple[str, str], float] = {}
    for ticket in place.glob("*.ticket"):
        try:
            with ticket.open() as file:
                if not locked(file, shared=True):  # so its owner lives
                    when, _, folder = file.read().partition("\n")
                    arrived[folder, ticket.name] = float(when)
        except (FileNotFoundError, ValueError):
            continue
    try:
        order = json.loads((place / "order.json").read_bytes())
    except (FileNotFoundError, ValueError):
        order = []
    wished = {name: index for index, name in enumerate(order) if isinstance(name, str)}
    return sorted(arrived, key=lambda found: (wished.get(found[1], len(wished)), arrived[found]))


def reorder(device: str, folders: Sequence[str]) -> None:
    """Let those that wait take their turns in this order."""
    tickets = dict(_line(device))
    write_text(_folder(device) / "order.json", json.dumps([tickets[name] for name in folders if name in tickets]))


@contextmanager
def turn(device: str, folder: Path) -> Iterator[None]:
    """Wait for the device, then hold it for the training in a folder. What waits can be told to end, by a signal; the
    next one then moves up.
    """
    line = _folder(device)
    line.mkdir(parents=True, exist_ok=True)
    own = f"{folder.resolve().name}.{os.getpid()}.{time.time_ns()}"
    ticket = line / f"{own}.ticket"
    with (line / "lock").open("a") as lock:
        with (line / f".{own}").open("w") as file:
            locked(file)
            file.write(f"{time.time()!r}\n{folder.resolve()}")
            file.flush()
            os.replace(file.name, ticket)  # it is never seen without its lock
            try:
                while [name for _, name in _line(device)][:1] != [ticket.name] or not locked(lock):
                    time.sleep(LOOK_EVERY)
            finally:
                ticket.unlink(missing_ok=True)
        yield


@contextmanager
def of_all(devices: Sequence[str], folder: Path) -> Iterator[None]:
    """`turn` of one device after another, for a training that takes them all. Whoever takes several takes them in the
    order of their numbers, so that no two wait for what the other one holds.
    """
    with ExitStack() as held:
        for device in devices:
            held.enter_context(turn(device, folder))
        yield
