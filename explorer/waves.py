"""Waveforms: images (1, n, 1) from 0 to 1 with silence at ½, to be drawn and played. No screen."""

from __future__ import annotations

import numpy as np

import trainer
from explorer.opened import Run

ORDINARY = 8_000  # samples a second, where the data do not say


def of(run: Run, latent: dict[str, list[float]]) -> np.ndarray:
    """(n,) the decode of a latent."""
    import torch

    with torch.inference_mode():
        return np.asarray(run.model.decode(run.tensors(latent))[0, 0, 0].numpy())


def rate_of(run: Run) -> int:
    """Samples per second."""
    return (run.images.rate if run.images_are_here else None) or ORDINARY


def played(wave: np.ndarray) -> np.ndarray:
    """(n,) from 0 to 1 -> 16-bit samples around 0."""
    return np.rint((2 * wave.clip(0, 1) - 1) * 32_767).astype(np.int16)


def drawn(tile: np.ndarray) -> np.ndarray:
    """(h, w, c) uint8 as it can be looked at: itself, but a waveform (1, n, c) as a line."""
    return tile if tile.shape[0] > 1 else trainer.drawn(tile.mean(2) / 255)[0]
