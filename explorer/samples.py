"""Sheets of samples at every temperature, from one seed: the same noise, only scaled. No screen."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

import trainer
from explorer import pictures
from explorer.live import LIMIT
from explorer.opened import Run

COUNTS = (16, 36, 64, 100)  # images on a square sheet
TEMPERATURES = np.linspace(0, 2, 21).round(1)


def counts(frame_bytes: int) -> list[int]:
    """The numbers of images whose sheet takes at most half a message; at least the smallest."""
    return [count for count in COUNTS if count * frame_bytes <= LIMIT // 2] or [COUNTS[0]]


@dataclass
class Samples:
    """`count` samples of one model from one seed: the means of p(x|z), or, `drawn`, draws from it."""

    run: Run
    seed: int
    count: int
    drawn: bool = False
    label: int | None = None  # the class that all are of
    _frames: list[np.ndarray] = field(default_factory=list)  # sheets, at as many temperatures as are done

    @property
    def side(self) -> int:
        """Images in a row."""
        return math.isqrt(self.count)

    def latent(self, temperature: float, index: int) -> dict[str, list[float]]:
        """One sample's latent in plain numbers."""
        return self.run.plain(self._latents(temperature), index)

    def images(self, temperature: float) -> np.ndarray:
        """(count, h, w, c) uint8."""
        import torch

        z = self._latents(temperature)
        model = self.run.model
        if not (self.drawn and isinstance(model, trainer.Density)):
            return self.run.decode(z)
        with torch.inference_mode():
            return trainer.to_bytes(model.draw(z, torch.Generator().manual_seed(self.seed + 1)))

    def sheet(self, images: np.ndarray) -> np.ndarray:
        """(side · h, side · w, c) uint8: all images at full size, unless even that is more than half a message."""
        return self._laid(images, trainer.divisor(images.shape[1:], self.count, LIMIT // 2) or 1)

    @property
    def frames(self) -> np.ndarray | None:
        """(21, …) the sheets at all temperatures, None until `decode_next` made the last."""
        return np.stack(self._frames) if len(self._frames) == len(TEMPERATURES) else None

    def decode_next(self) -> int:
        """Make one more of the frames, smaller than the sheet where they must be; how many there are then."""
        images = self.images(float(TEMPERATURES[len(self._frames)]))
        by = trainer.divisor(images.shape[1:], self.count * len(TEMPERATURES), LIMIT // 2) or max(images.shape[1:3])
        self._frames.append(self._laid(images, by))
        return len(self._frames)

    def _latents(self, temperature: float) -> trainer.Latent:
        return self.run.sample(self.seed, self.count, temperature, self.label)

    def _laid(self, images: np.ndarray, by: int) -> np.ndarray:
        images = trainer.reduced(images, by)
        return pictures.laid(images, self.side)
