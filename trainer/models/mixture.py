"""A mixture of Gaussians, or of Bernoullis: a latent that is one of k components, and nothing else.

p(c)   = w_c
p(x|c) = N(m_c, diag v_c)   or   N(m_c, v I), v the same for all   or   Bernoulli(m_c), each pixel alone
p(c|x) = w_c p(x|c) / p(x),   p(x) = Σ_c w_c p(x|c)

Fitted by expectation-maximisation (Dempster et al. 1977), which never lowers Σ log p(x). The posterior is exact, and so
is log p(x).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from trainer import formulas
from trainer.data import Images
from trainer.expectation import EM, Components, exact, rows
from trainer.latent import Density, Label, Latent, LatentModel
from trainer.observed import AS_THEY_ARE
from trainer.options import Options, needs
from trainer.probability import bernoulli_log_prob, gaussian_log_prob, per_image, reparameterise
from trainer.trainable import NOTHING, Piece, Shape, Track


class MixtureOptions(Options):
    """How many components, and what each of them is."""

    components: int = Field(20, ge=1, le=1000, description="number of components k")
    likelihood: Literal["gaussian", "bernoulli"] = Field(
        "gaussian", description="p(x|c): gaussian, or bernoulli, which takes a grey pixel as a cross-entropy"
    )
    variance: Literal["diagonal", "shared"] = Field(
        "diagonal",
        description="diagonal: one for each pixel of each component; shared: a single one",
        json_schema_extra=needs(likelihood=["gaussian"]),
    )
    least_std: float = Field(
        0.05,
        ge=1e-3,
        le=100,
        description="least std of a gaussian, of the grey range 0 to 1, so that none shrinks to a point",
        json_schema_extra=needs(likelihood=["gaussian"]),
    )
    restarts: int = Field(1, ge=1, le=100, description="fits from starts of their own, of which the best is kept")


class Mixture(Density, LatentModel):
    """Expectation-maximisation in `begin`; nothing is left to train."""

    Options: ClassVar[type[MixtureOptions]] = MixtureOptions
    closed_form = True
    options: MixtureOptions
    weight: Tensor  # as in `Components`, float32
    mean: Tensor
    variance: Tensor

    def __init__(self, shape: Shape, options: MixtureOptions) -> None:
        super().__init__(shape, options)
        k = options.components
        self.label = Label(k)
        self.space = {"component": self.label}
        self.register_buffer("weight", torch.full((k,), 1 / k))
        self.register_buffer("mean", torch.full((k, self.pixels), 0.5))
        self.is_gaussian = options.likelihood == "gaussian"
        if self.is_gaussian:
            self.register_buffer("variance", torch.ones((1, 1) if options.variance == "shared" else (k, self.pixels)))

    @torch.no_grad()
    def begin(self, images: Images, track: Track[Tensor] = iter) -> bool:
        if len(images) < self.options.components:
            raise ValueError(
                f"components={self.options.components} needs at least that many images; the data set has {len(images)}"
            )
        variance = self.options.variance if self.is_gaussian else None
        em = EM(images, self.device, self.options.components, variance, self.options.least_std)
        found = em.best(self.options.restarts, track)
        self.weight.copy_(found.weight)
        self.mean.copy_(found.mean)
        if found.variance is not None:
            self.variance.copy_(found.variance)
        return True

    @property
    def proportions(self) -> Tensor:
        """p(c), (k,); weights that were rounded have another sum than 1."""
        return self.weight / self.weight.sum()

    @property
    def components(self) -> Components:
        """As they are, in float64."""
        _, mean, *variance = map(exact, self.buffers())
        return Components(exact(self.proportions), mean, variance[0] if variance else None)

    # ---- latents

    def encode(self, x: Tensor, given: Mapping[str, Tensor] = NOTHING) -> Latent:
        """The responsibilities p(c|x)."""
        return {"component": self.log_posterior(x).exp(), **self.told(given)}

    def log_posterior(self, x: Tensor) -> Tensor:
        """log p(c|x), (b, k)."""
        return self.components.log_joint(rows(x)).log_softmax(1).float().to(x.device)

    def told(self, given: Mapping[str, Tensor]) -> Latent:
        """The part that is given, as probabilities (b, k). Raises ValueError where it is none."""
        return {name: self.label.of(name, values).to(self.device) for name, values in given.items()}

    def decode(self, z: Latent) -> Tensor:
        self.label.check("component", z["component"])
        return (z["component"] @ self.mean).clamp(0, 1).unflatten(1, self.shape)

    def sample(
        self,
        n: int,
        given: Mapping[str, Tensor] = NOTHING,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
        track: Track[Any] = iter,
    ) -> Latent:
        """Components by their weight; at `temperature` 0 the weights themselves, whatever else it is one of them."""
        if given:
            return self.told(given)
        if temperature == 0:
            return {"component": self.proportions.expand(n, -1)}
        chosen = torch.multinomial(self.weight.cpu(), n, replacement=True, generator=generator)
        return self.told({"component": chosen})

    # ---- objective and density

    def terms(self, x: Tensor, given: Mapping[str, Tensor] = NOTHING) -> dict[str, Tensor]:
        joint = self.components.log_joint(rows(x))  # (b, k)
        log_q, log_prior = joint.log_softmax(1), self.components.weight.log()
        found = {"reconstruction": log_prior - joint, "kl/component": log_q - log_prior}  # both to be averaged over q
        return {name: (log_q.exp() * values).sum(1).float().to(x.device) for name, values in found.items()}

    def objective(self, terms: Mapping[str, Tensor]) -> list[Piece]:
        if self.is_gaussian:
            v = "v" if self.options.variance == "shared" else "v_{ci}"
            each = rf"\tfrac{{(x_i - m_{{ci}})^2}}{{2 {v}}} + \tfrac12 \ln 2 \pi {v}"
            latex = rf"\textstyle\sum_c p(c \mid x) \sum_i \Big[{each}\Big]"
        else:
            latex = r"-\textstyle\sum_c p(c \mid x) \sum_i \big[x_i \ln m_{ci} + (1 - x_i) \ln (1 - m_{ci})\big]"
        left = r"-\textstyle\sum_c p(c \mid x) \log p(x \mid c)"
        return [
            self.piece(
                terms, formulas.lines(left, f"= {latex}"),
                "How badly the image fits the components that may have made it", "reconstruction",
            ),
            self.piece(
                terms, r"\textstyle\sum_c p(c \mid x) \ln \tfrac{p(c \mid x)}{w_c}",
                "How far the components' probabilities for this image are from their weights", "kl/component",
            ),
        ]  # fmt: skip

    def infer(
        self, x: Tensor, samples: int, given: Mapping[str, Tensor] = NOTHING, generator: torch.Generator | None = None
    ) -> tuple[Latent, Tensor]:
        if given:
            z = {name: values.expand(samples, -1, -1) for name, values in self.told(given).items()}
            return z, x.new_zeros(samples, len(x))
        log_q = self.log_posterior(x)
        chosen = torch.multinomial(log_q.exp().cpu(), samples, replacement=True, generator=generator).T  # (s, b)
        z = {"component": self.told({"component": chosen.flatten()})["component"].unflatten(0, chosen.shape)}
        return z, (z["component"] * log_q).sum(-1)

    def log_prior(self, z: Latent, given: Mapping[str, Tensor] = NOTHING) -> Tensor:
        if given:
            return z["component"].new_zeros(z["component"].shape[:2])
        return (z["component"] * self.proportions.log()).sum(-1)

    def log_likelihood(self, x: Tensor, z: Latent, visible: Tensor | None = None) -> Tensor:
        mean, x = z["component"] @ self.mean, x.flatten(1)  # (s, b, D)
        if self.is_gaussian:
            each = gaussian_log_prob(x, mean, self.variance_of(z["component"]))
        else:
            each = bernoulli_log_prob(x, mean.logit())
        return per_image(each if visible is None else each * visible.flatten(-3), 2)

    def variance_of(self, component: Tensor) -> Tensor:
        """(…, k) -> (…, D), or what broadcasts to it."""
        return self.variance if self.options.variance == "shared" else component @ self.variance

    def draw(self, z: Latent, generator: torch.Generator | None = None) -> Tensor:
        self.label.check("component", z["component"])
        mean = z["component"] @ self.mean  # (b, D)
        if self.is_gaussian:
            noise = torch.randn(mean.shape, generator=generator).to(mean)
            drawn = reparameterise(mean, self.variance_of(z["component"]).log(), noise).clamp(0, 1)
        else:
            drawn = (torch.rand(mean.shape, generator=generator).to(mean) < mean).to(mean)
        return drawn.unflatten(1, self.shape)

    def log_evidence(self, x: Tensor) -> Tensor:
        """log p(x), exactly, (b,), in nats."""
        return self.components.log_joint(rows(x)).logsumexp(1).float().to(x.device)

    @property
    def likelihood(self) -> str:
        return self.options.likelihood.capitalize()

    @property
    def family(self) -> str:
        return self.likelihood if self.is_gaussian else f"{self.likelihood}{AS_THEY_ARE}"

    def facts(self) -> dict[str, str]:
        found = {
            "p(x|c)": f"{self.likelihood}, each pixel alone",
            "estimator": "exact: the posterior is, so the ELBO is log p(x)",
            "weights of the components": f"{float(self.weight.min()):.4f} to {float(self.weight.max()):.4f}",
        }
        if not self.is_gaussian:
            return found
        least = self.options.least_std
        held = float((self.variance <= 1.001 * least**2).float().mean())
        return {**found, "std of p(x|c)": f"at least {least:g} of the grey range, where {100 * held:.0f} % of them are"}
