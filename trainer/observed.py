"""p(x|z), in one place for all models whose decoder gives one number per pixel.

p(x|z) = Bernoulli(sigmoid(g(z)))   or   N(g(z), σ² I), σ fixed or learned

Grey pixels under a Bernoulli are taken as they are, a cross-entropy, or as the probabilities of black and white ones,
drawn anew at each step ("dynamic" binarisation; Burda et al. 2016 and most published figures for MNIST).
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from trainer import distributed, formulas
from trainer.latent import Density, Latent, LatentModel
from trainer.options import Options, needs
from trainer.probability import (
    bernoulli_log_likelihood,
    bernoulli_log_prob,
    gaussian_log_prob,
    per_image,
    reparameterise,
)
from trainer.trainable import Piece, Shape

MISSED = "How far the image is from what z decodes to, in the mean over draws of z"

AS_THEY_ARE = ", pixels as they are"


class ObservedOptions(Options):
    """What p(x|z) is."""

    likelihood: Literal["bernoulli", "gaussian", "learned"] = Field(
        "bernoulli", description="p(x|z): bernoulli; gaussian with the std below; learned: gaussian, its std learned"
    )
    std: float = Field(
        0.1,
        ge=1e-3,
        le=100,
        description="std of a gaussian p(x|z), of the grey range 0 to 1; where a learned one starts",
        json_schema_extra=needs(likelihood=["gaussian", "learned"]),
    )
    binarise: Literal["none", "dynamic"] = Field(
        "none",
        description="none: grey pixels as they are; dynamic: each pixel black or white, drawn anew at each step",
        json_schema_extra=needs(likelihood=["bernoulli"]),
    )


class Observed(Density, LatentModel):
    """A model with one decoder g, whose output `out` says what p(x|z) is."""

    Options: ClassVar[type[Options]] = ObservedOptions

    def __init__(self, shape: Shape, options: Any) -> None:
        super().__init__(shape, options)
        log_var = torch.tensor(2 * math.log(options.std))
        if options.likelihood == "learned":
            self.log_var = nn.Parameter(log_var)
        else:
            self.register_buffer("log_var", log_var, persistent=False)

    def out(self, z: Latent) -> Tensor:
        """g(z): the logits of a Bernoulli, the means of a Gaussian, (b, c, h, w). Raises ValueError for a wrong z."""
        raise NotImplementedError

    def decode(self, z: Latent) -> Tensor:
        out = self.out(z)
        return out.sigmoid() if self.options.likelihood == "bernoulli" else out.clamp(0, 1)

    def log_likelihood(self, x: Tensor, z: Latent, visible: Tensor | None = None) -> Tensor:
        flat = {name: values.flatten(0, 1) for name, values in z.items()}
        samples = next(iter(z.values())).shape[0]
        return self.log_p(self.looked_at(x), self.out(flat).unflatten(0, (samples, -1)), visible)

    def log_p(self, x: Tensor, out: Tensor, visible: Tensor | None = None) -> Tensor:
        """log p(x|z), (s, b), of `out` (s, b, c, h, w); x (b, c, h, w) as `learned_from` or `looked_at` has it."""
        if self.options.likelihood == "bernoulli":
            if visible is None:
                return bernoulli_log_likelihood(x, out)
            each = bernoulli_log_prob(x, out)
        else:
            each = gaussian_log_prob(x, out, self.log_var.exp())
        return per_image(each if visible is None else each * visible, 2)

    def draw(self, z: Latent, generator: torch.Generator | None = None) -> Tensor:
        out = self.out(z)
        if self.options.likelihood == "bernoulli":
            return (torch.rand(out.shape, generator=generator).to(out) < out.sigmoid()).to(out.dtype)
        return reparameterise(out, self.log_var, torch.randn(out.shape, generator=generator).to(out)).clamp(0, 1)

    def learned_from(self, x: Tensor) -> Tensor:
        """The images that `terms` is about, (b, c, h, w): drawn anew while training, the same ones each time after."""
        if not self.training or self.options.binarise == "none":
            return self.looked_at(x)
        return self.binarised(x).to(x.dtype)

    def binarised(self, x: Tensor) -> Tensor:
        """Each pixel white, or black, by lot, (b, c, h, w) bool: as white as it is grey."""
        level = torch.rand(len(x) * distributed.world(), *x.shape[1:], device=x.device)  # each process has its slice
        return level[distributed.part(len(x))] < x

    def looked_at(self, x: Tensor) -> Tensor:
        """The images that a bound is about, (b, c, h, w): where they are binarised, each is drawn from a seed of its
        own pixels, so that it is the same at each look. What is black and white already stays; if it is bool it is not
        even looked through.
        """
        if x.dtype == torch.bool:
            return x.to(self.log_var.dtype)
        if self.options.binarise == "none":
            return x
        seeds = [zlib.crc32(image.numpy().tobytes()) for image in x.detach().cpu().contiguous()]
        level = torch.stack([torch.rand(x.shape[1:], generator=torch.Generator().manual_seed(seed)) for seed in seeds])
        return (level.to(x) < x).to(x.dtype)

    # ---- its formula

    def reconstruction(
        self, terms: Mapping[str, Tensor], given: str = "z", over: str = r"\mathbb{E}_q", about: str = MISSED
    ) -> Piece:
        """−log p(x|`given`) averaged `over` what is drawn, of the term "reconstruction"."""
        g, symbols = f"g({given.replace(' ', '')})", dict[str, Tensor | float]()
        if self.options.likelihood == "bernoulli":
            expanded = formulas.bernoulli(g)
            kinds = {"none": "grey pixels as probabilities", "dynamic": "each pixel drawn black or white"}
            family = f"Bernoulli, {kinds[self.options.binarise]}"
        else:
            expanded = formulas.gaussian(g)
            symbols = {r"\sigma": (0.5 * self.log_var.detach()).exp(), "D": self.pixels}
            family = f"Gaussian, σ {'learned' if self.options.likelihood == 'learned' else 'fixed'}"
        latex = formulas.lines(rf"-{over}\big[\log p(x \mid {given})\big]", *expanded)
        return self.piece(terms, latex, f"{about} ({family})", "reconstruction", symbols=symbols)

    @property
    def likelihood(self) -> str:
        return self.family.removesuffix(AS_THEY_ARE)

    @property
    def family(self) -> str:
        if self.options.likelihood != "bernoulli":
            return "Gaussian"
        return f"Bernoulli{AS_THEY_ARE}" if self.options.binarise == "none" else "Bernoulli, binarised"

    @property
    def pixel_std(self) -> float | None:
        return None if self.options.likelihood == "bernoulli" else float((0.5 * self.log_var.detach()).exp())

    def facts(self) -> dict[str, str]:
        more = {"bernoulli": "on grey pixels a cross-entropy", "gaussian": "σ fixed", "learned": "σ learned"}
        found = {"p(x|z)": f"{self.likelihood}, {more[self.options.likelihood]}"}
        if self.options.binarise == "dynamic":
            found["p(x|z)"] = "Bernoulli, each grey pixel drawn black or white: anew at each step, once where measured"
        if self.options.likelihood != "bernoulli":
            found["σ of p(x|z)"] = f"{self.pixel_std:.4f} of the grey range"
        return found
