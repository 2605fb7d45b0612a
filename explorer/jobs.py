"""Training processes: list, start, resume. Their one channel is the checkpoint folder.

A job is described by a file in the person's folder, beside the log of what the process says. It goes on when the page,
the session or the server ends, and whoever looks later finds it there. A training that a terminal started is a job
too, known by the lock that it holds on its folder, or by a folder that it left without weights.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trainer
from explorer import launching
from explorer.job import RUNNING, WAITING, Job, known_as, read
from trainer import Checkpoint


def jobs() -> list[Job]:
    """All jobs of the present folder of checkpoints, the newest first."""
    root = trainer.root().resolve()
    found = [job for job in _described() if job.path.parent == root]
    known = {job.folder for job in found}
    others = [
        path for path in root.glob("*/") if str(path) not in known and (trainer.is_trained(path) or is_broken(path))
    ]
    found += [Job(str(path), trainer.waits_for(path) or "") for path in others]
    return sorted(found, key=lambda job: -job.begun)


def under_way() -> dict[str, str]:
    """The name and the state of each that lives: what trains, then those that wait, in the order of their line, then
    all others.
    """
    lives = [(job, job.state()) for job in jobs() if job.is_alive()]
    lines = {device: trainer.waiting(device) for device in sorted({job.device for job, _ in lives})}
    ahead = [folder for line in lines.values() for folder in line]

    def place(found: tuple[Job, str]) -> tuple[int, int]:
        job, state = found
        if state == WAITING and job.folder in ahead:
            return 1, ahead.index(job.folder)
        return (0 if state == RUNNING else 2), 0

    return {job.name: state for job, state in sorted(lives, key=place)}


def _described() -> list[Job]:
    return [job for path in (trainer.home() / "jobs").glob("*.json") if (job := read(path))]


def is_broken(folder: Path) -> bool:
    """Whether a training began there that ended before it had weights."""
    return (folder / "config.json").is_file() and not (folder / "model.safetensors").is_file()


def find(name: str) -> Job | None:
    return next((job for job in jobs() if job.name == name), None)


# ---- start


def is_free(folder: Path) -> bool:
    """Whether nothing lies there but an empty folder, as one that waits has made it, or was killed while it wrote its
    first file.
    """
    try:
        inside = folder.iterdir() if os.path.lexists(folder) else ()
        return not folder.is_symlink() and all(path.name.startswith(".config.json.") for path in inside)
    except OSError:  # a file, or a folder that cannot be looked into
        return False


def check_name(name: str) -> None:
    """Raise ValueError unless a new checkpoint can have this name."""
    trainer.check_name(name)
    if not is_free(trainer.root() / name) or ((known := find(name)) and known.is_alive()):
        raise ValueError(f'there is a checkpoint called "{name}" already: choose another name')


def start(name: str, model: str, options: Mapping[str, Any], device: str = "auto") -> Job:
    """Train a new checkpoint. `options` are those that differ from their defaults.

    Raises ValueError where the name is taken or none, or for a device that is not here; OSError.
    """
    device = str(trainer.choose_device(device))
    with one_at_a_time():
        check_name(name)
        folder = trainer.root().resolve() / name
        words = ["train", model, f"--out={_short(folder)}", *trainer.command_words(options)]
        return launching.run(folder, device, words)


def can_start_again(job: Job) -> bool:
    """Whether it was to train a new checkpoint and ended before it had saved anything."""
    return job.command[1:4] == ("-m", "trainer", "train") and is_free(job.path) and not job.is_alive()


def start_again(job: Job) -> Job:
    """Start it once more, by the same command. Raises ValueError where another window did; OSError."""
    with one_at_a_time():
        check_name(job.name)
        return launching.again(job)


def resume(checkpoint: Checkpoint, more: int = 0, rate: float | None = None, device: str = "auto") -> Job:
    """Go on with a training that was stopped, died, or is finished and shall take `more` steps, at another learning
    rate if one is given.
    """
    device = str(trainer.choose_device(device))
    with one_at_a_time():
        check_idle(checkpoint.path.resolve(), f'"{checkpoint.name}" is being trained already')
        check_stages(checkpoint.path.resolve())
        if not trainer.can_go_on(checkpoint.path):
            raise ValueError(f'"{checkpoint.name}" has no state.safetensors: only a training that ran here can go on')
        asked = [*([f"--steps={more}"] if more else []), *([f"--rate={rate}"] if rate else [])]
        return launching.run(checkpoint.path.resolve(), device, ["resume", _short(checkpoint.path.resolve()), *asked])


def start_stage(checkpoint: Checkpoint, name: str, words: Sequence[str] = (), device: str = "auto") -> Job:
    """Train a second stage on top of a checkpoint, with these words of its command; one that was stopped goes on, and
    one of other weights of the checkpoint, which can be of no more use, is removed for it.

    Raises ValueError where it or the checkpoint is being trained already, or for a device that is not here; OSError.
    """
    device = str(trainer.choose_device(device))
    base = checkpoint.path.resolve()
    with one_at_a_time():
        if not trainer.is_measured(base):  # which leaves the weights as they are
            check_idle(base, f'"{checkpoint.name}" is being trained: wait for its end, or stop it first')
        check_idle(base / name, f'{name} of "{checkpoint.name}" is being trained already')
        if of_other_weights(checkpoint, name):
            remove(base / name)
        begun = has_begun(checkpoint, name)
        asked = ["resume", _short(base / name)] if begun else ["stage", name, _short(base), *words]
        return launching.run(base / name, device, asked)


def has_begun(checkpoint: Checkpoint, name: str) -> bool:
    """Whether a stage of these weights was trained, if only for a moment, so that it goes on with what it was told."""
    return (checkpoint.path / name / "config.json").is_file() and not of_other_weights(checkpoint, name)


def of_other_weights(checkpoint: Checkpoint, name: str) -> bool:
    """Whether a stage was trained on other weights of its checkpoint than those that are there now."""
    try:
        base = trainer.describe_running(checkpoint.path / name).config.base
    except (ValueError, OSError):  # none, or one that its command says a sentence of
        return False
    return bool(base) and base != trainer.describe(checkpoint.path).digest


def of_stage(checkpoint: Checkpoint, name: str) -> Job | None:
    """The job of a second stage on top of a checkpoint, also of one that a terminal started; None where there is
    none.
    """
    folder = checkpoint.path.resolve() / name
    return read(known_as(folder)) or (Job(str(folder)) if trainer.is_trained(folder) else None)


def check_idle(folder: Path, sentence: str) -> None:
    """Raise ValueError with this sentence while something trains in a folder, or is about to."""
    known = read(known_as(folder))
    if trainer.is_trained(folder) or (known and known.is_alive()):
        raise ValueError(sentence)


def check_stages(folder: Path) -> None:
    """Raise ValueError while something trains in a checkpoint's folder, on top of it."""
    for stage in {*folder.glob("*/"), *(job.path for job in jobs_within(folder))}:
        check_idle(stage, f'{stage.name} of "{folder.name}" is being trained: stop it first')


def jobs_within(folder: Path) -> list[Job]:
    """The jobs of stages in a checkpoint's folder."""
    return [job for job in _described() if folder in job.path.parents]


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Two windows that start the same: the second one sees what the first one started."""
    import fcntl  # POSIX only

    folder = trainer.home() / "jobs"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _short(folder: Path) -> str:
    """The folder as a command in the folder above that of the checkpoints names it."""
    return str(folder.relative_to(trainer.root().resolve().parent))


def remove(folder: Path) -> None:
    """Remove a folder in which nothing trains. Raises ValueError where something does; OSError."""
    with trainer.alone(folder):
        shutil.rmtree(folder)
