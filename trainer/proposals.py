"""Where draws of z come from that are weighted then: mixtures of Gaussians, near what is visible of an image.

Letters in shapes: s draws, b batch, k components of a mixture, d latent dimensions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from trainer.latent import Density, Gaussian, LatentModel
from trainer.probability import gaussian_log_prob

FILLED = 10  # times that the encoder reads what was decoded
SHARE = 0.2  # of the draws come from the prior, so that no weight can be large


@dataclass(frozen=True)
class Mixture:
    """A mixture of Gaussians with diagonal covariances for each of b images."""

    log_share: Tensor  # (b, k), of each component
    mean: Tensor  # (b, k, d)
    log_var: Tensor  # (b, k, d)

    def draw(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """(n, b, d)."""
        b, k, d = self.mean.shape
        chosen = torch.multinomial(self.log_share.exp().cpu(), n, True, generator=generator).T  # (n, b)
        chosen = chosen.to(self.mean.device)[:, :, None, None].expand(n, b, 1, d)
        mean, log_var = (each.expand(n, b, k, d).gather(2, chosen)[:, :, 0] for each in (self.mean, self.log_var))
        return mean + (0.5 * log_var).exp() * torch.randn(n, b, d, generator=generator).to(mean)

    def log_prob(self, z: Tensor) -> Tensor:
        """(s, b, d) -> (s, b)."""
        each = gaussian_log_prob(z[:, :, None], self.mean, self.log_var.exp()).sum(-1)  # (s, b, k)
        return torch.logsumexp(each + self.log_share, -1)

    def beside(self, other: Mixture, share: float) -> Mixture:
        """Both in one, `share` of the draws from the other."""
        shares = [self.log_share + math.log(1 - share), other.log_share + math.log(share)]
        both = [torch.cat(pair, 1) for pair in ((self.mean, other.mean), (self.log_var, other.log_var))]
        return Mixture(torch.cat(shares, 1), *both)


class Proposer:
    """A second stage that has learned to propose latents from what is visible."""

    def propose(self, x: Tensor, visible: Tensor) -> Mixture:
        """r(z|visible); x (b, c, h, w), where `visible` (b, c, h, w) is False it may be anything."""
        raise NotImplementedError


def prior_of(model: LatentModel, b: int) -> Mixture:
    """The standard normal distribution as a proposal for b images."""
    (part,) = model.space.values()
    zero = torch.zeros(b, 1, cast(Gaussian, part).dims, device=model.device)
    return Mixture(zero[..., 0], zero, zero)


def proposal_of(model: LatentModel, x: Tensor, seen: Tensor, generator: torch.Generator | None = None) -> Mixture:
    """What a second stage has learned to propose; without one, the encoder on an image whose hidden pixels are filled
    with what it decodes, time and again, as narrow as it says and twice as wide. A share comes from the prior.
    """
    prior = prior_of(model, len(x))
    learned = [stage for stage in model.stages.values() if isinstance(stage, Proposer)]
    if learned:
        return learned[0].propose(x, seen).beside(prior, SHARE)
    (name,) = model.space
    z = {name: prior.mean[:, 0]}
    for _ in range(FILLED):
        filled = torch.where(seen, x, model.decode(z))
        z = model.encode(filled)
    drawn, _ = cast(Density, model).infer(filled, 100, generator=generator)
    log_var = drawn[name].var(0).log()  # (b, d)
    mean = torch.stack([z[name], z[name]], 1)
    wide = torch.stack([log_var, log_var + math.log(4)], 1)
    return Mixture(torch.full_like(mean[..., 0], math.log(0.5)), mean, wide).beside(prior, SHARE)
