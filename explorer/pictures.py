"""Frames (n, h, w, c) uint8 -> files that a person can keep."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence

import numpy as np

import trainer

SIDE = 256  # px, about how large one image of a GIF is


def grid_png(rows: Sequence[np.ndarray]) -> bytes:
    """One row of images per axis, each (k, h, w, c), as a PNG; a shorter row ends in black."""
    scale = max(1, 64 // max(rows[0].shape[1:3]))
    widest = max(map(len, rows))
    whole = [np.concatenate([row, np.zeros((widest - len(row), *row.shape[1:]), np.uint8)]) for row in rows]
    out = io.BytesIO()
    trainer.grid(np.concatenate(whole), widest, scale).save(out, "png")
    return out.getvalue()


def gif(frames: np.ndarray, milliseconds: int = 60) -> bytes:
    """Images (k, h, w, c) forth and back as an endless GIF."""
    scale = max(1, SIDE // max(frames.shape[1:3]))
    images = [trainer.enlarged(frame, scale) for frame in [*frames, *frames[-2:0:-1]]]
    out = io.BytesIO()
    images[0].save(out, "gif", save_all=True, append_images=images[1:], duration=milliseconds, loop=0)
    return out.getvalue()


def crisp(image: np.ndarray, side: int) -> tuple[np.ndarray, int]:
    """(h, w, c) uint8 enlarged by a whole number, and the width in CSS px at which it is near `side` px on its longer
    side. There are two pixels for each of CSS's, so that it stays crisp on fine screens. A larger one is reduced.
    """
    if max(image.shape[:2]) > 2 * side:
        reduced = trainer.enlarged(image, 1)
        reduced.thumbnail((2 * side, 2 * side))
        return np.asarray(reduced).reshape(reduced.height, reduced.width, -1), reduced.width // 2
    scale = max(1, round(side / max(image.shape[:2])))
    return image.repeat(2 * scale, 0).repeat(2 * scale, 1), image.shape[1] * scale


def strip(images: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures of one size, each (h, w, c), side by side with a line between them, (h, n (w + 1) − 1, c)."""
    line = np.full((images[0].shape[0], 1, images[0].shape[2]), 128, np.uint8)
    return np.concatenate([part for image in images for part in (image, line)][:-1], axis=1)


def laid(images: np.ndarray, columns: int) -> np.ndarray:
    """(n, h, w, c) -> a sheet of rows with so many pictures each, nothing between them."""
    n, h, w, c = images.shape
    grid = images.reshape(n // columns, columns, h, w, c).swapaxes(1, 2)  # (row, y, column, x, c)
    return grid.reshape(n // columns * h, columns * w, c)


def tiles(images: np.ndarray, columns: int) -> np.ndarray:
    """(n, h, w, c) -> rows of `columns` pictures as one."""
    rows = [strip(list(images[start : start + columns])) for start in range(0, len(images), columns)]
    line = np.full((1, *rows[0].shape[1:]), 128, np.uint8)
    return np.concatenate([part for row in rows for part in (row, line)][:-1], axis=0)


def signed(difference: np.ndarray) -> tuple[np.ndarray, float]:
    """(h, w) -> (h, w, 3) uint8, blue below 0, white at 0, red above, and the limit at which the colour is full."""
    from plotly.colors import diverging, unlabel_rgb

    limit = max(float(np.abs(difference).max()), 1e-6)
    anchors = np.array([unlabel_rgb(colour) for colour in reversed(diverging.RdBu)])  # (k, 3)
    anchors[len(anchors) // 2] = 255
    place = (difference / limit + 1) / 2 * (len(anchors) - 1)
    channels = [np.interp(place, np.arange(len(anchors)), anchors[:, channel]) for channel in range(3)]
    return np.stack(channels, -1).round().astype(np.uint8), limit


def difference(values: np.ndarray) -> tuple[np.ndarray, float]:
    """`signed` with its scale at the right edge: from the limit, at the top, down to minus that."""
    colours, limit = signed(values)
    bar = signed(np.linspace(1, -1, len(values))[:, None].repeat(max(2, len(values) // 16), 1))[0]
    return np.concatenate([colours, np.full_like(bar[:, :1], 128), bar], axis=1), limit


def amounts(values: np.ndarray, limit: float) -> np.ndarray:
    """(h, w) from 0 to `limit` -> (h, wider, 3) uint8, dark to bright, its scale at the right edge, 0 at the bottom."""
    from plotly.colors import hex_to_rgb, sequential

    anchors = np.array([hex_to_rgb(colour) for colour in sequential.Viridis])  # (k, 3)
    bar = np.linspace(limit, 0, len(values))[:, None].repeat(max(2, len(values) // 16), 1)
    place = np.concatenate([values, bar], 1).clip(0, limit) / limit * (len(anchors) - 1)
    channels = [np.interp(place, np.arange(len(anchors)), anchors[:, channel]) for channel in range(3)]
    return np.insert(np.stack(channels, -1).round().astype(np.uint8), values.shape[1], 128, axis=1)


def sheet(rows: Sequence[tuple[str, Sequence[tuple[str, np.ndarray]]]], side: int = 140) -> bytes:
    """Rows, each a heading and labelled pictures, (h, w, c) uint8, as one PNG on white."""
    from PIL import Image, ImageDraw, ImageFont

    font, gap, line, label_lines = ImageFont.load_default(12), 12, 16, 2
    widest = max(len(cells) for _, cells in rows)
    paper = Image.new(
        "RGB", (gap + widest * (side + gap), gap + len(rows) * (side + (1 + label_lines) * line + gap)), "white"
    )
    draw = ImageDraw.Draw(paper)
    for row, (heading, cells) in enumerate(rows):
        top = gap + row * (side + (1 + label_lines) * line + gap)
        draw.text((gap, top), heading, "black", font)
        for column, (label, image) in enumerate(cells):
            left = gap + column * (side + gap)
            shown = trainer.enlarged(image, max(1, side // max(image.shape[:2])))
            shown.thumbnail((side, side))
            paper.paste(shown, (left, top + line))
            text = "\n".join(textwrap.wrap(label, side // 6)[:label_lines])
            draw.multiline_text((left, top + line + side), text, "#555555", font)
    out = io.BytesIO()
    paper.save(out, "png")
    return out.getvalue()
