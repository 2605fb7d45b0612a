"""A checkpoint of images so large that one message cannot hold all frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from trainer import checkpoint
from trainer.config import Config, Data, now, versions
from trainer.summary import Summary, save_summary

DIMS, ACTIVE = 12, 10


def save_large(folder: Path) -> None:
    """A 128×128 colour model with random weights, of which ten dimensions count as active."""
    torch.manual_seed(0)
    options = {"latents": DIMS, "net": "mlp", "hidden": (8,), "likelihood": "gaussian"}
    config = Config(
        model="vae", options=options, shape=(3, 128, 128), data=Data(name="digits"), training={}, command="",
        trained=now(), parameters=0, steps_done=0, versions=versions(),
    )  # fmt: skip
    model = checkpoint.build(config)
    with torch.no_grad():
        for weights in model.parameters():
            weights.mul_(2)
    checkpoint.save(folder, model, config, [])
    arrays = {
        "effect/z": np.arange(DIMS, 0, -1, dtype=np.float32),
        "variance/z": (np.arange(DIMS) < ACTIVE).astype(np.float32),
        "points": np.zeros((1, DIMS), np.float16),
        "percentiles/z": np.repeat(np.array([[-2], [-1], [0], [1], [2]], np.float32), DIMS, axis=1),
    }
    save_summary(folder, Summary(arrays))
