"""Where a training runs: the device, and what its process needs for it. torch is not loaded until one is chosen."""

from __future__ import annotations

import ctypes
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

MALLOC = {-4: 0, -1: 2**31 - 1, -2: 256 * 2**20}  # glibc's M_MMAP_MAX, M_TRIM_THRESHOLD, M_TOP_PAD in bytes


def prepare() -> None:
    """Settings of the whole process that are made before torch is loaded; what is not here is left alone.

    Memory is kept instead of given back to the system after each step, which would be fetched page by page in the next.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # no glibc
        return
    for setting, value in MALLOC.items():
        mallopt(setting, value)


def choose(name: str = "auto") -> torch.device:
    """CUDA, then Apple's MPS, then the CPU, unless told. Raises ValueError for a device that is not here."""
    import torch

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


def for_training(name: str, threads: int | None = None) -> torch.device:
    """What `choose` chooses, with that many threads on the CPU: one per core that this process may use, or what
    OMP_NUM_THREADS says, where they are not given. Raises ValueError for less than one, and as `choose` does.

    On the CPU numbers below 1e-38 become 0 from here on: Adam's moments of weights that get no gradient any more fall
    there, and an MLP's steps on MNIST took a third longer for them.
    """
    import torch

    if threads is not None and threads < 1:
        raise ValueError(f"threads came as {threads}, expected 1 or more")
    if threads:
        torch.set_num_threads(threads)
    torch.set_flush_denormal(True)  # here and in threads that start later, as those of torch do in the first large step
    return choose(name)
