"""One training process, as it is described in the person's folder, and what it is doing."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

import trainer
from explorer import processes
from trainer import Checkpoint

TAIL = 4000  # bytes of a log, or a history, that are looked at
WAITING, STARTING, RUNNING, ENDING = "waiting", "starting", "running", "measuring"
FINISHED, STOPPED, DIED = "finished", "stopped", "died"
ALIVE = (WAITING, STARTING, RUNNING, ENDING)


def known_as(folder: Path, kind: str = "json") -> Path:
    """Where a job is described, or with "log" what its process says. Two folders of checkpoints may share a name."""
    root = hashlib.sha256(str(folder.parent).encode()).hexdigest()[:8]
    return trainer.home() / "jobs" / f"{folder.name}.{root}.{kind}"


@dataclass(frozen=True)
class Job:
    """One process and its checkpoint folder."""

    folder: str  # from the root on
    device: str = ""  # whose line it waits in
    command: tuple[str, ...] = ()
    pid: int = 0  # 0: it was not started from a page, or is about to be
    started: str = ""  # when the process did, in the system's own words: a number that is used again has another
    begun: float = 0.0  # seconds since the epoch

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def path(self) -> Path:
        return Path(self.folder)

    @property
    def checkpoint(self) -> Checkpoint | None:
        """What it has saved so far."""
        try:
            return trainer.describe_running(self.path)
        except (ValueError, OSError):
            return None

    def write(self) -> None:
        trainer.write_text(known_as(self.path), json.dumps(asdict(self), indent=2) + "\n")

    def forget(self) -> None:
        """Drop its description and its log; its checkpoint stays."""
        for kind in ("json", "log"):
            known_as(self.path, kind).unlink(missing_ok=True)

    def runs(self) -> bool:
        """Whether the process that was started for it still runs; a child of ours that has ended is reaped."""
        if not self.pid:
            return False
        processes.reap(self.pid)
        return processes.started(self.pid) == self.started

    def is_alive(self) -> bool:
        """Whether it runs, or another process trains in its folder, as one that a terminal started."""
        return self.runs() or trainer.is_trained(self.path)

    def state(self) -> str:
        """One of the words above."""
        alive = self.is_alive()  # before what it writes last is read
        saved, there = self.checkpoint, modified(self.path / "config.json")
        if alive:
            if self.folder in trainer.waiting(self.device):
                return WAITING
            if saved is None or (self.runs() and there < self.begun):  # what is there is of an earlier process
                return STARTING
            return ENDING if _is_measured(saved) or trainer.is_measured(self.path) else RUNNING
        files = [self.path / name for name in ("model.safetensors", "state.safetensors")]
        weights, latest = (modified(file) if file.is_file() else 0.0 for file in files)
        if saved is None or not weights or weights < latest or (weights < self.begun and not self._left_all()):
            return DIED  # whole files are written last, and the weights of a checkpoint are among them
        return FINISHED if saved.config.steps_done >= saved.config.training["steps"] or not latest else STOPPED

    def _left_all(self) -> bool:
        """Whether its process, which wrote no weights, says that it was ended early, or that it had nothing to do."""
        said = self.last_words(1)
        return said.startswith("interrupted") or "nothing was written" in said

    def last_words(self, lines: int = 6) -> str:
        """The end of its log."""
        said = _tail(known_as(self.path, "log")).splitlines()
        return "\n".join([line for line in said if line.strip()][-lines:])


_JOB = TypeAdapter(Job)


def read(path: Path) -> Job | None:
    """The job of a description; None where there is none to be read, or it is of another place."""
    try:
        job = _JOB.validate_json(path.read_bytes())
    except (ValueError, OSError):
        return None
    return job if known_as(job.path) == path else None


def modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _is_measured(checkpoint: Checkpoint) -> bool:
    """Whether its steps are taken, or were stopped, and what came of them is being measured: its history's last line,
    which is found without reading all of a long one.
    """
    return '"measuring"' in _tail(checkpoint.path / "history.jsonl").rstrip().rpartition("\n")[2]


def _tail(path: Path) -> str:
    """The end of a file of text; nothing where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""


def options_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """A checkpoint's options, of its model and of its training, and its data: what a form is filled with."""
    config = checkpoint.config
    return {
        **config.options,
        **config.training,
        "data": config.data.name,
        "size": config.data.size,
        "side": config.data.side,
        "labels": config.data.labels,
        "half": config.half,
    }
