"""Encoder and decoder halves that the models share, for any image from 8×8 to 128×128 with 1 or 3 channels."""

from __future__ import annotations

import itertools
import math
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import AfterValidator, Field
from torch import Tensor, nn

from trainer.options import Options, needs
from trainer.trainable import Shape
from trainer.transposed import Transposed


def _checked(hidden: tuple[int, ...]) -> tuple[int, ...]:
    if any(not 1 <= width <= 4096 for width in hidden):
        raise ValueError("each width must be from 1 to 4096")
    return hidden


Widths = Annotated[tuple[int, ...], AfterValidator(_checked)]  # of fully connected layers


class NetOptions(Options):
    """Which net the encoder and the decoder are."""

    net: Literal["mlp", "conv"] = Field(
        "mlp", description="mlp: fully connected; conv: stride-2 convolutions (Burgess et al. 2018)"
    )
    hidden: Widths = Field(
        (256, 256),
        max_length=8,
        description="widths of the fully connected layers, from image to latent; for an mlp none at all is linear",
    )
    channels: int = Field(
        32, ge=1, le=512, description="channels of each convolution; conv only", json_schema_extra=needs(net=["conv"])
    )


def stages(side: int) -> int:
    """How many stride-2 stages bring `side` to about 4: 1 for 8, 3 for 28, 4 for 64, 5 for 128."""
    return max(1, round(math.log2(side / 4)))


def padded(shape: Shape) -> tuple[int, int, int]:
    """(stages, h, w): the sides rounded up so that every stage halves them exactly."""
    _, h, w = shape
    n = stages(max(h, w))
    step = 2**n
    return n, math.ceil(h / step) * step, math.ceil(w / step) * step


class Pad(nn.Module):
    """(b, c, h, w) -> (b, c, H, W), zeros all around."""

    def __init__(self, shape: Shape, sides: tuple[int, int]) -> None:
        super().__init__()
        (_, h, w), (big_h, big_w) = shape, sides
        top, left = (big_h - h) // 2, (big_w - w) // 2
        self.margins = (left, big_w - w - left, top, big_h - h - top)

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, self.margins) if any(self.margins) else x


class Crop(Pad):
    """The inverse of `Pad`: (b, c, H, W) -> (b, c, h, w)."""

    def forward(self, x: Tensor) -> Tensor:
        if not any(self.margins):
            return x
        left, right, top, bottom = self.margins
        return x[..., top : x.shape[-2] - bottom, left : x.shape[-1] - right]


def fully_connected(widths: list[int]) -> list[nn.Module]:
    """ReLU between linear layers, none after the last."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU(inplace=True)]
    return layers[:-1]


class Net(nn.Sequential):
    """Layers one after another, float32 in and out; while training on CUDA all but the last one with weights compute in
    bfloat16: its 8 bits are too few for what a net says, a mean, a log-variance or a logit.
    """

    def forward(self, x: Tensor, first: int = 0) -> Tensor:
        """From the layer of that number on."""
        layers = list(self)[first:]
        rounded = 0
        if x.is_cuda and any(layer.training for layer in layers):  # theirs: a slice of a net always says it trains
            rounded = _last_weighted(layers)
            with torch.autocast("cuda", torch.bfloat16):
                x = _through(layers[:rounded], x)
            x = x.float()
        return _through(layers[rounded:], x)


def _last_weighted(layers: list[nn.Module]) -> int:
    """The place of the last layer with weights, 0 where none has any."""
    places = (at for at in reversed(range(len(layers))) if next(layers[at].parameters(), None) is not None)
    return next(places, 0)


def _through(layers: list[nn.Module], x: Tensor) -> Tensor:
    for layer in layers:
        x = layer(x)
    return x


def down(shape: Shape, options: NetOptions) -> tuple[list[nn.Module], int]:
    """Layers (b, c, h, w) -> (b, width) before anything that is fully connected, and that width."""
    if options.net == "mlp":
        return [nn.Flatten()], math.prod(shape)
    n, h, w = padded(shape)
    layers: list[nn.Module] = [Pad(shape, (h, w))]
    before = shape[0]
    for _ in range(n):
        layers += [nn.Conv2d(before, options.channels, 4, stride=2, padding=1), nn.ReLU(inplace=True)]
        before = options.channels
    return [*layers, nn.Flatten()], before * (h >> n) * (w >> n)


def up_width(shape: Shape, options: NetOptions) -> int:
    """What `up` starts from."""
    if options.net == "mlp":
        return math.prod(shape)
    n, h, w = padded(shape)
    return options.channels * (h >> n) * (w >> n)


def up(shape: Shape, options: NetOptions) -> list[nn.Module]:
    """`down` mirrored: layers (b, width) -> (b, c, h, w)."""
    if options.net == "mlp":
        return [nn.Unflatten(1, shape)]
    n, h, w = padded(shape)
    small = (options.channels, h >> n, w >> n)
    layers: list[nn.Module] = [nn.ReLU(), nn.Unflatten(1, small)]
    for stage in range(n):
        after = options.channels if stage < n - 1 else shape[0]
        layers += [Transposed(options.channels, after, (4, 4), (2, 2), (1, 1)), nn.ReLU(inplace=True)]
    return [*layers[:-1], Crop(shape, (h, w))]


def encoder(shape: Shape, options: NetOptions, outputs: int) -> Net:
    """(b, c, h, w) -> (b, outputs)."""
    layers, flat = down(shape, options)
    return Net(*layers, *fully_connected([flat, *options.hidden, outputs]))


def decoder(shape: Shape, options: NetOptions, inputs: int) -> Net:
    """(b, inputs) -> (b, c, h, w), the encoder mirrored; its output is not squashed."""
    return Net(*fully_connected([inputs, *reversed(options.hidden), up_width(shape, options)]), *up(shape, options))
