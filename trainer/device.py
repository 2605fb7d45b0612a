"""Where a step runs."""

from __future__ import annotations

import re

import torch


def choose(name: str = "auto") -> torch.device:
    """CUDA, then Apple's MPS, then the CPU, unless told. Raises ValueError for a device that is not here."""
    here = {"cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available()), "cpu": 1}
    if name == "auto":
        return torch.device(next(kind for kind, count in here.items() if count))
    asked = re.fullmatch(r"(cuda|mps|cpu)(?::(\d{1,3}))?", name)
    if not asked or int(asked[2] or 0) >= here[asked[1]]:
        found = [f"{kind}:{number}" for kind, count in here.items() if count > 1 for number in range(count)]
        found += [kind for kind, count in here.items() if count == 1]
        raise ValueError(f'device "{name}" is not on this machine; it has: {", ".join(found)}')
    return torch.device(name)
