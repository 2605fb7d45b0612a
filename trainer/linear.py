"""Linear Gaussian models, whose optimum is known: what the data's eigenvalues say that any of them can reach.

    p(z) = N(0, I),   p(x|z) = N(W z + b, σ² I),   p(x) = N(b, W Wᵀ + σ² I)

The best (β-)VAE of this kind, with M latents, fills the eigenvalues λ of the data's covariance from below (reverse
water-filling; Lucas et al. 2019 for β = 1). With the water level t = β σ²:

    rate        = Σ_{i ≤ M} ½ ln(λ_i / t)₊                the KL, nats
    distortion  = Σ_{i ≤ M} min(λ_i, t) + Σ_{i > M} λ_i   E‖x − g(z)‖²
    objective J = −(D/2) ln 2πσ² − distortion / 2σ² − β rate
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from trainer.probability import LOG_2PI
from trainer.trainable import Track

if TYPE_CHECKING:
    from trainer.data import Images

ROUNDING = 1e-6  # of an eigenvalue: one at the water level tells nothing
EXACT_UP_TO = 4096  # values per image; above it the covariance itself would be too large to hold


@dataclass(frozen=True)
class LinearGaussian:
    """p(z) = N(0, I) and p(x|z) = N(W z + b, σ² I)."""

    weight: Tensor  # W, (D, d)
    bias: Tensor  # b, (D,)
    var: Tensor  # σ², ()

    def log_evidence(self, x: Tensor) -> Tensor:
        """log N(x; b, W Wᵀ + σ² I) of images (b, …), (b,) in nats; by Woodbury's identity in the axes of W, so that no
        D×D matrix is made.
        """
        weight, bias, var = (each.detach().cpu().double() for each in (self.weight, self.bias, self.var))
        axes, scale, _ = torch.linalg.svd(weight, full_matrices=False)  # (D, d), (d,)
        centred = x.detach().cpu().double().flatten(1) - bias
        along = centred @ axes  # (b, d)
        var_along = scale.square() + var
        rest = (centred.square().sum(1) - along.square().sum(1)).clamp_min(0)
        log_det = var_along.log().sum() + (len(bias) - len(scale)) * var.log()
        square = (along.square() / var_along).sum(1) + rest / var
        return (-0.5 * (len(bias) * LOG_2PI + log_det + square)).to(x)

    def angles(self, basis: Tensor) -> Tensor:
        """The angles between the space of W's columns and that of the `basis` (D, k), in degrees, largest first; 0
        where one lies in the other.
        """
        from scipy.linalg import subspace_angles

        found = subspace_angles(self.weight.detach().cpu().double().numpy(), basis.cpu().double().numpy())
        return torch.from_numpy(found).rad2deg()


@dataclass(frozen=True)
class Spectrum:
    """The covariance (with 1/n) of images: its leading M eigenvectors and eigenvalues, and what is left out."""

    mean: Tensor  # (D,)
    basis: Tensor  # (D, M), orthonormal columns
    values: Tensor  # (M,), largest first
    discarded: Tensor  # (), the mean of the other D − M eigenvalues


@dataclass(frozen=True)
class Optimum:
    """What the best linear model reaches at one β."""

    beta: float
    active: int  # dimensions that tell anything
    rate: float  # nats, the KL
    distortion: float  # E‖x − g(z)‖², summed over pixels
    objective: float  # J, nats: E log p(x|z) − β KL


def rate_distortion(eigenvalues: Tensor, levels: Tensor) -> tuple[Tensor, Tensor]:
    """Rate in nats and distortion at each level t > 0, each (k,): Σ ½ ln(λ / t)₊ and Σ min(λ, t) over λ (d,)."""
    over = (eigenvalues[:, None] / levels).clamp_min(1)  # (d, k)
    return 0.5 * over.log().sum(0), torch.minimum(eigenvalues[:, None], levels).sum(0)


def water_filling(spectrum: Spectrum, var: float, betas: Sequence[float]) -> list[Optimum]:
    """The optimum at each β of models with the spectrum's M latents and σ² = `var`. Raises ValueError for a β that is
    not above 0.
    """
    if min(betas) <= 0:
        raise ValueError(f"beta came as {min(betas):g}, expected more than 0: a rate that costs nothing has no end")
    pixels, values = len(spectrum.mean), spectrum.values.double().cpu()
    left_out = float(spectrum.discarded) * (pixels - len(values))
    levels = var * torch.tensor(betas, dtype=torch.float64)
    found = []
    for beta, level, rate, kept in zip(betas, levels, *rate_distortion(values, levels), strict=True):
        distortion = float(kept) + left_out
        objective = -0.5 * pixels * math.log(2 * math.pi * var) - distortion / (2 * var) - beta * float(rate)
        found.append(Optimum(beta, int((values > level * (1 + ROUNDING)).sum()), float(rate), distortion, objective))
    return found


def principal_components(images: Images, latents: int, device: torch.device, track: Track[Tensor] = iter) -> Spectrum:
    """The leading `latents` principal components of the images, streamed over them.

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
    return Spectrum(mean, vectors, values, ((trace - values.sum()) / max(1, width - latents)).clamp_min(0))
