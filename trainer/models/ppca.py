"""Probabilistic PCA (Tipping and Bishop 1999).

    p(z)     = N(0, I)
    p(x|z)   = N(W z + b, σ² I),   W = U (Λ − σ² I)^½,   σ² = mean of the discarded eigenvalues
    p(z|x)   = N(M⁻¹ Wᵀ (x − b), σ² M⁻¹),   M = Wᵀ W + σ² I
    p(x)     = N(b, W Wᵀ + σ² I)

The posterior is exact, so the bound is the log-likelihood itself. With this W, M is diagonal: its entries are λ.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from trainer import formulas
from trainer.latent import Density, Gaussian, Latent
from trainer.linear import LinearGaussian
from trainer.models.pca import PCA, PCAOptions
from trainer.noise import normal
from trainer.probability import gaussian_log_prob, kl_to_standard, per_image
from trainer.trainable import NOTHING, Piece, Shape, Symbols

LEAST_VARIANCE = 1e-6  # σ² of data that lie in the subspace: about one 300th of a grey level, squared


class ProbabilisticPCA(Density, PCA):
    """PCA with a density: exact likelihood, posterior and samples."""

    units: Mapping[str, str] = {}

    def __init__(self, shape: Shape, options: PCAOptions) -> None:
        super().__init__(shape, options)
        self.space = {"z": Gaussian(options.latents)}

    @property
    def noise(self) -> Tensor:
        """σ², the variance of p(x|z)."""
        return self.discarded.clamp_min(LEAST_VARIANCE)

    @property
    def weight(self) -> Tensor:
        """W, (D, d)."""
        return self.basis * (self.variance - self.noise).clamp_min(0).sqrt()

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean (b, d) and variance (d,) of p(z|x)."""
        eigenvalues = self.variance.maximum(self.noise)
        return (x.flatten(1) - self.mean) @ self.weight / eigenvalues, self.noise / eigenvalues

    def diagonal(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, var = self.posterior(x)
        return mean, var.log().expand_as(mean)

    def encode(self, x: Tensor, given: Mapping[str, Tensor] = NOTHING) -> Latent:
        return {"z": self.posterior(x)[0], **given}

    def mean_image(self, z: Tensor) -> Tensor:
        return self.mean + z @ self.weight.T

    def terms(self, x: Tensor, given: Mapping[str, Tensor] = NOTHING) -> dict[str, Tensor]:
        mean, var = self.posterior(x)
        at_mean = self.log_likelihood(x, {"z": mean[None]})[0]
        spread = 0.5 * (self.weight.square().sum(0) * var).sum() / self.noise  # ½ tr(WᵀW V) / σ²
        return {"reconstruction": spread - at_mean, "kl/z": kl_to_standard(mean, var.log().expand_as(mean))}

    def objective(self, terms: Mapping[str, Tensor]) -> list[Piece]:
        latex = formulas.lines(
            r"-\mathbb{E}_{p(z \mid x)}\big[\log p(x \mid z)\big]",
            r"= \tfrac{\lVert x - W m - b \rVert^2 + \mathrm{tr}(W^\top W V)}{2 \sigma^2} "
            r"+ \tfrac{D}{2} \ln 2 \pi \sigma^2",
        )
        exact = formulas.lines(formulas.kl(r"p(z \mid x)", "p(z)"), f"= {formulas.STANDARD}")
        symbols: Symbols = {r"\sigma": self.noise.sqrt(), "D": self.pixels}
        return [
            self.piece(
                terms, latex, "How far the image is from what z gives, in the mean over the exact posterior N(m, V)",
                "reconstruction", symbols=symbols,
            ),
            self.piece(terms, exact, "How far the exact posterior is from the prior", "kl/z"),
        ]  # fmt: skip

    def infer(
        self, x: Tensor, samples: int, given: Mapping[str, Tensor] = NOTHING, generator: torch.Generator | None = None
    ) -> tuple[Latent, Tensor]:
        mean, var = self.posterior(x)
        noise = normal((samples, *mean.shape), mean, generator)
        z = mean + var.sqrt() * noise
        return {"z": z}, per_image(gaussian_log_prob(z, mean, var), 2)

    def log_prior(self, z: Latent, given: Mapping[str, Tensor] = NOTHING) -> Tensor:
        return per_image(gaussian_log_prob(z["z"], 0.0, 1.0), 2)

    def log_likelihood(self, x: Tensor, z: Latent, visible: Tensor | None = None) -> Tensor:
        each = gaussian_log_prob(x.flatten(1), self.mean_image(z["z"]), self.noise)  # (s, b, D)
        return per_image(each if visible is None else each * visible.flatten(-3), 2)

    def draw(self, z: Latent, generator: torch.Generator | None = None) -> Tensor:
        self.space["z"].check("z", z["z"])
        mean = self.mean_image(z["z"])  # (b, D)
        noise = torch.randn(mean.shape, generator=generator).to(mean)
        return (mean + self.noise.sqrt() * noise).clamp(0, 1).unflatten(1, self.shape)

    def linear(self) -> LinearGaussian:
        return LinearGaussian(self.weight, self.mean, self.noise)

    @property
    def pixel_std(self) -> float:
        return float(self.noise.sqrt())

    @property
    def likelihood(self) -> str:
        return "Gaussian"

    def facts(self) -> dict[str, str]:
        exact = {
            "p(x|z)": f"{self.likelihood}, σ fitted",
            "estimator": "exact: the posterior is, so the ELBO is log p(x)",
        }
        return {**super().facts(), **exact, "σ of p(x|z)": f"{self.pixel_std:.4f} of the grey range"}
