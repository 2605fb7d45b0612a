"""Sprites with five known factors: 737,280 binary 64×64 images, drawn when asked for and never all held.

Generated here with the geometry of dSprites (Matthey et al. 2017); not DeepMind's file, so scores are not directly
comparable with published dSprites numbers. The square looks the same after a quarter turn and the ellipse after half
a turn, so orientation is not identifiable from one image.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor

from trainer.data import Images, Split, part_of

SHAPES = ("square", "ellipse", "heart")
SYMMETRY = (
    "The square looks the same after a quarter turn and the ellipse after half a turn, so orientation is not "
    "identifiable from one image: no code can know it well."
)
LEVELS = {"shape": 3, "scale": 6, "orientation": 40, "position x": 32, "position y": 32}
SIDE = 64
COUNT = math.prod(LEVELS.values())
WINDOW = 30  # px; no sprite reaches further than 13.6 px from its centre

HEART = (  # half the outline at scale 1, point down, x ≥ 0, y down
    (0, 9.18), (1.23, 7.31), (2.17, 6.11), (3.02, 5.30), (3.78, 4.54), (4.52, 3.89), (5.19, 3.19), (5.93, 2.55),
    (6.62, 1.82), (7.30, 1.02), (8.05, 0.16), (8.70, -0.86), (9.24, -2.0), (9.54, -3.26), (9.60, -4.57),
    (9.32, -5.87), (8.74, -7.04), (7.95, -8.10), (6.79, -8.79), (5.63, -9.33), (4.22, -9.31), (2.91, -8.97),
    (1.62, -8.06), (0.65, -6.91), (0, -5.05),
)  # fmt: skip


def _outlines() -> list[Tensor]:
    """One polygon per shape at scale 1, (v, 2) as (u, v) in px, each star-shaped about the origin."""
    square = [(9.6, -9.6), (9.6, 9.6), (-9.6, 9.6), (-9.6, -9.6)]
    turns = [2 * math.pi * corner / 34 for corner in range(34)]
    ellipse = [(12.8 * math.cos(turn), 7.25 * math.sin(turn)) for turn in turns]
    heart = [*HEART, *((-x, y) for x, y in reversed(HEART[1:-1]))]
    return [torch.tensor(outline, dtype=torch.float64) for outline in (square, ellipse, heart)]


def _edges() -> tuple[Tensor, Tensor, Tensor]:
    """Every edge as a half-plane a·u + b·v < 1, sorted by the angle at which it begins.

    A ray from the origin meets a star-shaped outline once, so a point is inside when it is on the inner side of the
    one edge in its direction: one comparison a pixel, whatever the number of corners.
    Returns angles (3, e), padded with +inf; and a, b (3, e + 1), where edge k lies between angles k−1 and k.
    """
    rows = []
    for outline in _outlines():
        ends = outline.roll(-1, 0)
        if float((outline[:, 0] * ends[:, 1] - outline[:, 1] * ends[:, 0]).sum()) < 0:  # clockwise: turn it around
            outline, ends = ends.flip(0), outline.flip(0)
        cross = outline[:, 0] * ends[:, 1] - outline[:, 1] * ends[:, 0]
        a, b = (ends[:, 1] - outline[:, 1]) / cross, (outline[:, 0] - ends[:, 0]) / cross
        angle = torch.atan2(outline[:, 1], outline[:, 0])
        order = angle.argsort()
        angle, a, b = angle[order], a[order], b[order]
        rows.append((angle, torch.cat([a[-1:], a]), torch.cat([b[-1:], b])))  # the last edge wraps around ±π
    most = max(len(angle) for angle, _, _ in rows)
    angles = torch.stack([torch.nn.functional.pad(r[0], (0, most - len(r[0])), value=math.inf) for r in rows])
    a = torch.stack([torch.nn.functional.pad(r[1], (0, most - len(r[0]))) for r in rows])
    b = torch.stack([torch.nn.functional.pad(r[2], (0, most - len(r[0]))) for r in rows])
    return angles.float(), a.float(), b.float()


@cache
def _edges_on(device: torch.device) -> tuple[Tensor, ...]:
    return tuple(part.to(device) for part in _edges())


def factors_of(indices: Tensor) -> Tensor:
    """(b,) numbers in 0 … 737,279 -> (b, 5) levels of shape, scale, orientation, position x, position y."""
    columns = []
    for count in reversed(LEVELS.values()):
        columns.append(indices % count)
        indices = indices // count
    return torch.stack(columns[::-1], dim=1)


def render(factors: Tensor) -> Tensor:
    """(b, 5) levels -> (b, 1, 64, 64) uint8, 0 or 255; a pixel is set when its centre is inside the sprite."""
    device = factors.device
    shape = factors[:, 0]
    scale = 0.5 + factors[:, 1] / 10  # .5 … 1
    turn = factors[:, 2] * (2 * math.pi / 39)  # level 39 is level 0 again
    centre = 16 + 32 * factors[:, 3:] / 31  # (b, 2) as x, y in px, y down

    corner = (centre - WINDOW / 2).round()  # (b, 2): only a window around the centre can be set
    steps = torch.arange(WINDOW, device=device)
    dx = (corner[:, :1] + steps + 0.5 - centre[:, :1])[:, None, :]  # (b, 1, window)
    dy = (corner[:, 1:] + steps + 0.5 - centre[:, 1:])[:, :, None]  # (b, window, 1)
    cos, sin = (turn.cos() / scale)[:, None, None], (turn.sin() / scale)[:, None, None]
    u, v = dx * cos - dy * sin, dx * sin + dy * cos  # counter-clockwise on screen

    angles, edge_a, edge_b = (part[shape] for part in _edges_on(device))
    edge = torch.searchsorted(angles, torch.atan2(v, u).flatten(1), right=True)  # (b, window²)
    inside = edge_a.gather(1, edge) * u.flatten(1) + edge_b.gather(1, edge) * v.flatten(1) < 1

    rows = (corner[:, 1:].long() + steps)[:, :, None]
    cells = (rows * SIDE + (corner[:, :1].long() + steps)[:, None, :]).flatten(1)  # (b, window²)
    image = torch.zeros(len(factors), SIDE * SIDE, dtype=torch.uint8, device=device)
    return image.scatter_(1, cells, inside.to(torch.uint8) * 255).view(-1, 1, SIDE, SIDE)


class Sprites(Images):
    """Images that are drawn for each batch. `numbers` (n,) are their places in the full set of 737,280."""

    def __init__(self, numbers: Tensor) -> None:
        note = f"{SYMMETRY} Generated here; not directly comparable with published dSprites numbers."
        nothing = torch.empty(0, 1, SIDE, SIDE)
        super().__init__("sprites", nothing, None, SHAPES, factor_names=tuple(LEVELS), factor_note=note)
        self.numbers = numbers
        self.labels = factors_of(numbers)[:, 0]

    def __len__(self) -> int:
        return len(self.numbers)

    def batch(self, indices: Tensor, device: torch.device | str = "cpu") -> Tensor:
        if self.numbers.device != torch.device(device):
            self.numbers = self.numbers.to(device)
        return render(factors_of(self.numbers[indices.to(self.numbers.device)])).float() / 255

    def factors(self, indices: Tensor) -> Tensor:
        return factors_of(self.numbers.cpu()[indices.cpu()])


def load(split: Split, size: int | None = None) -> Images:
    """663,552 images to train on, 73,728 to test on; (n, 1, 64, 64), five factors, the class is the shape."""
    return Sprites(part_of(COUNT, split, size, "sprites"))
