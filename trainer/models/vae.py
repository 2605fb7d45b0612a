"""The variational autoencoder (Kingma and Welling 2014).

p(z)   = N(0, I)
p(x|z) = Bernoulli(sigmoid(g(z)))   or   N(g(z), σ² I), σ fixed or learned
q(z|x) = N(m(x), diag v(x))
loss   = −E_q[log p(x|z)] + KL(q(z|x) ‖ p(z))
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from trainer import formulas, nets
from trainer.latent import Gaussian, Latent
from trainer.linear import LinearGaussian
from trainer.noise import normal
from trainer.observed import Observed, ObservedOptions
from trainer.probability import (
    gaussian_log_prob,
    kl_to_standard,
    per_image,
    reparameterise,
    reparameterised_log_prob,
)
from trainer.trainable import NOTHING, Piece, Shape, Symbols

TOLD = "How much z says of the image: how far its posterior N(m, v) is from the prior N(0, 1)"


class VAEOptions(ObservedOptions, nets.NetOptions):
    """The size of the latent, what p(x|z) is, and the nets."""

    latents: int = Field(10, ge=1, le=512, description="number of latent dimensions M")
    samples: int = Field(1, ge=1, le=1000, description="draws of z per image in each gradient, S")


class VAE(Observed):
    """Gaussian posterior with a diagonal covariance, standard normal prior."""

    Options: ClassVar[type[VAEOptions]] = VAEOptions
    options: VAEOptions

    def __init__(self, shape: Shape, options: VAEOptions) -> None:
        super().__init__(shape, options)
        self.space = {"z": Gaussian(options.latents)}
        self.encoder = nets.encoder(shape, options, 2 * options.latents)
        self.decoder = nets.decoder(shape, options, options.latents)

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z|x), each (b, d)."""
        mean, log_var = self.encoder(x).chunk(2, dim=1)
        return mean, log_var

    def diagonal(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.posterior(self.looked_at(x))

    def linear(self) -> LinearGaussian | None:
        if self.options.likelihood == "bernoulli" or self.options.net != "mlp" or self.options.hidden:
            return None
        layer = self.decoder[0]
        assert isinstance(layer, nn.Linear)
        return LinearGaussian(layer.weight, layer.bias, self.log_var.exp())

    def encode(self, x: Tensor, given: Mapping[str, Tensor] = NOTHING) -> Latent:
        return {"z": self.posterior(self.looked_at(x))[0], **given}

    def out(self, z: Latent) -> Tensor:
        self.space["z"].check("z", z["z"])
        out: Tensor = self.decoder(z["z"])
        return out

    def terms(self, x: Tensor, given: Mapping[str, Tensor] = NOTHING) -> dict[str, Tensor]:
        x = self.learned_from(x)
        mean, log_var = self.posterior(x)
        noise = self.draw_noise(self.options.samples, *mean.shape)  # (s, b, d)
        z = reparameterise(mean, log_var, noise)
        out = self.out({"z": z.flatten(0, 1)}).unflatten(0, z.shape[:2])  # (s, b, c, h, w)
        return {
            "reconstruction": -self.log_p(x, out).mean(0),  # (b,)
            "kl/z": kl_to_standard(mean, log_var),  # (b, d)
        }

    def objective(self, terms: Mapping[str, Tensor]) -> list[Piece]:
        return [self.reconstruction(terms), self.kl_piece(terms)]

    def kl_piece(
        self, terms: Mapping[str, Tensor], latex: str = "{}", weight: Tensor | float = 1.0, symbols: Symbols = NOTHING
    ) -> Piece:
        """KL(q(z|x) ‖ p(z)), weighted as `latex` says, with {} for itself."""
        left = latex.format(formulas.kl(r"q(z \mid x)", "p(z)"))
        closed = rf"\mathrm{{KL}} = {formulas.STANDARD}"
        return self.piece(terms, formulas.lines(left, closed), TOLD, "kl/z", weight=weight, symbols=symbols)

    def infer(
        self, x: Tensor, samples: int, given: Mapping[str, Tensor] = NOTHING, generator: torch.Generator | None = None
    ) -> tuple[Latent, Tensor]:
        mean, log_var = self.posterior(self.looked_at(x))
        noise = normal((samples, *mean.shape), mean, generator)
        return {"z": reparameterise(mean, log_var, noise)}, per_image(reparameterised_log_prob(log_var, noise), 2)

    def log_prior(self, z: Latent, given: Mapping[str, Tensor] = NOTHING) -> Tensor:
        return per_image(gaussian_log_prob(z["z"], 0.0, 1.0), 2)

    def facts(self) -> dict[str, str]:
        draws = f"{self.options.samples} draw{'s' if self.options.samples > 1 else ''} of z"
        estimator = f"KL in closed form, reconstruction from {draws} per image, as in training"
        return {**super().facts(), "estimator": estimator}
