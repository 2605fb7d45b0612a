"""Every model learns: a short training beats the mean image."""

from __future__ import annotations

from functools import cache

import torch
from contract import LARGE, Pair, cases, each_pair, options_of, shapes_of
from torch import Tensor

from trainer import models
from trainer.data import Images
from trainer.train import TrainOptions, train
from trainer.trainable import Shape


@cache
def blobs(shape: Shape) -> Images:
    """64 images of one soft blob each, which moves about: what a few latent dimensions can tell."""
    generator = torch.Generator().manual_seed(0)
    c, h, w = shape
    centre = 0.2 + 0.6 * torch.rand(64, 2, 1, 1, generator=generator)
    tint = 0.5 + 0.5 * torch.rand(64, c, 1, 1, generator=generator)
    y, x = torch.linspace(0, 1, h)[:, None], torch.linspace(0, 1, w)
    distance = (y - centre[:, 0]).square() + (x - centre[:, 1]).square()  # (64, h, w)
    pixels = (255 * tint * (-distance / 0.04).exp()[:, None]).round().to(torch.uint8)
    return Images("blobs", pixels, (3 * (centre[:, 0, 0, 0] - 0.2) / 0.6).long(), ("high", "middle", "low"))


def trained() -> list[Pair]:
    """Each model with each net once; and the layers that models share on a large image."""
    of = {"mlp": slice(1), "conv": slice(1, 2), None: slice(2)}
    each = [(case, shape) for case in cases() for shape in shapes_of(case[0])[of[case[1]]]]
    return [*each, (("vae", "conv"), LARGE[1])]


@each_pair(trained())
def test_a_short_training_beats_the_mean_image(case: tuple[str, str | None], shape: Shape) -> None:
    images = blobs(shape)
    torch.manual_seed(0)
    kind = models.get(case[0])
    fields = kind.Options.model_fields
    quick = {
        "hidden": (64,),
        "binarise": "none",
        "samples": 1,  # of the weights of many draws of so many pixels one is all, and most steps learn little
        **({"likelihood": "gaussian", "std": 0.05} if "std" in fields else {}),
    }
    model = kind(shape, kind.Options.read({**options_of(*case), **{k: v for k, v in quick.items() if k in fields}}))
    x = images.batch(torch.arange(64))
    mean_image = (x - x.mean(0)).square().mean()

    def error() -> Tensor:
        with torch.no_grad():
            return (model.eval().decode(model.encode(x)) - x).square().mean()

    if not model.begin(images):
        options = TrainOptions(steps=240, batch=16, rate=3e-3, decay=False, every=20)
        for _ in train(model, images, options):
            model.end(images)
            if error() < 0.8 * mean_image:
                break
            model.train()
    assert error() < 0.8 * mean_image
