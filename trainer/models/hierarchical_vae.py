"""Hierarchical VAEs: a chain of latents, inferred from the bottom up or along a ladder (Sønderby et al. 2016).

p(x, z)     = p(x|z1) p(z1|z2) … p(zL−1|zL) p(zL)      each N(m(·), diag v(·)), the top N(0, I)
bottom up     q(z|x) = q(z1|x) q(z2|z1) … q(zL|zL−1)
ladder        q(z|x) = q(zL|x) q(zL−1|zL, x) … q(z1|z2, x)
              q(zl|zl+1, x) ∝ N(m̂l(x), v̂l(x)) p(zl|zl+1): precision-weighted, m̂ and v̂ from one deterministic way up
loss        = −E_q[log p(x|z1)] + β Σ over levels of KL(q(zl|·) ‖ p(zl|zl+1)), β = 1 after the warm-up

The parts of the latent are e1 … eL with zl = m(zl+1) + √v(zl+1) el: each in units of its own prior, so that an upper
one moves all that is below it. A density of q is that of e: log q(zl|·) plus log √v for the change of variables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from trainer import formulas, nets
from trainer.latent import Latent
from trainer.levels import Leveled, LevelsOptions, Normal, layers
from trainer.noise import normal
from trainer.probability import (
    LOG_2PI,
    gaussian_log_prob,
    kl_to_standard,
    per_image,
    precision_weighted,
    reparameterise,
    reparameterised_log_prob,
)
from trainer.trainable import NOTHING, Shape

Gauss = tuple[Tensor, Tensor]  # mean and log-variance, each (b, d)


class HierarchicalVAEOptions(LevelsOptions):
    """How the levels are inferred, and what the levels are."""

    inference: Literal["ladder", "bottom_up"] = Field(
        "ladder",
        description="ladder: from the top down, each level merged with its prior; bottom_up: each from the last",
    )


@dataclass
class Drawn:
    """One level as `walk` found it, each (b, d)."""

    value: Tensor  # in units of its prior
    z: Tensor  # the same in the model's own scale
    log_q: Tensor  # log-density of the value
    kl: Tensor  # nats; over the draws its mean is the level's term of KL(q ‖ p)


class HierarchicalVAE(Leveled):
    """Gaussian levels with a learned prior each; inference from the bottom up, or along a ladder."""

    Options: ClassVar[type[HierarchicalVAEOptions]] = HierarchicalVAEOptions
    options: HierarchicalVAEOptions
    unit = "one standard deviation of its prior, given the levels above"
    seen = "z_1"

    def __init__(self, shape: Shape, options: HierarchicalVAEOptions) -> None:
        super().__init__(shape, options)
        ladder, dims = options.inference == "ladder", options.latents
        first, flat = nets.down(shape, options)
        ways, posteriors, priors = [], [], []
        before = flat
        for level, d in enumerate(dims):
            some, width = layers(before, options, level)
            ways.append(nets.Net(*(first if level == 0 else []), *some))
            posteriors.append(Normal(width, d))
            before = width if ladder else d
        for level, d in enumerate(dims[:-1]):
            some, width = layers(dims[level + 1], options, level + 1)
            priors.append(nn.Sequential(*some, Normal(width, d)))
        self.ways, self.posteriors, self.priors = nn.ModuleList(ways), nn.ModuleList(posteriors), nn.ModuleList(priors)
        some, width = layers(dims[0], options, 0)
        last = nets.up(shape, options)
        self.decoder = nets.Net(*some, nn.Linear(width, nets.up_width(shape, options)), *last)

    def prior_of(self, level: int, above: Tensor | None, like: Tensor) -> Gauss:
        """p of a level (0 is nearest the image) given the one above, (b, d) as `like` is; N(0, I) at the top."""
        if above is None:
            return torch.zeros_like(like), torch.zeros_like(like)
        found: Gauss = self.priors[level](above)
        return found

    def upward(self, x: Tensor, noise: list[Tensor]) -> tuple[list[Gauss], list[Tensor]]:
        """What the way up says of each level from x (b, c, h, w) and noise (s, b, d), with rows (s·b, d).

        Means and log-variances; and from the bottom up the draws, of which a ladder has none on this way.
        """
        samples, found, drawn = len(noise[0]), [], []
        below = x
        for level, (way, posterior) in enumerate(zip(self.ways, self.posteriors, strict=True)):
            below = way(below)
            mean, log_var = posterior(below)
            if self.options.inference == "ladder" or level == 0:  # once for all draws
                mean, log_var = (v.expand(samples, *v.shape).flatten(0, 1) for v in (mean, log_var))
            found.append((mean, log_var))
            if self.options.inference == "bottom_up":
                below = reparameterise(mean, log_var, noise[level].flatten(0, 1))
                drawn.append(below)
        return found, drawn

    def walk(self, x: Tensor, noise: list[Tensor], given: Mapping[str, Tensor] = NOTHING) -> dict[str, Drawn]:
        """Infer every level from x (b, c, h, w) with noise (s, b, d) per level: up, then down through the priors.

        Rows are (s·b, d); parts in `given` have such rows too, are kept, and those below see them.
        """
        found, drawn = self.upward(x, noise)
        levels: dict[str, Drawn] = {}
        above: Tensor | None = None
        for level, name in reversed(list(enumerate(self.names))):
            (mean, log_var), flat = found[level], noise[level].flatten(0, 1)
            prior_mean, prior_log_var = self.prior_of(level, above, mean)
            scale = (-0.5 * prior_log_var).exp()
            if self.options.inference == "ladder" and above is not None:
                mean, log_var = precision_weighted(mean, log_var, prior_mean, prior_log_var)
            if self.options.inference == "ladder":
                value = (mean - prior_mean) * scale + (0.5 * (log_var - prior_log_var)).exp() * flat
            else:
                value = (drawn[level] - prior_mean) * scale
            if self.options.inference == "ladder" or above is None:  # what is above was drawn before this level
                kl = kl_to_standard((mean - prior_mean) * scale, log_var - prior_log_var)
            else:  # what is above was drawn from this level: the entropy is exact, the rest from the draw
                kl = -0.5 * (1 + LOG_2PI + log_var) - gaussian_log_prob(drawn[level], prior_mean, prior_log_var.exp())
            value = given.get(name, value)
            above = reparameterise(prior_mean, prior_log_var, value)
            levels[name] = Drawn(value, above, reparameterised_log_prob(log_var - prior_log_var, flat), kl)
        return levels

    def encode(self, x: Tensor, given: Mapping[str, Tensor] = NOTHING) -> Latent:
        still = [torch.zeros(1, len(x), d, device=x.device) for d in self.options.latents]
        return {name: level.value for name, level in self.walk(self.looked_at(x), still, given).items()}

    def levels(self, z: Latent) -> Latent:
        """The z of every level, in the model's own scale, from parts in units of their priors; each (b, d)."""
        self.check(z)
        found: Latent = {}
        above: Tensor | None = None
        for level, name in reversed(list(enumerate(self.names))):
            mean, log_var = self.prior_of(level, above, z[name])
            above = found[name] = reparameterise(mean, log_var, z[name])
        return found

    def out(self, z: Latent) -> Tensor:
        out: Tensor = self.decoder(self.levels(z)["z1"])
        return out

    def terms(self, x: Tensor, given: Mapping[str, Tensor] = NOTHING) -> dict[str, Tensor]:
        x, samples = self.learned_from(x), self.options.samples
        levels = self.walk(x, [self.draw_noise(samples, len(x), d) for d in self.options.latents])
        out = self.decoder(levels["z1"].z).unflatten(0, (samples, -1))  # (s, b, c, h, w)
        means = {f"kl/{name}": level.kl.unflatten(0, (samples, -1)).mean(0) for name, level in levels.items()}
        return {"reconstruction": -self.log_p(x, out).mean(0), **means}

    def kl_latex(self, level: int) -> str:
        z, top, ladder = rf"z_{level}", level == len(self.names), self.options.inference == "ladder"
        below = "x" if level == 1 else rf"z_{level - 1}"
        above = "" if top else rf"z_{level + 1}"
        q = rf"q({z} \mid {below})"
        if ladder:
            q = rf"q({z} \mid {above}, x)" if above else rf"q({z} \mid x)"
        p = rf"p({z} \mid {above})" if above else rf"p({z})"
        if not ladder and above:  # what is above was drawn from this level
            return rf"\mathbb{{E}}_q\big[\log {q} - \log {p}\big]"
        return formulas.kl(q, p) if ladder and top else rf"\mathbb{{E}}_q\, {formulas.kl(q, p)}"

    def infer(
        self, x: Tensor, samples: int, given: Mapping[str, Tensor] = NOTHING, generator: torch.Generator | None = None
    ) -> tuple[Latent, Tensor]:
        x = self.looked_at(x)
        levels = self.walk(x, [normal((samples, len(x), d), x, generator) for d in self.options.latents])
        log_q = torch.cat([level.log_q for level in levels.values()], dim=1).unflatten(0, (samples, -1))
        return {name: level.value.unflatten(0, (samples, -1)) for name, level in levels.items()}, per_image(log_q, 2)
