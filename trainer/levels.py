"""What models with several levels of latents share: the parts z1 (nearest the image) to zL, their nets and their loss.

Each part is in units of its own prior: whatever the model, its values are independent N(0, 1) under p.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch.nn.functional as F
from pydantic import Field, field_validator
from torch import Tensor, nn

from trainer import formulas, nets
from trainer.distributed import all_mean
from trainer.latent import Gaussian, Latent
from trainer.observed import Observed, ObservedOptions
from trainer.probability import gaussian_log_prob, per_image
from trainer.trainable import NOTHING, Piece, Shape

LEAST_VAR = 1e-6


class LevelsOptions(ObservedOptions, nets.NetOptions):
    """The levels, from the one nearest the image upward, and what weighs their KL."""

    hidden: nets.Widths = Field(
        (512, 256, 128, 64, 32),
        max_length=8,
        description="width of the two layers below each level, from the image upward; the last one counts for all that "
        "follow; none at all is linear",
    )
    latents: tuple[int, ...] = Field(
        (64, 32, 16, 8, 4),
        min_length=1,
        max_length=8,
        description="latent dimensions of each level, from the one nearest the image upward",
    )
    batch_norm: bool = Field(True, description="normalise each hidden layer over the batch")
    warmup: int = Field(0, ge=0, le=10_000_000, description="steps over which the KL's weight rises from 0 to 1")
    free_bits: float = Field(
        0.0, ge=0, le=1000, description="KL in nats per level, in the batch mean, that the loss does not count"
    )
    samples: int = Field(1, ge=1, le=1000, description="draws of z per image in each gradient, S")

    @field_validator("latents")
    @classmethod
    def _dims(cls, latents: tuple[int, ...]) -> tuple[int, ...]:
        if any(not 1 <= dims <= 512 for dims in latents):
            raise ValueError("each level must have from 1 to 512 dimensions")
        return latents

    def width(self, level: int) -> int | None:
        """Of the hidden layers between a level (0 is nearest the image) and what is below it; None for linear maps."""
        return self.hidden[min(level, len(self.hidden) - 1)] if self.hidden else None


class Normal(nn.Linear):
    """(b, inputs) -> mean and log-variance of a Gaussian with `dims` dimensions, each (b, dims)."""

    def __init__(self, inputs: int, dims: int) -> None:
        super().__init__(inputs, 2 * dims)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        mean, raw = super().forward(x).chunk(2, dim=1)
        return mean, (F.softplus(raw) + LEAST_VAR).log()  # grows slowly, where exp of a raw value could run away


def layers(before: int, options: LevelsOptions, level: int) -> tuple[list[nn.Module], int]:
    """The two layers that stand between a level and what is below it, in either direction, and how wide they end."""
    width = options.width(level)
    if width is None:
        return [], before
    found: list[nn.Module] = []
    for inputs in (before, width):
        if options.batch_norm:
            found += [nn.Linear(inputs, width, bias=False), nn.BatchNorm1d(width), nn.LeakyReLU(0.1)]
        else:
            found += [nn.Linear(inputs, width), nn.LeakyReLU(0.1)]
    return found, width


class Leveled(Observed):
    """A model whose space is zL, …, z1, each standard normal under the prior."""

    Options: ClassVar[type[LevelsOptions]] = LevelsOptions
    options: LevelsOptions
    unit = "one standard deviation of its prior"
    seen: ClassVar[str] = "z"  # what p(x|·) depends on

    def __init__(self, shape: Shape, options: Any) -> None:
        super().__init__(shape, options)
        dims = list(enumerate(options.latents, 1))
        self.space = {f"z{level}": Gaussian(d, self.unit) for level, d in reversed(dims)}
        self.names = [f"z{level}" for level, _ in dims]  # nearest the image first
        self.add_knob("beta", 1.0)

    def check(self, z: Latent) -> None:
        """Raise ValueError that names the first part of the wrong shape."""
        for name, part in self.space.items():
            part.check(name, z[name])

    def log_prior(self, z: Latent, given: Mapping[str, Tensor] = NOTHING) -> Tensor:
        """log p of the parts in units of their prior, (s, b); `infer` has q's density in the same units."""
        rows = [per_image(gaussian_log_prob(z[name], 0.0, 1.0), 2) for name in self.names]
        return sum(rows[1:], rows[0])

    def learned_from(self, x: Tensor) -> Tensor:
        if self.training and self.options.batch_norm and len(x) < 2:
            raise ValueError("batch_norm needs 2 or more images in a step of each process, got 1: take --no-batch-norm")
        return super().learned_from(x)

    def loss(self, terms: Mapping[str, Tensor]) -> Tensor:
        """Reconstruction + β Σ over levels of their KL, or of the free bits where it is less (Kingma et al. 2016)."""
        levels = [per_image(terms[f"kl/{name}"]).mean() for name in self.names]
        if self.options.free_bits:
            levels = [all_mean(level).clamp(min=self.options.free_bits) for level in levels]
        return terms["reconstruction"].mean() + self.knobs["beta"] * sum(levels[1:], levels[0])

    def objective(self, terms: Mapping[str, Tensor]) -> list[Piece]:
        beta, free = self.knobs["beta"], self.options.free_bits
        pieces = [self.reconstruction(terms, self.seen)]
        for level in range(len(self.names), 0, -1):
            name = f"kl/z{level}"
            latex, symbols = rf"\beta\, {self.kl_latex(level)}", {r"\beta": beta}
            about = f"How much level {level} says of the image" + " beyond the levels above it" * (
                level < len(self.names)
            )
            if free:
                over = all_mean(per_image(terms[name]).mean()).clamp(min=free)
                latex = rf"\beta\, \max\big(\lambda, {self.kl_latex(level)}\big)"
                about += ", in the mean over a batch, and at least the free bits λ"
                pieces.append(Piece(latex, about, beta * over, (name,), {**symbols, r"\lambda": free}))
            else:
                pieces.append(self.piece(terms, latex, about, name, weight=beta, symbols=symbols))
        return pieces

    def kl_latex(self, level: int) -> str:
        """The KL of a level, 1 nearest the image, in LaTeX."""
        return formulas.kl(rf"q(z_{level} \mid x)", rf"p(z_{level})")

    def schedule(self, step: int) -> dict[str, float]:
        return {"beta": min(1.0, step / self.options.warmup)} if self.options.warmup else {}

    def facts(self) -> dict[str, str]:
        draws = f"{self.options.samples} draw{'s' if self.options.samples > 1 else ''}"
        return {**super().facts(), "estimator": f"{draws} of all levels per image, as in training"}
