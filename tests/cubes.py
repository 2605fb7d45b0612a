"""Images whose factors are known, and a model whose codes are these factors."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from trainer.data import Images
from trainer.models.vae import VAE, VAEOptions


def cubes(images: int = 60, keep: Sequence[int] = (0, 1, 2)) -> tuple[Images, VAE]:
    """Images of three pixels, each one factor, and a model whose first dimensions are these. Other factors than those
    that are kept are constant.
    """
    torch.manual_seed(0)
    levels = torch.cartesian_prod(torch.arange(4), torch.arange(5), torch.arange(3))[:images]
    levels[:, [factor for factor in range(3) if factor not in keep]] = 0
    pixels = torch.zeros(len(levels), 1, 1, 3, dtype=torch.uint8)
    pixels[:, 0, 0] = (levels * 60).byte()
    model = VAE((1, 1, 3), VAEOptions(hidden=(), latents=3, likelihood="gaussian", std=0.1))
    with torch.no_grad():
        model.encoder[1].weight.copy_(torch.cat([10 * torch.eye(3), torch.zeros(3, 3)]))
    return Images("cubes", pixels, levels=levels, factor_names=("a", "b", "c")), model
