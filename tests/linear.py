"""Images with known eigenvalues, and the options of a linear model of them."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import torch
from torch import Tensor

from trainer.data import Images
from trainer.models.pca import PCAOptions
from trainer.models.ppca import ProbabilisticPCA

EIGENVALUES = (9.0, 4.0, 1.0, 0.5, 0.25, 0.25)
SHAPE = (1, 2, 3)
COUNT = 256
VAR = 0.5  # of p(x|z), and the mean of the four eigenvalues that two latents leave out
LOG_EVIDENCE = -8.919096
LINEAR: dict[str, Any] = {"net": "mlp", "hidden": (), "likelihood": "gaussian", "std": math.sqrt(VAR), "samples": 8}


@cache
def linear_images() -> Images:
    """Float images whose covariance, with 1/n, has exactly these eigenvalues, in a random rotation, off centre."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(COUNT, 6, generator=generator, dtype=torch.float64)
    white = torch.linalg.svd(noise - noise.mean(0), full_matrices=False)[0] * math.sqrt(COUNT)
    rotation = torch.linalg.qr(torch.randn(6, 6, generator=generator, dtype=torch.float64))[0]
    scale = torch.tensor(EIGENVALUES, dtype=torch.float64).sqrt()
    x = (white * scale) @ rotation.T + torch.linspace(-1, 2, 6, dtype=torch.float64)
    return Images("linear", x.float().view(COUNT, *SHAPE))


def all_of_them() -> Tensor:
    return linear_images().batch(torch.arange(COUNT))


@cache
def ppca() -> ProbabilisticPCA:
    model = ProbabilisticPCA(SHAPE, PCAOptions(latents=2))
    assert model.begin(linear_images())
    return model
