"""What the hidden pixels of an image may be, by any model with a density over real numbers, a class, or both.

    p(z | visible) ∝ p(z) p(visible | z)

Draws of a proposal r(z), a mixture of Gaussians, are weighted by p(z) p(visible|z) / r(z): exact as their number grows,
whatever the proposal. Langevin moves with the Metropolis correction (MALA; Roberts and Tweedie 1996) of the real
numbers, each draw in its class, then leave p(z|visible) as it is, and are exact within a class as they go on, however
few of the weights count. A model with a part that is what is visible has learned p(z|visible) itself: neither is
needed.

Letters in shapes: s draws, b batch, k components of a mixture, d latent dimensions of all Gaussian parts together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor

from trainer.latent import Density, Gaussian, Label, Latent, LatentModel, Visible
from trainer.probability import gaussian_log_prob
from trainer.proposals import Mixture, gaussians, latent_of, numbers_of, proposal_of
from trainer.trainable import Track

CHUNK = 250  # images that are decoded at once
AIM = 0.574  # accepted proposals of MALA at which it mixes best in many dimensions (Roberts and Rosenthal 1998)
LEAST = 0.02  # spread of the draws in a dimension, below which a few weights only have made it small

NONE = torch.empty(0)


@dataclass(frozen=True)
class Completion:
    """Draws of p(z|visible) for b images, and what they say of the hidden pixels."""

    z: Latent  # (s, b, …)
    weights: Tensor  # (s, b), of sum 1 over the draws
    ess: Tensor  # (b,) effective sample size 1 / Σ w² of the draws that were weighted
    draws: int  # how many were weighted
    accepted: float | None = None  # share of the Langevin moves, if there were any
    images: Tensor = NONE  # (n, b, c, h, w): some of the draws, by their weights; visible pixels as they are
    mean: Tensor = NONE  # (b, c, h, w) of p(x|visible)
    std: Tensor = NONE  # (b, c, h, w) of the means of p(x|z) over the draws


def can_complete(model: LatentModel) -> bool:
    """Whether `complete` takes the model."""
    kinds = [type(part) for part in model.space.values()]
    known = all(kind in (Gaussian, Label) for kind in kinds) and kinds.count(Label) < 2
    return Visible in kinds or (isinstance(model, Density) and known)


def complete(
    model: LatentModel,
    x: Tensor,
    visible: Tensor,
    draws: int = 1000,
    moves: int = 0,
    chains: int = 64,
    shown: int = 8,
    generator: torch.Generator | None = None,
    track: Track[Any] = iter,
) -> Completion:
    """Complete images (b, c, h, w) where `visible`, (c, h, w) or (b, c, h, w) bool, is False.

    `draws` are weighted. With `moves`, `chains` of them are drawn by their weights, and each makes so many Langevin
    moves. `shown` of what comes of it are decoded to be looked at. `track` wraps each loop that takes long. Raises
    ValueError for a model that cannot, a mask of another shape, or one that hides some channels of a pixel only.
    """
    for name, value, least in (("draws", draws, 1), ("moves", moves, 0), ("chains", chains, 1), ("shown", shown, 1)):
        if value < least:
            raise ValueError(f"{name} came as {value}, expected {least} or more")
    seen = checked(model, x, visible)
    with torch.inference_mode(False), torch.no_grad():
        # What is hidden has no say, and gradients pass through no tensor that was made in inference mode.
        x, seen = torch.where(seen, x, 0.0).clone(), seen.clone()
        if any(isinstance(part, Visible) for part in model.space.values()):
            found = _by_its_own_condition(model, x, seen, draws, generator)
        else:
            found = weighted(model, x, seen, proposal_of(model, x, seen, generator), draws, generator, track)
            if moves and gaussians(model):
                found = moved(model, x, seen, found, moves, chains, generator, track)
        return _pictured(model, x, seen, found, shown, generator, track)


def checked(model: LatentModel, x: Tensor, visible: Tensor) -> Tensor:
    """The mask as (b, c, h, w) bool. Raises what `complete` raises."""
    if not can_complete(model):
        there = ", ".join(f"{name} ({type(part).__name__})" for name, part in model.space.items())
        raise ValueError(
            "completion needs a likelihood over a latent of real numbers, one class, or both, or a part that is what "
            f"is visible; this model has {there}"
        )
    if visible.shape not in (model.shape, x.shape) or visible.dtype != torch.bool:
        raise ValueError(
            f"visible came as {tuple(visible.shape)} {str(visible.dtype).removeprefix('torch.')}, expected bool "
            f"{tuple(model.shape)} or {tuple(x.shape)}"
        )
    if not bool((visible == visible[..., :1, :, :]).all()):
        raise ValueError("visible hides some channels of a pixel only")
    return visible.expand_as(x)


def _by_its_own_condition(
    model: LatentModel, x: Tensor, seen: Tensor, draws: int, generator: torch.Generator | None
) -> Completion:
    """What the model draws itself when it is given what is visible: all weights are alike."""
    (name,) = (name for name, part in model.space.items() if isinstance(part, Visible))
    given = x.masked_fill(~seen, math.nan)
    drawn = model.sample(draws * len(x), {name: given.repeat(draws, 1, 1, 1)}, generator=generator)
    z = {part: values.unflatten(0, (draws, len(x))) for part, values in drawn.items()}
    return Completion(z, x.new_full((draws, len(x)), 1 / draws), x.new_full((len(x),), float(draws)), draws)


# ---- importance sampling


def weighted(
    model: LatentModel, x: Tensor, seen: Tensor, proposal: Mixture, draws: int,
    generator: torch.Generator | None = None, track: Track[Any] = iter,
) -> Completion:  # fmt: skip
    """Draws of a proposal, weighted by p(z) p(visible|z) / r(z)."""
    numbers, classes = proposal.draw(draws, generator)
    z = latent_of(model, numbers, classes)
    parts = track(torch.arange(draws).split(max(1, CHUNK // len(x))))
    log_p = torch.cat(
        [_log_joint(model, x, seen, {name: values[rows] for name, values in z.items()}) for rows in parts]
    )
    weights = (log_p - proposal.log_prob(numbers, classes)).softmax(0)
    return Completion(z, weights, 1 / weights.square().sum(0), draws)


def _log_joint(model: LatentModel, x: Tensor, seen: Tensor, z: Latent) -> Tensor:
    """log p(z) + log p(visible|z), (s, b)."""
    density = cast(Density, model)
    return density.log_prior(z) + density.log_likelihood(x, z, seen)


# ---- Langevin moves


def moved(
    model: LatentModel, x: Tensor, seen: Tensor, found: Completion, moves: int, chains: int,
    generator: torch.Generator | None = None, track: Track[Any] = iter,
) -> Completion:  # fmt: skip
    """`chains` of the draws, by their weights, after so many moves; the step's length is found in the first half.

        z' ~ N(z + ½ε²C ∇log p(z, visible), ε²C)      C diagonal, as wide as the draws are

    and z' is taken with probability min(1, p(z', visible) N(z; z') / p(z, visible) N(z'; z)).
    """
    z = numbers_of(model, found.z)
    mean = (found.weights[..., None] * z).sum(0)
    spread = (found.weights[..., None] * (z - mean).square()).sum(0).sqrt().clamp(LEAST, 1)  # (b, d)
    start = _by_weight(found.z, found.weights, chains, generator)
    z = numbers_of(model, start)
    log_p, gradient = _log_joint_and_gradient(model, x, seen, start, z)
    step = torch.full((len(x), 1), 0.5, device=z.device)
    accepted = []
    for move in track(range(moves)):
        width = step * spread
        there = z + 0.5 * width.square() * gradient
        new = there + width * torch.randn(z.shape, generator=generator).to(z)
        new_log_p, new_gradient = _log_joint_and_gradient(model, x, seen, start, new)
        back = new + 0.5 * width.square() * new_gradient
        ratio = new_log_p - log_p + (gaussian_log_prob(z, back, width.square())
                                     - gaussian_log_prob(new, there, width.square())).sum(-1)  # fmt: skip
        taken = torch.rand(ratio.shape, generator=generator).to(ratio).log() < ratio  # (s, b)
        z, gradient = (torch.where(taken[..., None], *pair) for pair in ((new, z), (new_gradient, gradient)))
        log_p = torch.where(taken, new_log_p, log_p)
        share = taken.float().mean(0)  # (b,)
        if move < moves // 2:
            step = step * (0.5 * (share - AIM)).exp()[:, None]
        else:
            accepted.append(float(share.mean()))
    weights = torch.full_like(log_p, 1 / chains)
    return replace(found, z=_moved_to(model, start, z), weights=weights, accepted=sum(accepted) / len(accepted))


def _moved_to(model: LatentModel, z: Latent, numbers: Tensor) -> Latent:
    """The same classes with other numbers (s, b, d)."""
    sizes = gaussians(model)
    return {**z, **dict(zip(sizes, numbers.split(list(sizes.values()), -1), strict=True))}


def _log_joint_and_gradient(
    model: LatentModel, x: Tensor, seen: Tensor, z: Latent, numbers: Tensor
) -> tuple[Tensor, Tensor]:
    """log p(z, visible), (s, b), and its gradient by the real numbers, (s, b, d)."""
    with torch.enable_grad():
        numbers = numbers.detach().requires_grad_()
        log_p = _log_joint(model, x, seen, _moved_to(model, z, numbers))
        (gradient,) = torch.autograd.grad(log_p.sum(), numbers)
    return log_p.detach(), gradient


def _by_weight(z: Latent, weights: Tensor, n: int, generator: torch.Generator | None) -> Latent:
    """Parts (s, b, …) -> (n, b, …), drawn with replacement by weights (s, b)."""
    chosen = torch.multinomial(weights.T.cpu(), n, True, generator=generator).T.to(weights.device)  # (n, b)
    return {name: values[chosen, torch.arange(values.shape[1], device=values.device)] for name, values in z.items()}


# ---- what the draws say of the pixels


def _pictured(
    model: LatentModel, x: Tensor, seen: Tensor, found: Completion, shown: int,
    generator: torch.Generator | None, track: Track[Any],
) -> Completion:  # fmt: skip
    """With some of the draws decoded, and the mean and spread of all."""

    def decoded(z: Latent) -> Tensor:  # (s, b, …) -> (s, b, c, h, w)
        s = len(next(iter(z.values())))
        images = model.decode({name: values.flatten(0, 1) for name, values in z.items()})
        return torch.where(seen, x, images.unflatten(0, (s, len(x))))

    weights = found.weights.double() / found.weights.double().sum(0)
    mean, square = torch.zeros_like(x, dtype=torch.float64), torch.zeros_like(x, dtype=torch.float64)
    for rows in track(torch.arange(len(found.weights)).split(max(1, CHUNK // len(x)))):
        images = decoded({name: values[rows] for name, values in found.z.items()}).double()
        mean += torch.einsum("sb,sbchw->bchw", weights[rows], images)
        square += torch.einsum("sb,sbchw->bchw", weights[rows], images.square())
    some = _by_weight(found.z, found.weights, shown, generator)
    std = (square - mean.square()).clamp_min(0).sqrt()
    return replace(found, images=decoded(some), mean=mean.to(x.dtype), std=std.to(x.dtype))
