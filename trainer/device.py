"""Where a step runs."""

from __future__ import annotations

import torch


def choose(name: str = "auto") -> torch.device:
    """CUDA, then Apple's MPS, then the CPU, unless told. Raises ValueError for a device that is not here."""
    here = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, is_here in here.items() if is_here))
    if not here.get(name.split(":")[0], False):
        found = ", ".join(kind for kind, is_here in here.items() if is_here)
        raise ValueError(f'device "{name}" is not on this machine; it has: {found}')
    return torch.device(name)
