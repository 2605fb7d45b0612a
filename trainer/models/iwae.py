"""The importance-weighted autoencoder (Burda et al. 2016): a VAE that is trained on a tighter bound.

    w_s  = p(x|z_s) p(z_s) / q(z_s|x),   z_1 … z_S from q(z|x)
    loss = −E log 1/S Σ w_s

Its terms are the ELBO's, averaged over the draws, and how much tighter the bound of all S is: "extra/tightening" is at
most 0, and 0 for S = 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field
from torch import Tensor

from trainer import formulas
from trainer.models.vae import VAE, VAEOptions
from trainer.probability import (
    gaussian_log_prob,
    log_mean_exp,
    reparameterise,
    reparameterised_log_prob,
)
from trainer.trainable import EXTRA, NOTHING, Piece, total


class IWAEOptions(VAEOptions):
    """How many draws the bound is of."""

    samples: int = Field(5, ge=1, le=1000, description="draws of z per image whose weights are averaged, S")


class IWAE(VAE):
    """The VAE's nets, prior and likelihood, under L_S."""

    Options: ClassVar[type[IWAEOptions]] = IWAEOptions
    options: IWAEOptions

    def terms(self, x: Tensor, given: Mapping[str, Tensor] = NOTHING) -> dict[str, Tensor]:
        x = self.learned_from(x)
        mean, log_var = self.posterior(x)
        noise = self.draw_noise(self.options.samples, *mean.shape)  # (s, b, d)
        z = reparameterise(mean, log_var, noise)
        out = self.out({"z": z.flatten(0, 1)}).unflatten(0, z.shape[:2])  # (s, b, c, h, w)
        log_p = self.log_p(x, out)  # (s, b)
        ratio = reparameterised_log_prob(log_var, noise) - gaussian_log_prob(z, 0.0, 1.0)  # (s, b, d), log q / p
        log_w = log_p - ratio.sum(2)
        return {
            "reconstruction": -log_p.mean(0),  # (b,)
            "kl/z": ratio.mean(0),  # (b, d), estimated from the same draws
            "extra/tightening": log_w.mean(0) - log_mean_exp(log_w),  # (b,)
        }

    @property
    def kl_weight(self) -> float | None:
        return 1.0 if self.options.samples == 1 else None

    def loss(self, terms: Mapping[str, Tensor]) -> Tensor:
        means = total(terms)
        return (means["loss"] + means[EXTRA]).mean()

    def objective(self, terms: Mapping[str, Tensor]) -> list[Piece]:
        mean, symbols = r"\tfrac1S \textstyle\sum_s ", {"S": self.options.samples}
        return [
            self.reconstruction(terms, "z_s", mean),
            self.piece(
                terms, mean + r"\log \tfrac{q(z_s \mid x)}{p(z_s)}",
                "How much z says of the image: the KL to the prior, from the same draws", "kl/z", symbols=symbols,
            ),
            self.piece(
                terms, formulas.lines(
                    mean + r"\log w_s - \log \tfrac1S \textstyle\sum_s w_s",
                    r"w_s = \tfrac{p(x \mid z_s)\, p(z_s)}{q(z_s \mid x)}",
                ),
                "How much lower the loss is because the weights are averaged before the logarithm is taken",
                "extra/tightening", symbols=symbols,
            ),
        ]  # fmt: skip

    def facts(self) -> dict[str, str]:
        draws = f"{self.options.samples} draw{'s' if self.options.samples > 1 else ''} of z"
        return {**super().facts(), "estimator": f"KL and reconstruction from {draws} per image, which train on L_S"}
