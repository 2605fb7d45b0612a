"""Small models whose steps are looked at."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from trainer import models
from trainer.latent import LatentModel
from trainer.train import TrainOptions

OPTIONS = TrainOptions(steps=8, batch=16, rate=0.01)


def fresh(name: str = "vae", shape: tuple[int, int, int] = (1, 8, 8), **options: Any) -> LatentModel:
    """A small model; it is drawn, and the noise begins, from the same seed each time."""
    torch.manual_seed(0)
    kind = models.get(name)
    small = {"hidden": (8,), "latents": 2, "channels": 4, "codes": 8, "dims": 2, "restart": 1, "classes": 10}
    fields = kind.Options.model_fields
    taken = {field: value for field, value in small.items() if field in fields}
    if "latents" in fields and isinstance(fields["latents"].default, tuple):
        taken["latents"] = (2, 2)
    model = kind(shape, kind.Options.read({**taken, **options}))
    torch.manual_seed(1)
    return model


class Spy(TorchDispatchMode):
    """Notes what a recording could not do: read a value, or bring a number from the host."""

    FORBIDDEN = ("_local_scalar_dense", "is_nonzero", "nonzero", "masked_select", "lift_fresh", "scalar_tensor")

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(function).split(".")[1]
        self.found += [name] if name in self.FORBIDDEN else []
        return function(*args, **(kwargs or {}))
