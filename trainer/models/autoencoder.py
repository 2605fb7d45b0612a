"""The deterministic autoencoder.

    loss = ‖x − g(f(x))‖²

There is no prior: nothing says where the codes f(x) lie. z is in units of the codes' own spread over the data,
z = (f(x) − centre) / spread, so that sliders mean the same as everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor

from trainer import nets
from trainer.latent import NOTHING, Gaussian, Latent, LatentModel, Shape
from trainer.probability import per_image

MOMENTUM = 0.01  # of the running centre and spread


class AutoencoderOptions(nets.NetOptions):
    """The size of the code, and the nets."""

    latents: int = Field(10, ge=1, le=512, description="number of latent dimensions M")


class Autoencoder(LatentModel):
    """An encoder and a decoder, and nothing probabilistic."""

    Options = AutoencoderOptions
    units: Mapping[str, str] = {"reconstruction": "squared distance"}
    centre: Tensor  # (d,)
    variance: Tensor  # (d,)

    def __init__(self, shape: Shape, options: AutoencoderOptions) -> None:
        super().__init__(shape, options)
        self.space = {"z": Gaussian(options.latents, unit="one standard deviation of the codes over the data")}
        self.encoder = nets.encoder(shape, options, options.latents)
        self.decoder = nets.decoder(shape, options, options.latents)
        self.register_buffer("centre", torch.zeros(options.latents))
        self.register_buffer("variance", torch.ones(options.latents))
        self._codes = torch.zeros(0, options.latents)

    def encode(self, x: Tensor, given: Mapping[str, Tensor] = NOTHING) -> Latent:
        return {"z": (self.encoder(x) - self.centre) / self._spread, **given}

    def decode(self, z: Latent) -> Tensor:
        self.space["z"].check("z", z["z"])
        return self.decoder(self.centre + z["z"] * self._spread).clamp(0, 1)

    @property
    def _spread(self) -> Tensor:
        return self.variance.sqrt().clamp_min(1e-6)

    def terms(self, x: Tensor, given: Mapping[str, Tensor] = NOTHING) -> dict[str, Tensor]:
        codes = self.encoder(x)
        if self.training:
            self._codes = codes.detach()
        return {"reconstruction": per_image((x - self.decoder(codes)).square())}

    def after_step(self, terms: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            self.centre.lerp_(self._codes.mean(0), MOMENTUM)
            self.variance.lerp_((self._codes - self.centre).square().mean(0), MOMENTUM)
