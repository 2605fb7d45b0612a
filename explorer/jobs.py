"""Training processes: start, list, stop, resume, delete. Their one channel is the checkpoint folder.

A job is described by `jobs/NAME.json` in the person's folder, beside the log of what the process says. It goes on when
the page, the session or the server ends, and whoever looks later finds it there.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

import trainer
from explorer import processes
from trainer import Checkpoint

PACKAGE = Path(__file__).parent.parent
TAIL = 4000  # bytes of a log that are looked at
WAITING, STARTING, RUNNING, ENDING = "waiting", "starting", "running", "measuring"
FINISHED, STOPPED, DIED = "finished", "stopped", "died"
ALIVE = (WAITING, STARTING, RUNNING, ENDING)


@dataclass(frozen=True)
class Job:
    """One process and its checkpoint folder."""

    folder: str
    device: str  # whose line it waits in
    command: list[str]
    pid: int
    started: str  # when the process did, in the system's own words: a number that is used again has another
    begun: float  # seconds since the epoch

    @property
    def name(self) -> str:
        return Path(self.folder).name

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


_JOB = TypeAdapter(Job)


def _file(name: str, kind: str = "json") -> Path:
    return trainer.home() / "jobs" / f"{name}.{kind}"


def jobs() -> list[Job]:
    """All jobs of the present folder of checkpoints, the newest first."""
    found = []
    for path in (trainer.home() / "jobs").glob("*.json"):
        try:
            job = _JOB.validate_json(path.read_bytes())
        except (ValueError, OSError):
            continue
        if job.path.parent == trainer.root().resolve() and job.name == path.stem:
            found.append(job)
    return sorted(found, key=lambda job: -job.begun)


def find(name: str) -> Job | None:
    return next((job for job in jobs() if job.name == name), None)


# ---- start


def check_name(name: str) -> None:
    """Raise ValueError unless a new checkpoint can have this name."""
    trainer.check_name(name)
    if (trainer.root() / name).exists() or ((known := find(name)) and is_alive(known)):
        raise ValueError(f'there is a checkpoint called "{name}" already: choose another name')


def start(name: str, model: str, options: Mapping[str, Any], device: str = "auto") -> Job:
    """Train a new checkpoint. `options` are those that differ from their defaults.

    Raises ValueError where the name is taken or none, or for a device that is not here.
    """
    check_name(name)
    folder = trainer.root().resolve() / name
    return _run(folder, device, ["train", model, f"--out={_short(folder)}", *trainer.command_words(options)])


def resume(checkpoint: Checkpoint, more: int = 0, rate: float | None = None, device: str = "auto") -> Job:
    """Go on with a training that was stopped, died, or is finished and shall take `more` steps, at another learning
    rate if one is given.
    """
    known = find(checkpoint.name)
    if known and is_alive(known):
        raise ValueError(f'"{checkpoint.name}" is being trained already')
    state, weights = (checkpoint.path / f"{name}.safetensors" for name in ("state", "model"))
    if weights.is_file() and not state.is_file():  # with neither, nothing was saved yet and it begins
        raise ValueError(f'"{checkpoint.name}" has no state.safetensors: only a training that ran here can go on')
    asked = [*([f"--steps={more}"] if more else []), *([f"--rate={rate}"] if rate else [])]
    return _run(checkpoint.path.resolve(), device, ["resume", _short(checkpoint.path.resolve()), *asked])


def _short(folder: Path) -> str:
    """The folder as a command in the folder above that of the checkpoints names it."""
    return str(folder.relative_to(trainer.root().resolve().parent))


def _run(folder: Path, device: str, words: Sequence[str]) -> Job:
    device = str(trainer.choose_device(device))
    command = [sys.executable, "-m", "trainer", *words, f"--device={device}", "--queue"]
    log = _file(folder.name, "log")
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive", "PYTHONUNBUFFERED": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(PACKAGE), os.environ.get("PYTHONPATH")]))
    begun = time.time()
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, cwd=trainer.root().resolve().parent, env=environment, stdin=subprocess.DEVNULL, stdout=out,
            stderr=out, start_new_session=True,
        )  # fmt: skip
    process.returncode = 0  # it is reaped by `is_alive`, and may outlive us: Popen need not warn
    job = Job(str(folder), device, command, process.pid, processes.started(process.pid) or "", begun)
    trainer.write_text(_file(job.name), json.dumps(asdict(job), indent=2) + "\n")
    return job


# ---- what a job is doing


def is_alive(job: Job) -> bool:
    """Whether its process still runs; a child of ours that has ended is reaped."""
    processes.reap(job.pid)
    return processes.started(job.pid) == job.started


def state(job: Job) -> str:
    """One of the words above."""
    saved = job.checkpoint
    if is_alive(job):
        if job.name in trainer.waiting(job.device):
            return WAITING
        if saved is None:
            return STARTING
        return ENDING if last_step(saved) >= saved.config.training["steps"] else RUNNING
    weights, latest = (_modified(job.path / name) for name in ("model.safetensors", "state.safetensors"))
    if saved is None or weights < max(job.begun, latest):
        return DIED  # whole files are written last
    return FINISHED if saved.config.steps_done >= saved.config.training["steps"] or not latest else STOPPED


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def last_step(checkpoint: Checkpoint) -> int:
    """How far its history goes."""
    try:
        return max((line["step"] for line in checkpoint.history()), default=0)
    except ValueError:
        return checkpoint.config.steps_done


def last_words(job: Job, lines: int = 6) -> str:
    """The end of its log."""
    try:
        with _file(job.name, "log").open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
            said = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join([line for line in said.splitlines() if line.strip()][-lines:])


# ---- end, delete, order


def stop(job: Job) -> None:
    """Ask it to save and end: by its control file once it runs, before that by a signal."""
    now = state(job)
    if now == RUNNING:
        trainer.send_order(job.path, {"stop": True})
    elif now in (WAITING, STARTING):
        _signal(job)


def _signal(job: Job) -> None:
    if is_alive(job):
        os.kill(job.pid, signal.SIGTERM)


def cancel(job: Job) -> None:
    """Take a job that waits out of the line; what is in its folder stays. One that does not end at once stays known."""
    _signal(job)
    until = time.monotonic() + 2
    while is_alive(job) and time.monotonic() < until:
        time.sleep(0.05)
    if not is_alive(job):
        forget(job)


def forget(job: Job) -> None:
    """Drop the description and the log of a job; its checkpoint stays."""
    for kind in ("json", "log"):
        _file(job.name, kind).unlink(missing_ok=True)


def delete(name: str) -> None:
    """Remove a checkpoint's folder and what is known of its job. Raises ValueError while it is being trained,
    or for a name that is none."""
    trainer.check_name(name)
    job = find(name)
    if job and is_alive(job):
        raise ValueError(f'"{name}" is being trained: stop it first')
    folder = trainer.root() / name
    if (folder / "config.json").is_file():
        shutil.rmtree(folder)
    if job:
        forget(job)


def move_up(job: Job) -> None:
    """Let a job that waits take its turn one place earlier."""
    line = trainer.waiting(job.device)
    if job.name in line[1:]:
        place = line.index(job.name)
        line[place - 1 : place + 1] = [line[place], line[place - 1]]
        trainer.reorder(job.device, line)


def options_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """A checkpoint's options, of its model and of its training, and its data: what a form is filled with."""
    config = checkpoint.config
    return {
        **config.options,
        **config.training,
        "data": config.data.name,
        "size": config.data.size,
        "side": config.data.side,
    }
