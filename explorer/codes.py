"""A grid of codes, looked at and edited: what each code looks like, where it can be seen, what it is near. No screen.

Grids are (h, w) integers, and a cell is its number in them, row by row. Boxes are top, left, bottom, right in pixels,
the last two outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import trainer
from explorer.opened import Run

Box = tuple[int, int, int, int]
LISTED = 1024  # codes of a palette, at most
IDLE, UNEVEN = 0.1, 0.2  # shares of the codebook: dead above, or a perplexity below, is sick


@dataclass(frozen=True)
class Candidates:
    """What an image becomes where its chosen cells are all of one code, for each of some codes."""

    codes: np.ndarray  # (n,) which, the most used first
    box: Box  # the pixels that they can change
    pictures: np.ndarray  # (n, bottom − top, right − left, c) uint8, what they become


def by_usage(usage: np.ndarray) -> np.ndarray:
    """(K,) counts -> the codes, most used first; those that are never used come last."""
    return (-usage.astype(np.int64)).argsort(kind="stable")


def cell_box(run: Run, part: str, cell: int) -> Box:
    """The pixels that a cell stands for: its share of the image's sides."""
    grid, (_, height, width) = run.codes[part], run.model.shape
    row, column = divmod(cell, grid.w)
    edges = [row * height / grid.h, column * width / grid.w, (row + 1) * height / grid.h, (column + 1) * width / grid.w]
    top, left, bottom, right = (round(edge) for edge in edges)
    return top, left, max(bottom, top + 1), max(right, left + 1)


def reach(run: Run, part: str, cells: Sequence[int]) -> Box:
    """The pixels that any of these cells can change."""
    boxes = np.array([run.model.receptive(part, *divmod(cell, run.codes[part].w)) for cell in cells])
    low, high = boxes[:, :2].min(0).tolist(), boxes[:, 2:].max(0).tolist()
    return low[0], low[1], high[0], high[1]


def middle(run: Run, part: str) -> int:
    """The cell in the middle of the grid."""
    grid = run.codes[part]
    return grid.h // 2 * grid.w + grid.w // 2


def replaced(grid: np.ndarray, cells: Sequence[int], codes: np.ndarray) -> np.ndarray:
    """(h, w) -> (n, h, w): for each of the n codes, the grid with that code in all of the cells."""
    found = np.repeat(grid.reshape(1, -1), len(codes), 0)
    found[:, list(cells)] = codes[:, None]
    return found.reshape(len(codes), *grid.shape)


def decode(run: Run, part: str, grids: np.ndarray) -> np.ndarray:
    """(n, h, w) integers -> (n, h, w, c) uint8 pictures."""
    import torch

    return run.decode({part: torch.from_numpy(np.ascontiguousarray(grids, np.int64))})


def encode(run: Run, part: str, image: np.ndarray) -> np.ndarray:
    """An image (h, w, c) in [0, 1] -> its grid."""
    import torch

    x = torch.from_numpy(np.ascontiguousarray(image, np.float32)).permute(2, 0, 1)[None]
    with torch.inference_mode():
        return np.asarray(run.model.encode(x)[part][0].numpy())


