"""How the process of a training begins: its command, its threads and what is around it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import trainer
from explorer import processes
from explorer.job import Job, known_as

PACKAGE = Path(__file__).parent.parent
SPINS = "3000"  # turns, 0.1 ms, that a thread of GNU's OpenMP waits awake before it leaves its core to others


def run(folder: Path, device: str, words: Sequence[str]) -> Job:
    """The trainer, with these words of its command, as a job that waits for its device. Raises OSError."""
    count = threads(device)
    told = [f"--threads={count}"] if count else []
    command = (sys.executable, "-m", "trainer", *words, f"--device={device}", *told, "--queue")
    return _launch(Job(str(folder), device, command, begun=time.time()))


def again(job: Job) -> Job:
    """A job whose process is gone, with the same words. Raises OSError."""
    command = (sys.executable, *job.command[1:])
    return _launch(replace(job, command=command, pid=0, started="", begun=time.time()))


def _launch(job: Job) -> Job:
    """The job with the process that runs its command. Raises OSError, and then nothing runs."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    if "OMP_WAIT_POLICY" not in environment:  # a person's word, which the next would overrule
        environment.setdefault("GOMP_SPINCOUNT", SPINS)
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(PACKAGE), os.environ.get("PYTHONPATH")]))
    job.write()  # what cannot be described is not started
    try:
        with known_as(job.path, "log").open("wb") as out:
            process = subprocess.Popen(
                job.command, cwd=trainer.root().resolve().parent, env=environment, stdin=subprocess.DEVNULL, stdout=out,
                stderr=out, start_new_session=True,
            )  # fmt: skip
    except OSError:
        job.forget()
        raise
    job = replace(job, pid=process.pid, started=processes.started(process.pid) or "")
    try:
        job.write()
    except OSError:
        process.kill()  # before it has done anything
        process.wait()
        job.forget()
        raise
    process.returncode = 0  # it is reaped by `Job.runs`, and may outlive us: Popen need not warn
    return job


def threads(device: str) -> int | None:
    """How many threads a job is told to have; None where it is not told.

    On the CPU one core is left to this page: a training whose threads wait for each other, and one of them for the
    page, lost more than half of its pace on two cores, and the page waited too. OMP_NUM_THREADS overrules this.
    """
    if device != "cpu" or "OMP_NUM_THREADS" in os.environ:
        return None
    return max(1, processes.cores() - 1)
