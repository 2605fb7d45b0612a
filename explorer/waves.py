"""Waveforms: images (1, n, 1) from 0 to 1 with silence at ½, to be drawn and played. No screen."""

from __future__ import annotations

import numpy as np

from explorer.run import Run

TALL = 32  # px of a drawn waveform
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
    """(1, n, c) uint8 -> (32, n, 1) uint8, a bright line on black where the first channel is."""
    values = tile[0, :, 0].astype(int)
    rows = ((255 - values) * (TALL - 1) / 255).round().astype(int)
    low, high = np.minimum(rows, np.append(rows[:1], rows[:-1])), np.maximum(rows, np.append(rows[:1], rows[:-1]))
    place = np.arange(TALL)[:, None]
    return np.where((place >= low) & (place <= high), 255, 0).astype(np.uint8)[..., None]
