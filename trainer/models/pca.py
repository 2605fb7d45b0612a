"""Principal component analysis.

    x ≈ b + U √Λ z,   UᵀU = I,   Λ the largest eigenvalues of the data's covariance (with 1/n)

z is in units of √λ, so that each component has variance 1 over the training data. There is no density.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor

from trainer import formulas
from trainer.data import Images
from trainer.latent import Gaussian, Latent, LatentModel
from trainer.linear import principal_components
from trainer.options import Options
from trainer.probability import per_image
from trainer.trainable import NOTHING, Piece, Shape, Track


class PCAOptions(Options):
    """How many components are kept."""

    latents: int = Field(10, ge=1, le=512, description="number of latent dimensions M (components)")


class PCA(LatentModel):
    """Closed form: `begin` fits it and nothing is left to train."""

    Options = PCAOptions
    closed_form = True
    options: PCAOptions
    units: Mapping[str, str] = {"reconstruction": "squared distance"}
    mean: Tensor  # (D,)
    basis: Tensor  # (D, d), orthonormal columns
    variance: Tensor  # (d,), the eigenvalues λ, largest first
    discarded: Tensor  # (), the mean of the eigenvalues that are not kept

    def __init__(self, shape: Shape, options: PCAOptions) -> None:
        super().__init__(shape, options)
        if options.latents >= self.pixels:
            raise ValueError(f"latents={options.latents}, but an image has {self.pixels} values: keep fewer than that")
        self.space = {"z": Gaussian(options.latents, unit="one standard deviation √λ of the data along the component")}
        self.register_buffer("mean", torch.zeros(self.pixels))
        self.register_buffer("basis", torch.eye(self.pixels, options.latents))
        self.register_buffer("variance", torch.ones(options.latents))
        self.register_buffer("discarded", torch.tensor(1.0))

    def begin(self, images: Images, track: Track[Tensor] = iter) -> bool:
        if len(images) <= self.options.latents:
            raise ValueError(
                f"latents={self.options.latents} needs more than that many images; the data set has {len(images)}"
            )
        found = principal_components(images, self.options.latents, self.device, track)
        self.mean.copy_(found.mean.float())
        self.basis.copy_(found.basis.float())
        self.variance.copy_(found.values.float())
        self.discarded.copy_(found.discarded.float())
        return True

    def project(self, x: Tensor) -> Tensor:
        """Uᵀ(x − b), (b, d), in pixel values."""
        return (x.flatten(1) - self.mean) @ self.basis

    def encode(self, x: Tensor, given: Mapping[str, Tensor] = NOTHING) -> Latent:
        z = torch.where(self.variance > 0, self.project(x) / self.variance.sqrt(), 0.0)
        return {"z": z, **given}

    def mean_image(self, z: Tensor) -> Tensor:
        """b + U √Λ z before it is cut to [0, 1], (…, D)."""
        return self.mean + (z * self.variance.sqrt()) @ self.basis.T

    def decode(self, z: Latent) -> Tensor:
        self.space["z"].check("z", z["z"])
        return self.mean_image(z["z"]).clamp(0, 1).unflatten(1, self.shape)

    def terms(self, x: Tensor, given: Mapping[str, Tensor] = NOTHING) -> dict[str, Tensor]:
        difference = x.flatten(1) - self.mean_image(self.encode(x, given)["z"])
        return {"reconstruction": per_image(difference.square())}

    def objective(self, terms: Mapping[str, Tensor]) -> list[Piece]:
        latex = formulas.lines(r"\lVert x - b - U \Lambda^{1/2} z \rVert^2", r"z = \Lambda^{-1/2} U^\top (x - b)")
        return [self.piece(terms, latex, "What the components that are kept do not hold", "reconstruction")]

    def facts(self) -> dict[str, str]:
        kept = float(self.variance.sum())
        lost = float(self.discarded) * (self.pixels - self.options.latents)
        return {"variance kept": f"{100 * kept / max(kept + lost, 1e-12):.1f} %"}
