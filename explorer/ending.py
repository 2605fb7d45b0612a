"""The ends of training processes: stop, cancel, delete; and another order of the line in which they wait."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

import trainer
from explorer import jobs
from explorer.job import RUNNING, STARTING, WAITING, Job

LEAVES = 10.0  # seconds that a process which waits is given to end


def stop(job: Job) -> None:
    """Ask it to save and end: by its control file once it runs, or by a signal where that cannot be written. Before it
    runs there is nothing to save. Raises OSError where it can be told in no way.
    """
    now = job.state()
    if now == RUNNING:
        try:
            trainer.send_order(job.path, {"stop": True})
        except OSError:  # a full disk, or the folder was removed
            if not job.runs():
                raise
            _signal(job)
    elif now in (WAITING, STARTING):
        cancel(job)


def _signal(job: Job) -> None:
    if job.runs():
        with suppress(ProcessLookupError):  # it ended by itself meanwhile
            os.kill(job.pid, signal.SIGTERM)


def cancel(job: Job) -> None:
    """End a job that waits or starts; what is in its folder stays. One that does not end at once stays known, and so
    does one that can go on but has no weights.
    """
    _signal(job)
    until = time.monotonic() + LEAVES
    while job.runs() and time.monotonic() < until:
        time.sleep(0.05)
    if not job.is_alive() and not jobs.is_broken(job.path):
        job.forget()


def delete(name: str) -> None:
    """Remove a checkpoint's folder and what is known of its jobs. Raises ValueError while it or a stage in it is being
    trained, or for a name that is none.
    """
    trainer.check_name(name)
    folder = trainer.root().resolve() / name
    with jobs.one_at_a_time():
        jobs.check_idle(folder, f'"{name}" is being trained: stop it first')
        jobs.check_stages(folder)
        if (folder / "config.json").is_file() or (folder.is_dir() and jobs.is_free(folder)):
            jobs.remove(folder)
        for job in (Job(str(folder)), *jobs.jobs_within(folder)):
            job.forget()


def move_up(job: Job) -> None:
    """Let a job that waits take its turn one place earlier."""
    line = trainer.waiting(job.device)
    if job.folder in line[1:]:
        place = line.index(job.folder)
        line[place - 1 : place + 1] = [line[place], line[place - 1]]
        trainer.reorder(job.device, line)
