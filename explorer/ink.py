"""Paper and ink: where a picture's ink is, how the light falls on its paper, and pixels of another size.

Images are (h, w, c) float in [0, 1]. Paper is what most of a picture is, ink is what is drawn on it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

import trainer

if TYPE_CHECKING:
    from trainer import Look

WORK = 1024  # px: a larger picture is reduced to this after the crop, since no model sees as much
SMALL = 128  # px: the light on the paper varies slowly, so it is measured on a copy of this size
SURE = 0.4  # of the fullest: where this much ink is, there is ink for certain
FAINT = 0.06  # of the way from paper to black: what is fainter is no ink
Shape = tuple[int, int, int]  # (c, h, w)
Window = tuple[float, float, float, float]  # top, bottom, left, right in px


def amounts(image: np.ndarray) -> tuple[np.ndarray, bool]:
    """(h, w, c) how much ink there is, 0 on paper and 1 where it is full, and whether ink is dark; all 0 where none is.

    The light on the paper is taken out twice: as the median of a wide surrounding, which finds the ink, and then as a
    blur of the bare paper alone, which follows shadows. Light multiplies what paper and dark ink reflect.
    """
    dark = is_dark(image)
    bright_ink = 1 - image if dark else image
    rough = _above(bright_ink, _coarse_paper(bright_ink))
    paper = _bare_paper(image, rough.mean(-1) < SURE / 2 * _top(rough))
    amount = 1 - image / paper.clip(0.05) if dark else _above(image, paper)
    inked = amount.mean(-1) > SURE * _top(amount)
    if _top(amount) < FAINT or inked.all():
        return np.zeros_like(image), dark
    noise = 1.4826 * float(np.median(np.abs(amount.mean(-1)[~inked])))  # the paper's standard deviation
    if _top(amount) < 6 * noise:
        return np.zeros_like(image), dark
    full = float(np.percentile(amount.mean(-1)[inked], 75))
    low = min(3 * noise, 0.4 * full)
    return ((amount - low) / (full - low)).clip(0, 1), dark


def is_dark(image: np.ndarray) -> bool:
    """Whether the farther and rarer departures from the paper, which are the ink, are darker than it.

    Where there are none, ink would be dark on light paper.
    """
    small = scaled_to(image, SMALL)
    departures = small - _coarse_paper(small)
    if np.abs(departures.mean(-1)).max() < FAINT / 2:
        return bool(np.median(small) > 0.5)
    return bool((departures**3).sum() < 0)


def _above(image: np.ndarray, paper: np.ndarray) -> np.ndarray:
    """How far an image stands above its paper, 1 for white."""
    return (image - paper) / (1 - paper).clip(0.05)


def _top(amount: np.ndarray) -> float:
    """The fullest ink, but for the odd pixel."""
    return float(np.percentile(amount.mean(-1), 99.9))


def _coarse_paper(image: np.ndarray) -> np.ndarray:
    """(h, w, c) the median of a wide surrounding: what most of it is."""
    from scipy.ndimage import median_filter

    small = scaled_to(image, SMALL // 4)
    size = max(3, round(0.75 * max(small.shape)))
    return _enlarged(median_filter(small, size=(size, size, 1), mode="nearest"), image.shape)


def _bare_paper(image: np.ndarray, bare: np.ndarray) -> np.ndarray:
    """(h, w, c) the light on the paper: a blur of where it is bare, wider where little of it is."""
    from scipy.ndimage import gaussian_filter

    weight = bare[..., None].astype(np.float32)
    light, seen = scaled_to(image * weight, SMALL), scaled_to(weight, SMALL)
    total, weights = np.zeros_like(light), np.full_like(seen, 1e-9)
    for sigma, share in ((SMALL / 24, 1.0), (SMALL / 8, 0.03), (SMALL / 2, 0.001)):
        total += share * gaussian_filter(light, (sigma, sigma, 0), mode="nearest")
        weights += share * gaussian_filter(seen, (sigma, sigma, 0), mode="nearest")
    return _enlarged(total / weights, image.shape)


def main_ink(amount: np.ndarray) -> tuple[np.ndarray, int]:
    """(h, w) amounts -> where the largest pieces of ink are, and how many other pieces there are of their kind.

    A piece that runs along a whole side and is thin (a ruled line), or one that touches the edge (a table, a shadow),
    is left out where there is another. So are specks.
    """
    from scipy.ndimage import binary_dilation, find_objects, label, sum_labels

    pieces, count = label(amount > SURE * max(float(amount.max()), 0.1), np.ones((3, 3)))
    mass = np.array(sum_labels(amount, pieces, range(1, count + 1)))
    inside, rules = np.zeros(count, bool), np.zeros(count, bool)
    for index, (rows, columns) in enumerate(find_objects(pieces)):
        size = rows.stop - rows.start, columns.stop - columns.start
        inside[index] = rows.start > 0 and columns.start > 0 and rows.stop < amount.shape[0]
        inside[index] &= columns.stop < amount.shape[1]
        rules[index] = any(size[i] > 0.8 * amount.shape[i] and size[1 - i] < 0.08 * size[i] for i in (0, 1))
    for candidates in (inside & ~rules, ~rules, np.ones(count, bool)):
        if mass[candidates].sum() > 0.1 * mass.sum():
            break
    else:
        return np.zeros(amount.shape, bool), 0
    chosen = candidates & (mass > 0.08 * mass[candidates].max())
    soft = 1 + max(amount.shape) // 256  # px of a soft edge, which belongs to its piece
    kept = binary_dilation(np.concatenate([[False], chosen])[pieces], np.ones((3, 3)), iterations=soft)
    return kept, int((mass > 0.02 * mass.max()).sum() - chosen.sum())


def thickened(image: np.ndarray, look: Look, shape: Shape) -> tuple[np.ndarray, float]:
    """Strokes that would be much thinner than the data's, as a pen's are, widened by so many px of the image."""
    from scipy.ndimage import distance_transform_edt

    paper = np.broadcast_to(np.array(look.background, np.float32), image.shape[2:])
    amount = np.abs(image - paper).mean(-1)
    box = trainer.ink_box(amount > SURE * amount.max())
    longer = max(box[2] - box[0], box[3] - box[1])
    side = longer * scale_of(box, look, shape)  # px that the longer side will have
    width = trainer.stroke_width(amount / amount.max())
    more = (look.stroke * longer - width * side) / (side - look.stroke) if side > look.stroke else 0.0
    if more < max(2.0, 0.8 * width):
        return image, 0.0
    reach = math.ceil(more / 2)
    image = np.stack(
        [np.pad(plane, reach, constant_values=level) for plane, level in zip(image.T, paper, strict=True)]
    ).T
    full = np.pad(amount > 0.8 * amount.max(), reach)
    distance, nearest = distance_transform_edt(~full, return_indices=True)
    return np.where((distance <= more / 2)[..., None], image[tuple(nearest)], image), more


def scale_of(box: tuple[int, int, int, int], look: Look, shape: Shape) -> float:
    """What brings the longer side of a box to the data's, but no side beyond the image."""
    height, width = box[2] - box[0], box[3] - box[1]
    return min(look.box / max(height, width), shape[1] / height, shape[2] / width)


