"""The variational autoencoder (Kingma and Welling 2014).

p(z)   = N(0, I)
p(x|z) = Bernoulli(sigmoid(g(z)))   or   N(g(z), σ² I), σ fixed or learned
q(z|x) = N(m(x), diag v(x))
loss   = −E_q[log p(x|z)] + KL(q(z|x) ‖ p(z))
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from trainer import nets
from trainer.latent import Density, Gaussian, Latent, LatentModel
from trainer.options import needs
from trainer.probability import (
    bernoulli_log_prob,
    gaussian_log_prob,
    kl_to_standard,
    per_image,
    reparameterise,
    reparameterised_log_prob,
)
from trainer.trainable import NOTHING, Shape


class VAEOptions(nets.NetOptions):
    """The size of the latent, what p(x|z) is, and the nets."""

    latents: int = Field(10, ge=1, le=512, description="number of latent dimensions M")
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
    samples: int = Field(1, ge=1, le=1000, description="draws of z per image in each gradient, S")


class VAE(Density, LatentModel):
    """Gaussian posterior with a diagonal covariance, standard normal prior."""

    Options: ClassVar[type[VAEOptions]] = VAEOptions
    options: VAEOptions

    def __init__(self, shape: Shape, options: VAEOptions) -> None:
        super().__init__(shape, options)
        self.space = {"z": Gaussian(options.latents)}
        self.encoder = nets.encoder(shape, options, 2 * options.latents)
        self.decoder = nets.decoder(shape, options, options.latents)
        log_var = torch.tensor(2 * math.log(options.std))
        if options.likelihood == "learned":
            self.log_var = nn.Parameter(log_var)
        else:
            self.register_buffer("log_var", log_var, persistent=False)

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z|x), each (b, d)."""
        mean, log_var = self.encoder(x).chunk(2, dim=1)
        return mean, log_var

    def encode(self, x: Tensor, given: Mapping[str, Tensor] = NOTHING) -> Latent:
        return {"z": self.posterior(x)[0], **given}

    def decode(self, z: Latent) -> Tensor:
        self.space["z"].check("z", z["z"])
        out = self.decoder(z["z"])
        return out.sigmoid() if self.options.likelihood == "bernoulli" else out.clamp(0, 1)

    def terms(self, x: Tensor, given: Mapping[str, Tensor] = NOTHING) -> dict[str, Tensor]:
        mean, log_var = self.posterior(x)
        noise = self.draw_noise(self.options.samples, *mean.shape)  # (s, b, d)
        z = reparameterise(mean, log_var, noise)
        return {
            "reconstruction": -self.log_likelihood(x, {"z": z}).mean(0),  # (b,)
            "kl/z": kl_to_standard(mean, log_var),  # (b, d)
        }

    def infer(
        self, x: Tensor, samples: int, given: Mapping[str, Tensor] = NOTHING, generator: torch.Generator | None = None
    ) -> tuple[Latent, Tensor]:
        mean, log_var = self.posterior(x)
        noise = torch.randn(samples, *mean.shape, generator=generator).to(mean)
        return {"z": reparameterise(mean, log_var, noise)}, per_image(reparameterised_log_prob(log_var, noise), 2)

    def log_prior(self, z: Latent, given: Mapping[str, Tensor] = NOTHING) -> Tensor:
        return per_image(gaussian_log_prob(z["z"], 0.0, 1.0), 2)

    def log_likelihood(self, x: Tensor, z: Latent, visible: Tensor | None = None) -> Tensor:
        out = self.decoder(z["z"].flatten(0, 1)).unflatten(0, z["z"].shape[:2])  # (s, b, c, h, w)
        if self.options.likelihood == "bernoulli":
            each = bernoulli_log_prob(x, out)
        else:
            each = gaussian_log_prob(x, out, self.log_var.exp())
        return per_image(each if visible is None else each * visible, 2)

    def draw(self, z: Latent, generator: torch.Generator | None = None) -> Tensor:
        self.space["z"].check("z", z["z"])
        out = self.decoder(z["z"])
        if self.options.likelihood == "bernoulli":
            return (torch.rand(out.shape, generator=generator).to(out) < out.sigmoid()).to(out.dtype)
        return reparameterise(out, self.log_var, torch.randn(out.shape, generator=generator).to(out)).clamp(0, 1)

    @property
    def likelihood(self) -> str:
        return "Bernoulli" if self.options.likelihood == "bernoulli" else "Gaussian"

    def facts(self) -> dict[str, str]:
        draws = f"{self.options.samples} draw{'s' if self.options.samples > 1 else ''} of z"
        more = {"bernoulli": "on grey pixels a cross-entropy", "gaussian": "σ fixed", "learned": "σ learned"}
        found = {
            "p(x|z)": f"{self.likelihood}, {more[self.options.likelihood]}",
            "estimator": f"KL in closed form, reconstruction from {draws} per image, as in training",
        }
        if self.options.likelihood != "bernoulli":
            found["σ of p(x|z)"] = f"{float((0.5 * self.log_var.detach()).exp()):.4f} of the grey range"
        return found
