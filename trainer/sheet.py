"""Many images as one picture."""

from __future__ import annotations

import numpy as np
from PIL import Image
from torch import Tensor


def to_bytes(images: Tensor) -> np.ndarray:
    """(…, c, h, w) in [0, 1] -> (…, h, w, c) uint8."""
    return (images.detach() * 255).round().clamp(0, 255).byte().movedim(-3, -1).cpu().numpy()


def contact_sheet(images: Tensor, columns: int, scale: int = 1, gap: int = 1) -> Image.Image:
    """(n, c, h, w) in [0, 1] -> a grid with `columns` columns, each pixel `scale` wide, `gap` pixels between."""
    pixels = to_bytes(images)
    n, h, w, c = pixels.shape
    rows = -(-n // columns)
    paper = np.full((rows * (h + gap) + gap, columns * (w + gap) + gap, c), 128, np.uint8)
    for index, image in enumerate(pixels):
        top, left = gap + index // columns * (h + gap), gap + index % columns * (w + gap)
        paper[top : top + h, left : left + w] = image
    picture = Image.fromarray(paper[..., 0] if c == 1 else paper)
    return picture.resize((paper.shape[1] * scale, paper.shape[0] * scale), Image.Resampling.NEAREST)


def scale_for(shape: tuple[int, ...], target: int = 64) -> int:
    """The whole number that brings an image's longer side near `target` pixels."""
    return max(1, target // max(shape[-2:]))
