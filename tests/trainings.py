"""Trainings that tests start as processes: waiting for them, and ending what a test left."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from explorer import jobs
from explorer.job import ALIVE, Job

QUICK = {"hidden": (16,), "size": 200, "batch": 32, "data": "digits"}
ENDLESS = {**QUICK, "steps": 10_000_000, "every": 50}


def working_for(home: Path) -> list[int]:
    """The numbers of the processes that were started with this folder as the person's, whoever started them."""
    found = [job.pid for job in jobs.jobs() if job.runs()]
    for path in Path("/proc").glob("[0-9]*/environ"):  # Linux
        with contextlib.suppress(OSError):
            if f"LATENT_EXPLORER_HOME={home}".encode() in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return sorted({*found} - {os.getpid()})


def measured(job: Job) -> int:
    """The last step that a job's history tells of; 0 where there is none yet."""
    return max((line["step"] for line in job.checkpoint.history()), default=0) if job.checkpoint else 0


def until(condition: Callable[[], Any], seconds: float = 300) -> Any:
    """Wait for a condition; what it gave."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)
    return found


def reaches(job: Job, *states: str) -> str:
    """Wait until a job is in one of the states; any other end is a failure."""

    def arrived() -> str:
        state = job.state()
        assert state in (*ALIVE, *states), f"{state}: {job.last_words()}"
        return state if state in states else ""

    return str(until(arrived))
