"""Noise that a draw is made from."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def normal(shape: Sequence[int], like: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Standard normal noise of a shape, with the type and the device of `like`.

    It is drawn where the generator is, so that a seed says the same on every device; without one where it is read,
    since a step that brings noise from the host cannot be recorded.
    """
    device = like.device if generator is None else generator.device
    return torch.randn(tuple(shape), generator=generator, device=device).to(like)
