"""The contract of all models: which are tried on which shapes of image, with which net, and on which images."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from trainer import models
from trainer.config import Config, Data, now
from trainer.data import Images
from trainer.latent import Gaussian, Label, LatentModel, Part
from trainer.trainable import Shape

SHAPES: list[Shape] = [(1, 8, 8), (3, 33, 50)]  # one stage of a net and no padding; four, and padding on all sides
LARGE: list[Shape] = [(1, 112, 92), (3, 128, 128)]  # five stages
WAVES: list[Shape] = [(1, 1, 64), (2, 1, 1001)]  # for models that refuse images of several rows
SMALL: dict[str, Any] = {
    "latents": 3,
    "hidden": (16,),
    "channels": 8,
    "codes": 8,
    "components": 8,
    "classes": 3,
    "dims": 4,
}  # with 4, all ReLUs of a stage may start dead


def cases() -> list[tuple[str, str | None]]:
    """Each model, with each net where it has a choice of nets."""
    has_net = {name: "net" in models.get(name).Options.model_fields for name in models.names()}
    return [(name, net) for name in models.names() for net in (("mlp", "conv") if has_net[name] else (None,))]


def label(value: Any) -> str:
    return (
        "x".join(map(str, value))
        if isinstance(value, tuple) and isinstance(value[0], int)
        else "-".join(part for part in value if part)
    )


each_case = pytest.mark.parametrize("case", cases(), ids=label)


@cache
def shapes_of(name: str) -> list[Shape]:
    """The shapes that a model is tried on: images, or waveforms where it says that it is for them."""
    kind = models.get(name)
    try:
        kind(SHAPES[0], kind.Options.read(options_of(name, None)))
    except ValueError:
        return WAVES
    return SHAPES


@cache
def noise_images(shape: Shape) -> Images:
    """24 images of random bytes, of three classes."""
    generator = torch.Generator().manual_seed(sum(shape))
    pixels = torch.randint(0, 256, (24, *shape), generator=generator, dtype=torch.uint8)
    return Images("noise", pixels, torch.arange(24) % 3, ("a", "b", "c"))


def options_of(name: str, net: str | None) -> dict[str, Any]:
    fields = models.get(name).Options.model_fields
    chosen = {key: value for key, value in {**SMALL, **({"net": net} if net else {})}.items() if key in fields}
    if "latents" in fields and not isinstance(fields["latents"].default, int):  # a size for each of several levels
        chosen["latents"] = (4, 3, 2)
    return chosen


def build(case: tuple[str, str | None], shape: Shape) -> LatentModel:
    """A model with fresh weights, begun on the images of its shape."""
    torch.manual_seed(0)
    kind = models.get(case[0])
    model = kind(shape, kind.Options.read(options_of(*case)))
    model.begin(noise_images(shape))
    return model.eval()


Pair = tuple[tuple[str, str | None], Shape]


def pairs(some_cases: list[tuple[str, str | None]]) -> list[Pair]:
    """Each of the models on each of its shapes."""
    return [(case, shape) for case in some_cases for shape in shapes_of(case[0])]


def large() -> list[Pair]:
    """Those whose layers depend on the size of an image, on large ones. An mlp knows only how many pixels there are."""
    return [(case, shape) for case in cases() if case[1] != "mlp" and shapes_of(case[0]) == SHAPES for shape in LARGE]


def each_pair(some_pairs: list[Pair]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("case", "shape"), some_pairs, ids=label)


def some(shape: Shape, count: int = 5) -> torch.Tensor:
    return noise_images(shape).batch(torch.arange(count))


def told(model: LatentModel, count: int = 5) -> dict[str, Tensor]:
    """What a model is told of these images."""
    return noise_images(model.shape).given(torch.arange(count), model)


def equal(one: Tensor, other: Tensor) -> bool:
    """The same numbers, and hidden pixels (NaN) at the same places."""
    shown = [values.nan_to_num(9.0) if values.is_floating_point() else values for values in (one, other)]
    return one.dtype == other.dtype and torch.equal(*shown)


def config_of(case: tuple[str, str | None], shape: Shape, weights: str = "float32") -> Config:
    kind = models.get(case[0])
    return Config(
        model=case[0],
        options=kind.Options.read(options_of(*case)).model_dump(mode="json"),
        shape=shape,
        data=Data(name="digits"),
        training={},
        command="",
        trained=now(),
        parameters=0,
        steps_done=0,
        weights=weights,
        versions={},
    )


def dims_of(part: Part) -> int:
    assert isinstance(part, Gaussian | Label)
    return part.dims if isinstance(part, Gaussian) else part.size
