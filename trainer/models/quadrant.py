"""The hidden quadrants of an image from the visible ones, by a conditional VAE (Sohn et al. 2015).

    p(z | visible)         = N(m(visible), diag s²(visible))                          prior net
    p(hidden | visible, z) = Bernoulli(sigmoid(g(visible, z)))                        generation net
    q(z | x)               = N(m(x), diag v(x)), x the whole image                    recognition net
    loss                   = −E_q[log p(hidden | visible, z)] + KL(q(z|x) ‖ p(z|visible))

The part "z" is in units of the prior net, (z − m(visible)) / s(visible), so that it is standard normal whatever is
visible. The negative conditional log-likelihood is the importance-weighted bound with S = 100 draws of q. Which
quadrants are visible and what compares with published numbers: see `quadrant_baseline`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from trainer import formulas, nets
from trainer.latent import Gaussian, Latent
from trainer.models.quadrant_baseline import QuadrantBaseline, QuadrantBaselineOptions
from trainer.noise import normal
from trainer.probability import (
    gaussian_log_prob,
    kl_between,
    per_image,
    reparameterise,
    reparameterised_log_prob,
)
from trainer.trainable import NOTHING, Piece, Shape


class QuadrantOptions(QuadrantBaselineOptions):
    """The baseline's, for each of three nets, and the latent."""

    latents: int = Field(50, ge=1, le=512, description="number of latent dimensions M")


class Quadrant(QuadrantBaseline):
    """Many completions: one for each z that the prior net finds likely."""

    Options: ClassVar[type[QuadrantOptions]] = QuadrantOptions
    options: QuadrantOptions
    draws: ClassVar[int] = 100

    def __init__(self, shape: Shape, options: QuadrantOptions) -> None:
        super().__init__(shape, options)
        self.space["z"] = Gaussian(options.latents, "one standard deviation of p(z|visible)")
        widths = [self.pixels, *options.hidden, 2 * options.latents]
        self.prior_net, self.recognition = (nets.Net(*nets.fully_connected(widths)) for _ in range(2))

    @property
    def inputs(self) -> int:
        return self.pixels + self.options.latents

    def prior_of(self, visible: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of p(z|visible), each (b, d)."""
        mean, log_var = self.prior_net(self.code(visible)).chunk(2, dim=1)
        return mean, log_var

    def recognise(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z|x), each (b, d)."""
        mean, log_var = self.recognition(self.code(x)).chunk(2, dim=1)
        return mean, log_var

    def generate(self, visible: Tensor, raw: Tensor) -> Tensor:
        """Logits of every pixel, (b, c, h, w), from z in the nets' own units."""
        return self.generation(torch.cat([self.code(visible), raw], dim=1)).unflatten(1, self.shape)

    def logits(self, z: Latent) -> Tensor:
        return self.generate(z["visible"], reparameterise(*self.prior_of(z["visible"]), z["z"]))

    def posterior(self, x: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z|x) in units of p(z|visible), each (b, d)."""
        (mean, log_var), (prior_mean, prior_log_var) = self.recognise(x), self.prior_of(visible)
        return (mean - prior_mean) * (-0.5 * prior_log_var).exp(), log_var - prior_log_var

    def encode(self, x: Tensor, given: Mapping[str, Tensor] = NOTHING) -> Latent:
        visible = given.get("visible", self.hide(x))
        return {"visible": visible, "z": self.posterior(x, visible)[0], **given}

    def points(self, z: Latent) -> Tensor:
        """What fills in the rest, z, (b, d)."""
        return z["z"]

    def terms(self, x: Tensor, given: Mapping[str, Tensor] = NOTHING) -> dict[str, Tensor]:
        visible = self.hide(x)
        (mean, log_var), prior = self.recognise(x), self.prior_of(visible)
        raw = reparameterise(mean, log_var, self.draw_noise(1, *mean.shape)[0])
        return {
            "reconstruction": -self.log_prob_hidden(x, self.generate(visible, raw), visible),  # (b,)
            "kl/z": kl_between(mean, log_var, *prior),  # (b, d)
        }

    def objective(self, terms: Mapping[str, Tensor]) -> list[Piece]:
        latex = formulas.lines(formulas.kl(r"q(z \mid x)", r"p(z \mid x_V)"), f"= {formulas.BETWEEN}")
        about = "How much z says of the hidden pixels: how far q, N(m, v), is from the prior net's N(n, u)"
        hidden = self.hidden_piece(terms, r"\mathbb{E}_q", r"x_V, z")
        return [hidden, self.piece(terms, latex, about, "kl/z")]

    def infer(
        self, x: Tensor, samples: int, given: Mapping[str, Tensor] = NOTHING, generator: torch.Generator | None = None
    ) -> tuple[Latent, Tensor]:
        seen, _ = super().infer(x, samples, given)
        mean, log_var = self.posterior(x, seen["visible"][0])
        noise = normal((samples, *mean.shape), mean, generator)
        z = reparameterise(mean, log_var, noise)
        return {**seen, "z": z}, per_image(reparameterised_log_prob(log_var, noise), 2)

    def log_likelihood(self, x: Tensor, z: Latent, visible: Tensor | None = None) -> Tensor:
        seen = z["visible"]
        once = seen[:1] if seen.stride(0) == 0 else seen  # where it is expanded, the prior net need not read each draw
        mean, log_var = (values.unflatten(0, once.shape[:2]) for values in self.prior_of(once.flatten(0, 1)))
        raw = reparameterise(mean, log_var, z["z"])  # (s, b, d)
        out = self.generate(seen.flatten(0, 1), raw.flatten(0, 1)).unflatten(0, raw.shape[:2])
        return self.log_prob_hidden(x, out, seen if visible is None else seen.masked_fill(visible == 0, 0))

    def log_prior(self, z: Latent, given: Mapping[str, Tensor] = NOTHING) -> Tensor:
        """log p(z|visible), (s, b)."""
        return per_image(gaussian_log_prob(z["z"], 0.0, 1.0), 2)

    def facts(self) -> dict[str, str]:
        return {
            **super().facts(),
            "estimator": "KL in closed form, reconstruction from 1 draw of z per image, as in training; negative CLL: "
            f"importance-weighted bound with {self.draws} draws of q(z|x) per image",
        }
