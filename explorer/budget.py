"""How many pictures, and how large, fit into a number of bytes."""

from __future__ import annotations

import numpy as np
from PIL import Image


def stops_within(budget: int, frame_bytes: int) -> int:
    """How many stops an axis gets: 41 or 21 where the frames at all of them fit into `budget` bytes, else 11."""
    return next((count for count in (41, 21) if count * frame_bytes <= budget), 11)


def divisor(shape: tuple[int, ...], count: int, budget: int) -> int | None:
    """The smallest whole number that the sides of `count` pictures (h, w, c) must be divided by to fit into `budget`
    bytes; None where not even one pixel of each would fit.
    """
    h, w, c = shape
    return next((by for by in range(1, max(h, w) + 1) if count * -(-h // by) * -(-w // by) * c <= budget), None)


def reduced(images: np.ndarray, by: int) -> np.ndarray:
    """(k, h, w, c) uint8 with sides divided by `by` and rounded up; a pixel is the mean of those it stands for."""
    if by == 1:
        return images
    grey = images.shape[3] == 1
    smaller = [np.asarray(Image.fromarray(image[..., 0] if grey else image).reduce(by)) for image in images]
    return np.stack([image[..., None] if grey else image for image in smaller])
