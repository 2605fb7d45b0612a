"""The deterministic autoencoder.

    loss = ‖x − g(f(x))‖²,   g linear at its end, or through a sigmoid

There is no prior: nothing says where the codes f(x) lie. z is in units of the codes' own spread over the data,
z = (f(x) − centre) / spread, so that sliders mean the same as everywhere. Both are measured when training ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from trainer import nets
from trainer.data import Images
from trainer.latent import Gaussian, Latent, LatentModel
from trainer.probability import per_image
from trainer.trainable import NOTHING, Piece, Shape

MEASURED = 10_000  # images for the centre and the spread


class AutoencoderOptions(nets.NetOptions):
    """The size of the code, and the nets."""

    latents: int = Field(10, ge=1, le=512, description="number of latent dimensions M")
    output: Literal["linear", "sigmoid"] = Field(
        "linear", description="what the decoder ends in; sigmoid keeps pixels between 0 and 1 and learns sharper images"
    )


class Autoencoder(LatentModel):
    """An encoder and a decoder, and nothing probabilistic."""

    Options = AutoencoderOptions
    options: AutoencoderOptions
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

    def encode(self, x: Tensor, given: Mapping[str, Tensor] = NOTHING) -> Latent:
        return {"z": (self.encoder(x) - self.centre) / self._spread, **given}

    def decode(self, z: Latent) -> Tensor:
        self.space["z"].check("z", z["z"])
        return self.reconstruct(self.centre + z["z"] * self._spread).clamp(0, 1)

    def reconstruct(self, codes: Tensor) -> Tensor:
        """g(codes) for codes (b, d) as the encoder gives them, (b, c, h, w)."""
        out = self.decoder(codes)
        return out.sigmoid() if self.options.output == "sigmoid" else out

    @property
    def _spread(self) -> Tensor:
        return self.variance.sqrt().clamp_min(1e-6)

    def terms(self, x: Tensor, given: Mapping[str, Tensor] = NOTHING) -> dict[str, Tensor]:
        return {"reconstruction": per_image((x - self.reconstruct(self.encoder(x))).square())}

    def objective(self, terms: Mapping[str, Tensor]) -> list[Piece]:
        latex = r"\lVert x - g(f(x)) \rVert^2"
        return [self.piece(terms, latex, "How far the image is from its reconstruction", "reconstruction")]

    @torch.no_grad()
    def end(self, images: Images) -> None:
        rows = torch.arange(min(MEASURED, len(images))).split(256)
        codes = torch.cat([self.encoder(images.batch(some, self.device)) for some in rows])  # (n, d)
        self.centre.copy_(codes.mean(0))
        self.variance.copy_(codes.var(0, correction=0))
