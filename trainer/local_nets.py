"""Convolutional halves around a grid of vectors, in which what is far apart stays apart: no norm, no attention.

One vector of the grid reaches a patch of the image whose size `patch` says, and nothing else.
"""

from __future__ import annotations

import math

from pydantic import Field
from torch import Tensor, nn

from trainer.nets import Crop, Net, Pad
from trainer.options import Options
from trainer.trainable import Shape
from trainer.transposed import Transposed


class LocalNetOptions(Options):
    """The size of the nets and of the grid."""

    channels: int = Field(64, ge=1, le=512, description="channels of each convolution")
    stages: int = Field(2, ge=1, le=8, description="stride-2 stages; each halves the grid's sides")
    blocks: int = Field(
        1,
        ge=0,
        le=8,
        description="residual blocks beside the grid, in both halves; in the decoder each widens what one code "
        "changes by a cell on every side",
    )


class Residual(nn.Module):
    """x + f(x), f two convolutions after a ReLU each; one cell reaches one further."""

    def __init__(self, channels: int, is_line: bool) -> None:
        super().__init__()
        self.near = conv(channels, channels, 3, is_line)
        self.same = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.same(self.near(x.relu()).relu())
        return x + change


def conv(before: int, after: int, kernel: int, is_line: bool, stride: int = 1, up: bool = False) -> nn.Module:
    """A convolution that keeps the sides, or divides or multiplies them by `stride`; on a line along the width."""
    height = (1, 1, 0) if is_line else (kernel, stride, (kernel - 1) // 2)
    kernels, strides, margins = zip(height, (kernel, stride, (kernel - 1) // 2), strict=True)
    return (Transposed if up else nn.Conv2d)(before, after, kernels, strides, margins)


def grid(shape: Shape, stages: int, is_line: bool) -> tuple[int, int]:
    """(h, w) of the grid for images (c, h, w)."""
    h, w = (math.ceil(side / 2**stages) for side in shape[1:])
    return (shape[1] if is_line else h), w


def _sides(shape: Shape, stages: int, is_line: bool) -> tuple[int, int]:
    """The image's sides rounded up so that every stage halves them exactly."""
    h, w = grid(shape, stages, is_line)
    return (h if is_line else h << stages), w << stages


def encoder(shape: Shape, options: LocalNetOptions, outputs: int, is_line: bool) -> Net:
    """(b, c, h, w) -> (b, outputs, *grid)."""
    layers: list[nn.Module] = [Pad(shape, _sides(shape, options.stages, is_line))]
    before = shape[0]
    for _ in range(options.stages):
        layers += [conv(before, options.channels, 4, is_line, stride=2), nn.ReLU(inplace=True)]
        before = options.channels
    layers.append(conv(before, before, 3, is_line))
    layers += [Residual(before, is_line) for _ in range(options.blocks)]
    return Net(*layers, nn.ReLU(inplace=True), nn.Conv2d(before, outputs, 1))


def decoder(shape: Shape, options: LocalNetOptions, inputs: int, outputs: int, is_line: bool) -> Net:
    """(b, inputs, *grid) -> (b, outputs, h, w), not squashed."""
    wide = options.channels
    layers: list[nn.Module] = [nn.Conv2d(inputs, wide, 1)]
    layers += [Residual(wide, is_line) for _ in range(options.blocks)]
    for stage in range(options.stages):
        after = wide if stage < options.stages - 1 else outputs
        layers += [nn.ReLU(inplace=True), conv(wide, after, 4, is_line, stride=2, up=True)]
    return Net(*layers, Crop(shape, _sides(shape, options.stages, is_line)))


def patch(shape: Shape, options: LocalNetOptions, cell: tuple[int, int], is_line: bool) -> tuple[int, int, int, int]:
    """The pixels that a cell (row, column) of the grid can change in what `decoder` gives: top, left, bottom, right,
    the last two outside.
    """
    ends = []
    for axis, place in enumerate(cell):
        low = high = place
        if not (is_line and axis == 0):
            low, high = low - options.blocks, high + options.blocks
            for _ in range(options.stages):
                low, high = 2 * low - 1, 2 * high + 2
        side = shape[1 + axis]
        margin = (_sides(shape, options.stages, is_line)[axis] - side) // 2
        ends.append((max(0, low - margin), min(side, high + 1 - margin)))
    (top, bottom), (left, right) = ends
    return top, left, bottom, right
