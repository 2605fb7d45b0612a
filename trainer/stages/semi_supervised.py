"""Semi-supervised classes on a VAE's latents (M1+M2 of Kingma et al. 2014).

The model below, M1, is trained without labels; its latents z1 are the data of this stage, an M2 with a Gaussian
p(z1|z,y). In training each z1 is one of several draws from q(z1|x), and elsewhere its mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from trainer import distributed
from trainer.data import Images
from trainer.latent import Density, Gaussian, LatentModel
from trainer.models.semi_supervised import SemiSupervised, SemiSupervisedOptions
from trainer.stage import Stage
from trainer.trainable import NOTHING, Track

DRAWS = 8  # of q(z1|x) for each image, which training takes turns with
ROWS = 256  # images that are encoded at once


class LatentOptions(SemiSupervisedOptions):
    """M2's, where what it describes is a latent."""

    net: Literal["mlp"] = Field("mlp", description="a latent has no rows and columns")
    classifier_net: Literal["mlp"] = Field("mlp", description="a latent has no rows and columns")
    channels: Literal[32] = Field(32, description="has no effect: a latent has no rows and columns")
    binarise: Literal["none"] = Field("none", description="a latent has no grey")
    likelihood: Literal["gaussian", "learned"] = Field(
        "learned", description="p(z1|z,y): gaussian with the std below; learned: its std learned"
    )
    std: float = Field(1.0, ge=1e-3, le=100, description="std of p(z1|z,y); where a learned one starts")


class SemiSupervisedLatents(Stage, SemiSupervised):
    """q(y|z1), from few labels."""

    Options: ClassVar[type[LatentOptions]] = LatentOptions
    options: LatentOptions

    def __init__(self, base: LatentModel, options: LatentOptions) -> None:
        parts = {name: part for name, part in base.space.items() if isinstance(part, Gaussian)}
        if len(base.space) != 1 or not parts or not isinstance(base, Density):
            there = ", ".join(f"{name} ({type(part).__name__})" for name, part in base.space.items())
            raise ValueError(
                "semi_supervised stands on a model with one Gaussian part that it has a posterior of, as a VAE's; this "
                f"one has {there}"
            )
        ((self.part, gaussian),) = parts.items()
        SemiSupervised.__init__(self, (1, 1, gaussian.dims), options)

    def images_of(self, base: LatentModel, images: Images, track: Track[Tensor] = iter) -> Images:
        """Of each image the mean of q(z1|x), and draws from it, (n, 1 + draws, 1, d), with the labels."""
        assert isinstance(base, Density)
        generator, found = torch.Generator().manual_seed(0), []
        with torch.no_grad():
            for rows in track(torch.arange(len(images)).split(ROWS)):
                x = images.batch(rows, base.device)
                draws = base.infer(x, DRAWS, generator=generator)[0][self.part]  # (s, b, d)
                found.append(torch.cat([base.encode(x)[self.part][None], draws]).transpose(0, 1).cpu())
        return Images(images.name, torch.cat(found)[:, :, None], images.labels, images.class_names, told=images.told)

    def terms(self, x: Tensor, given: Mapping[str, Tensor] = NOTHING) -> dict[str, Tensor]:
        """Of latents (b, 1 + draws, 1, d), one draw of each while training, and else the mean."""
        if self.training:
            draw = torch.randint(1, x.shape[1], (len(x) * distributed.world(),), device=x.device)
            x = x[torch.arange(len(x), device=x.device), draw[distributed.part(len(x))], None]
        return super().terms(x[:, :1], given)

    def each_class(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return super().each_class(x[:, :1])

    def facts(self) -> dict[str, str]:
        return {
            "learns from": f"{self.shape[2]} latents `{self.part}`, drawn from the posterior; measured at its mean",
            "std of p(z1|z,y)": f"{float((0.5 * self.log_var.detach()).exp()):.4f} of a latent's unit",
        }