def scaled_to(image: np.ndarray, side: int) -> np.ndarray:
    """Area averages so that the longer side is at most `side` px."""
    height, width = image.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return image
    size = (image.shape[2], max(1, round(height * scale)), max(1, round(width * scale)))
    return resampled(image, (0, height, 0, width), size, np.zeros(1, np.float32))


def _enlarged(image: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Bicubic to the height and width of `shape`, (h, w, …)."""
    if image.shape[:2] == shape[:2]:
        return image
    size = shape[1], shape[0]
    planes = [
        np.array(Image.fromarray(plane).resize(size, Image.Resampling.BICUBIC)) for plane in np.moveaxis(image, 2, 0)
    ]
    return np.stack(planes, 2).clip(0, 1)


def resampled(image: np.ndarray, window: Window, shape: Shape, paper: np.ndarray) -> np.ndarray:
    """The window, which may reach beyond the image into `paper` (c,), as an image of `shape` (c, h, w).

    Each pixel is the average over its area; where there are more pixels than there were, the image is first enlarged
    to a whole multiple.
    """
    top, bottom, left, right = window
    factor = math.ceil(shape[1] / (bottom - top) - 1e-6)
    if factor > 1:
        image = _enlarged(image, (image.shape[0] * factor, image.shape[1] * factor))
        top, bottom, left, right = top * factor, bottom * factor, left * factor, right * factor
    rows, columns = _areas(image.shape[0], top, bottom, shape[1]), _areas(image.shape[1], left, right, shape[2])
    summed = np.einsum("ya,abc->ybc", rows, image - paper, optimize=True)
    return (np.einsum("xb,ybc->yxc", columns, summed, optimize=True) + paper).clip(0, 1)


def _areas(pixels: int, start: float, stop: float, count: int) -> np.ndarray:
    """(count, pixels) the share of each of `count` equal parts of start … stop that lies in each pixel."""
    edges = np.linspace(start, stop, count + 1)[:, None]
    pixel = np.arange(pixels)
    covered = np.minimum(edges[1:], pixel + 1) - np.maximum(edges[:-1], pixel)
    return (covered.clip(0) / ((stop - start) / count)).astype(np.float32)
