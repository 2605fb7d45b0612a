"""Principal component analysis.

    x ≈ b + U √Λ z,   UᵀU = I,   Λ the largest eigenvalues of the data's covariance (with 1/n)

z is in units of √λ, so that each component has variance 1 over the training data. There is no density.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor

from trainer.data import Images
from trainer.latent import Gaussian, Latent, LatentModel
from trainer.options import Options
from trainer.probability import per_image
from trainer.trainable import NOTHING, Shape, Track

EXACT_UP_TO = 4096  # values per image; above it the covariance itself would be too large to hold


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
        mean, basis, variance, discarded = principal_components(images, self.options.latents, self.device, track)
        self.mean.copy_(mean.float())
        self.basis.copy_(basis.float())
        self.variance.copy_(variance.float())
        self.discarded.copy_(discarded.float())
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

    def facts(self) -> dict[str, str]:
        kept = float(self.variance.sum())
        lost = float(self.discarded) * (self.pixels - self.options.latents)
        return {"variance kept": f"{100 * kept / max(kept + lost, 1e-12):.1f} %"}


def principal_components(
    images: Images, latents: int, device: torch.device, track: Track[Tensor] = iter
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The mean (D,), the leading eigenvectors (D, d) and eigenvalues (d,) of the covariance with 1/n, streamed over
    the images, and the mean of the eigenvalues that are left out.

    Exact while a D×D matrix can be held; above that, subspace iteration with 12 passes over the data. What comes
    back is float64.
    """
    n, width = len(images), images.batch(torch.zeros(1, dtype=torch.long), device).numel()
    exact = torch.device("cpu") if device.type == "mps" else device  # where sums are kept: MPS has no float64
    shift = torch.zeros(width, dtype=torch.float64, device=exact)
    for x in track(images.stream(device)):
        shift += x.flatten(1).to(exact).sum(0, dtype=torch.float64)
    mean = shift / n
    centre = mean.float()

    def moment(right: Tensor | None) -> tuple[Tensor, Tensor]:
        """Cov (D, D), or Cov @ right (D, k), and the trace of Cov."""
        product = torch.zeros(width, width if right is None else right.shape[1], dtype=torch.float64, device=exact)
        trace = torch.zeros((), dtype=torch.float64, device=exact)
        for x in track(images.stream(device)):
            centred = x.flatten(1) - centre.to(x.device)  # (b, D)
            along = centred if right is None else centred @ right.to(x.device)
            product += (centred.T @ along).to(exact).double()
            trace += centred.square().sum(1).to(exact).sum(dtype=torch.float64)
        return product / n, trace / n

    if width <= EXACT_UP_TO:
        covariance, trace = moment(None)
        values, vectors = torch.linalg.eigh(covariance)
    else:
        seed = torch.Generator().manual_seed(0)
        width_of_guess = min(width, latents + 10)
        guess = torch.randn(width, width_of_guess, generator=seed).to(exact)
        for _ in range(12):
            guess = torch.linalg.qr(moment(guess)[0])[0].float()
        product, trace = moment(guess)
        values, inner = torch.linalg.eigh(guess.double().T @ product)
        vectors = guess.double() @ inner
    values, vectors = values.flip(0)[:latents].clamp_min(0), vectors.flip(1)[:, :latents]
    largest = vectors.abs().argmax(0)  # a component's sign is free: its largest entry is made positive
    vectors = vectors * vectors.gather(0, largest[None]).sign()
    return mean, vectors, values, ((trace - values.sum()) / (width - latents)).clamp_min(0)
