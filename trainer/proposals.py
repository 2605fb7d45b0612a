"""Where draws of z come from that are weighted then: mixtures, near what is visible of an image.

Letters in shapes: s draws, b batch, k components of a mixture, d latent dimensions of all Gaussian parts together, c
classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.latent import Conditional, Density, Gaussian, Label, Latent, LatentModel
from trainer.probability import gaussian_log_prob

FILLED = 10  # times that the encoder reads what was decoded
SHARE = 0.2  # of the draws come from the prior, so that no weight can be large
NO_CLASS = torch.empty(0, dtype=torch.long)


@dataclass(frozen=True)
class Mixture:
    """A mixture of Gaussians with diagonal covariances for each of b images, each component of one class."""

    log_share: Tensor  # (b, k), of each component
    mean: Tensor  # (b, k, d)
    log_var: Tensor  # (b, k, d)
    classes: Tensor = NO_CLASS  # (k,) the class of each component, where there are classes

    def draw(self, n: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Numbers (n, b, d) and classes (n, b), which are all 0 where there are none."""
        b, k, d = self.mean.shape
        chosen = torch.multinomial(self.log_share.exp().cpu(), n, True, generator=generator).T  # (n, b)
        chosen = chosen.to(self.mean.device)
        rows = chosen[:, :, None, None].expand(n, b, 1, d)
        mean, log_var = (each.expand(n, b, k, d).gather(2, rows)[:, :, 0] for each in (self.mean, self.log_var))
        z = mean + (0.5 * log_var).exp() * torch.randn(n, b, d, generator=generator).to(mean)
        return z, self.classes[chosen] if len(self.classes) else torch.zeros_like(chosen)

    def log_prob(self, z: Tensor, classes: Tensor = NO_CLASS) -> Tensor:
        """Of numbers (s, b, d) and classes (s, b), (s, b)."""
        each = gaussian_log_prob(z[:, :, None], self.mean, self.log_var.exp()).sum(-1)  # (s, b, k)
        if len(self.classes):
            each = each.masked_fill(self.classes != classes[..., None], -math.inf)
        return torch.logsumexp(each + self.log_share, -1)

    def beside(self, other: Mixture, share: float) -> Mixture:
        """Both in one, `share` of the draws from the other."""
        shares = [self.log_share + math.log(1 - share), other.log_share + math.log(share)]
        mean, log_var = torch.cat([self.mean, other.mean], 1), torch.cat([self.log_var, other.log_var], 1)
        return Mixture(torch.cat(shares, 1), mean, log_var, torch.cat([self.classes, other.classes]))


class Proposer:
    """A second stage that has learned to propose latents from what is visible."""

    def propose(self, x: Tensor, visible: Tensor) -> Mixture:
        """r(z|visible); x (b, c, h, w), where `visible` (b, c, h, w) is False it may be anything."""
        raise NotImplementedError


def gaussians(model: LatentModel) -> dict[str, int]:
    """The dimensions of each part of real numbers, by name."""
    return {name: part.dims for name, part in model.space.items() if isinstance(part, Gaussian)}


def label_of(model: LatentModel) -> tuple[str, Label] | None:
    """The part that is a class, None where there is none."""
    return next(((name, part) for name, part in model.space.items() if isinstance(part, Label)), None)


def latent_of(model: LatentModel, numbers: Tensor, classes: Tensor) -> Latent:
    """Numbers (…, d) and classes (…) as parts, each (…, its own size)."""
    sizes = gaussians(model)
    found = dict(zip(sizes, numbers.split(list(sizes.values()), -1), strict=True)) if sizes else {}
    if label := label_of(model):
        found[label[0]] = F.one_hot(classes, label[1].size).to(numbers)
    return {name: found[name] for name in model.space}


def numbers_of(model: LatentModel, z: Latent) -> Tensor:
    """All parts of real numbers side by side, (…, d)."""
    some = next(iter(z.values()))
    return torch.cat([some[..., :0], *(z[name] for name in gaussians(model))], -1)


def prior_of(model: LatentModel, b: int) -> Mixture:
    """The prior as a proposal for b images, all classes alike."""
    label, d = label_of(model), sum(gaussians(model).values())
    zero = torch.zeros(b, 1, d, device=model.device)
    if label is None:
        return Mixture(zero.new_zeros(b, 1), zero, zero)
    k = label[1].size
    mean = log_var = zero.expand(b, k, d)
    if isinstance(model, Conditional):
        mean, log_var = (each.expand(b, k, d) for each in model.class_prior(torch.eye(k, device=model.device)))
    return Mixture(zero.new_full((b, k), -math.log(k)), mean, log_var, torch.arange(k, device=model.device))


def proposal_of(model: LatentModel, x: Tensor, seen: Tensor, generator: torch.Generator | None = None) -> Mixture:
    """The encoder on an image whose hidden pixels are filled with what it decodes, time and again, in every class; half
    of it what a second stage has learned to propose, where there is one. A share comes from the prior.
    """
    found = _filled_in(model, x, seen, generator)
    learned = [stage for stage in model.stages.values() if isinstance(stage, Proposer)]
    if learned:
        found = learned[0].propose(x, seen).beside(found, 0.5)
    return found.beside(prior_of(model, len(x)), SHARE)


def _filled_in(model: LatentModel, x: Tensor, seen: Tensor, generator: torch.Generator | None) -> Mixture:
    """For each class a Gaussian as narrow as the encoder says and one twice as wide. A class has a share by the joint
    density of what is visible and the mean, over that of the Gaussian: p(class | visible), if that were exact.
    """
    density, label, b = cast(Density, model), label_of(model), len(x)
    k = label[1].size if label else 1
    classes = torch.arange(k, device=x.device).repeat_interleave(b)  # (k·b,), all images in the first class first
    given: Latent = {label[0]: F.one_hot(classes, k).to(x)} if label else {}
    x, seen = x.repeat(k, 1, 1, 1), seen.repeat(k, 1, 1, 1)
    z = model.sample(len(x), given, temperature=0.0)
    for _ in range(FILLED):
        filled = torch.where(seen, x, model.decode(z))
        z = model.encode(filled, given)
    mean = numbers_of(model, z)  # (k·b, d)
    log_var = mean
    if mean.shape[1]:
        drawn, _ = density.infer(filled, 100, given, generator)
        log_var = numbers_of(model, drawn).var(0).log()
    once = {name: values[None] for name, values in z.items()}
    log_share = density.log_prior(once)[0] + density.log_likelihood(x, once, seen)[0]
    log_share = (log_share + 0.5 * (log_var + math.log(2 * math.pi)).sum(1)).view(k, b).T.log_softmax(1)  # (b, k)
    half = torch.cat([log_share, log_share], 1) - math.log(2)
    mean, log_var = (each.view(k, b, -1).transpose(0, 1) for each in (mean, log_var))  # (b, k, d)
    of = torch.arange(k, device=x.device).repeat(2) if label else NO_CLASS
    return Mixture(half, torch.cat([mean, mean], 1), torch.cat([log_var, log_var + math.log(4)], 1), of)