def candidates(run: Run, part: str, grid: np.ndarray, cells: Sequence[int], room: int) -> Candidates:
    """As many codes for these cells as `room` bytes of pictures hold, the most used first."""
    top, left, bottom, right = box = reach(run, part, cells)
    each = (bottom - top) * (right - left) * run.model.shape[0]
    codes = by_usage(run.summary.codes[part].usage)[: min(LISTED, room // each)]
    pictures = decode(run, part, replaced(grid, cells, codes))[:, top:bottom, left:right]
    return Candidates(codes, box, np.ascontiguousarray(pictures))


def constant_tiles(run: Run, part: str, codes: np.ndarray) -> np.ndarray:
    """(n, height, width, c) uint8: what each code looks like in a grid of nothing else, at the middle cell's pixels."""
    grid = run.codes[part]
    top, left, bottom, right = cell_box(run, part, middle(run, part))
    whole = decode(run, part, replaced(np.zeros((grid.h, grid.w), np.int64), range(grid.h * grid.w), codes))
    return np.ascontiguousarray(whole[:, top:bottom, left:right])


def occurrences(grids: np.ndarray, code: int, count: int) -> list[tuple[int, int]]:
    """(n, h, w) -> the first places of a code, (image, cell), from as many images as there can be."""
    flat = grids.reshape(len(grids), -1)
    found = [(int(image), int(cell)) for image, cell in np.argwhere(flat == code)]
    rank = {}  # place -> how many of its image come before it
    seen: dict[int, int] = {}
    for place in found:
        rank[place] = seen.get(place[0], 0)
        seen[place[0]] = rank[place] + 1
    return sorted(found, key=lambda place: rank[place])[:count]


def surroundings(image: np.ndarray, box: Box, times: int = 3) -> np.ndarray:
    """(h, w, c) -> what lies around the middle of a box, `times` as wide and high as it, cut at the image's edges and
    moved so that its size is always the same.
    """
    starts, sizes = [], []
    for low, high, side in ((box[0], box[2], image.shape[0]), (box[1], box[3], image.shape[1])):
        size = min(side, times * (high - low))
        starts.append(max(0, min(side - size, (low + high - size) // 2)))
        sizes.append(size)
    return image[starts[0] : starts[0] + sizes[0], starts[1] : starts[1] + sizes[1]]


def neighbours(codebook: np.ndarray, code: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(K, d) -> the codes nearest to one, nearest first and without itself, and their Euclidean distances."""
    distances = np.linalg.norm(codebook - codebook[code], axis=1)
    distances[code] = -1  # first, even among copies of it
    order = distances.argsort(kind="stable")[1 : count + 1]
    return order, distances[order]


def plane(codebook: np.ndarray) -> tuple[np.ndarray, float]:
    """(K, d) -> (K, 2), the codes along the two directions in which they vary most, and their share of the variance."""
    centred = codebook - codebook.mean(0)
    left, scales, _ = np.linalg.svd(centred, full_matrices=False)
    places = np.zeros((len(codebook), 2))
    places[:, : min(2, len(scales))] = (left * scales)[:, :2]
    return places, float((scales[:2] ** 2).sum() / max((scales**2).sum(), 1e-12))


def boxes(run: Run, part: str) -> tuple[list[Box], list[Box]]:
    """Per cell, the pixels that it stands for and those that it can change."""
    cells = range(run.codes[part].h * run.codes[part].w)
    return [cell_box(run, part, cell) for cell in cells], [reach(run, part, [cell]) for cell in cells]


def coded(run: Run, part: str, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The first n test images, (n, h, w, c) uint8, and their grids."""
    import torch

    x = run.images.batch(torch.arange(n))
    with torch.inference_mode():
        grids = torch.cat([run.model.encode(some)[part] for some in x.split(100)])
    return trainer.to_bytes(x), grids.numpy()


def sickness(counts: trainer.CodeCounts, config: trainer.Config) -> str:
    """What is wrong with a codebook of which much lies idle, and what to try that its training did not; empty for a
    healthy one.
    """
    size, dead = len(counts.usage), counts.dead
    if dead <= IDLE * size and counts.perplexity >= UNEVEN * size:
        return ""
    return (
        f"This codebook is not well: {counts.used:,} of {size:,} codes are in use, {dead:,} are dead, and the "
        f"perplexity is {counts.perplexity:,.1f}. {_remedies(config)}"
    )


def _remedies(config: trainer.Config) -> str:
    options, steps = config.options, config.steps_done
    restart = int(options.get("restart", 0))
    ways = {"a restart of unused codes": restart, "a k-means start": options.get("kmeans"),
            "cosine codes": options.get("cosine")}  # fmt: skip
    off = ", ".join(way for way, is_on in ways.items() if not is_on)
    anew = f"anew with {f'{off}, or ' if off else ''}fewer codes: those that lie idle add nothing."
    if steps < restart:
        return f"Train it longer: codes are restarted after {restart:,} steps unused, and it took {steps:,}. Or {anew}"
    return f"Train it {anew}"


def codebook(run: Run) -> np.ndarray:
    """(K, d) the codes as the decoder gets them."""
    import torch

    with torch.inference_mode():
        found: Any = run.model.codebook
        return np.asarray(found.numpy())
