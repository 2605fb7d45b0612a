"""What the operating system knows of a process, and of the GPUs."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from pathlib import Path


def reap(pid: int) -> None:
    """Let a child of ours that has ended go; of any other process this does nothing."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def started(pid: int) -> str | None:
    """When a process started; None where there is none, or where it has ended and only waits to be reaped."""
    try:  # Linux; the name in brackets may hold anything
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] in "ZX" else fields[19]
    except (FileNotFoundError, ProcessLookupError):
        if Path("/proc/self/stat").exists():
            return None
    said = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state, _, begun = said.stdout.strip().partition(" ")
    return None if not state or state.startswith("Z") else begun.strip()


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def accelerators() -> list[str]:
    """One line per GPU, with its use and memory, where nvidia-smi is there to tell."""
    if not shutil.which("nvidia-smi"):
        return []
    fields = "name,utilization.gpu,memory.used,memory.total"
    command = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout
    except (subprocess.SubprocessError, OSError):
        return []
    rows = [[value.strip() for value in line.split(",")] for line in said.splitlines() if line.count(",") == 3]
    return [f"{name}: {use} % busy, {used} of {total} MiB" for name, use, used, total in rows]
