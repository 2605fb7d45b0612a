"""Frames (n, h, w, c) uint8 -> files that a person can keep."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np

import trainer

SIDE = 256  # px, about how large one image of a GIF is


def grid_png(rows: Sequence[np.ndarray]) -> bytes:
    """One row of images per axis, each (k, h, w, c), as a PNG."""
    scale = max(1, 64 // max(rows[0].shape[1:3]))
    out = io.BytesIO()
    trainer.grid(np.concatenate(list(rows)), len(rows[0]), scale).save(out, "png")
    return out.getvalue()


def gif(frames: np.ndarray, milliseconds: int = 60) -> bytes:
    """Images (k, h, w, c) forth and back as an endless GIF."""
    scale = max(1, SIDE // max(frames.shape[1:3]))
    images = [trainer.enlarged(frame, scale) for frame in [*frames, *frames[-2:0:-1]]]
    out = io.BytesIO()
    images[0].save(out, "gif", save_all=True, append_images=images[1:], duration=milliseconds, loop=0)
    return out.getvalue()
