"""Many images as one picture, and images made small enough to be kept or sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from torch import Tensor

DRAWN = (48, 96)  # px, height and width of a waveform's picture


def to_bytes(images: Tensor) -> np.ndarray:
    """(…, c, h, w) in [0, 1] -> (…, h, w, c) uint8."""
    return (images.detach() * 255).round().clamp(0, 255).byte().movedim(-3, -1).cpu().numpy()


def pictures(images: Tensor) -> np.ndarray:
    """(n, c, h, w) in [0, 1] -> (n, h, w, c) uint8; waveforms (n, c, 1, w) as they are drawn."""
    return to_bytes(images) if images.shape[2] > 1 else drawn(images.detach().cpu().numpy().mean(1)[:, 0])


def drawn(waves: np.ndarray) -> np.ndarray:
    """(n, w) in [0, 1] -> (n, 48, 96, 1) uint8: in each column what a waveform covers there, white on black."""
    columns = np.array_split(waves, min(DRAWN[1], waves.shape[1]), axis=1)
    ends = [np.stack([end(some, axis=1) for some in columns], axis=1) for end in (np.min, np.max)]  # (n, columns)
    low, high = (np.round(end.clip(0, 1) * (DRAWN[0] - 1))[:, None] for end in ends)
    level = np.arange(DRAWN[0])[::-1, None]  # up is loud
    return np.where((level >= low) & (level <= high), 255, 0).astype(np.uint8)[..., None]


def contact_sheet(images: Tensor, columns: int, scale: int = 1) -> Image.Image:
    """(n, c, h, w) in [0, 1] -> a grid with `columns` columns, each pixel `scale` wide."""
    return grid(pictures(images), columns, scale)


def grid(pixels: np.ndarray, columns: int, scale: int = 1) -> Image.Image:
    """(n, h, w, c) uint8 -> a grid with `columns` columns, each pixel `scale` wide, one pixel between images."""
    n, h, w, c = pixels.shape
    rows = -(-n // columns)
    paper = np.full((rows * (h + 1) + 1, columns * (w + 1) + 1, c), 128, np.uint8)
    for index, image in enumerate(pixels):
        top, left = 1 + index // columns * (h + 1), 1 + index % columns * (w + 1)
        paper[top : top + h, left : left + w] = image
    return enlarged(paper, scale)


def enlarged(pixels: np.ndarray, scale: int) -> Image.Image:
    """(h, w, c) uint8 as a picture, every pixel a square of `scale`."""
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    return image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)


def scale_for(shape: tuple[int, ...], target: int = 64) -> int:
    """The whole number that brings an image's longer side near `target` pixels."""
    return max(1, target // max(shape[-2:]))


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
