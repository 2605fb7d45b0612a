"""Where a training runs: the device, and what its process needs for it. torch is not loaded until one is chosen."""

from __future__ import annotations

import ctypes
import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

MALLOC = {-4: 0, -1: 2**31 - 1, -2: 256 * 2**20}  # glibc's M_MMAP_MAX, M_TRIM_THRESHOLD, M_TOP_PAD in bytes


def prepare() -> None:
    """Settings of the whole process that must be made before torch is loaded; what is not here is left alone.

    Memory is kept instead of given back to the system after each step, which would be fetched page by page in the
    next; and threads that have nothing to do sleep, so that a training and an open page share the cores.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # no glibc
        return
    for setting, value in MALLOC.items():
        mallopt(setting, value)


def choose(name: str = "auto", threads: int | None = None) -> torch.device:
    """CUDA, then Apple's MPS, then the CPU, unless told; with that many threads on the CPU.

    Without `threads` they are one per core that this process may use, or what OMP_NUM_THREADS says. Raises ValueError
    for a device that is not here, or less than one thread.
    """
    import torch

    if threads is not None and threads < 1:
        raise ValueError(f"threads came as {threads}, expected 1 or more")
    if threads:
        torch.set_num_threads(threads)
    torch.backends.cudnn.allow_tf32 = False  # its default; only a training step may round so: see graph.tf32
    here = {"cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available()), "cpu": 1}
    if name == "auto":
        return torch.device(next(kind for kind, count in here.items() if count))
    asked = re.fullmatch(r"(cuda|mps|cpu)(?::(\d{1,3}))?", name)
    if not asked or int(asked[2] or 0) >= here[asked[1]]:
        found = [f"{kind}:{number}" for kind, count in here.items() if count > 1 for number in range(count)]
        found += [kind for kind, count in here.items() if count == 1]
        raise ValueError(f'device "{name}" is not on this machine; it has: {", ".join(found)}')
    return torch.device(name)
