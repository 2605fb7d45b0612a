"""Frames (n, h, w, c) uint8 -> files that a person can keep."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

SIDE = 256  # px, about how large one image of a GIF is


def grid_png(rows: Sequence[np.ndarray]) -> bytes:
    """One row of images per axis, each (k, h, w, c), as a PNG with a pixel between images; 1 image pixel is 1 … 8."""
    h, w, c = rows[0].shape[1:]
    scale = max(1, 64 // max(h, w))
    paper = np.full((len(rows) * (h + 1) - 1, len(rows[0]) * (w + 1) - 1, c), 128, np.uint8)
    for top, row in enumerate(rows):
        for left, image in enumerate(row):
            paper[top * (h + 1) : top * (h + 1) + h, left * (w + 1) : left * (w + 1) + w] = image
    out = io.BytesIO()
    _enlarged(paper, scale).save(out, "png")
    return out.getvalue()


def gif(frames: np.ndarray, milliseconds: int = 60) -> bytes:
    """Images (k, h, w, c) forth and back as an endless GIF."""
    scale = max(1, SIDE // max(frames.shape[1:3]))
    images = [_enlarged(frame, scale) for frame in [*frames, *frames[-2:0:-1]]]
    out = io.BytesIO()
    images[0].save(out, "gif", save_all=True, append_images=images[1:], duration=milliseconds, loop=0)
    return out.getvalue()


def _enlarged(pixels: np.ndarray, scale: int) -> Image.Image:
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    return image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)
