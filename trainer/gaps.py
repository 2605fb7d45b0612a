"""Why an ELBO is loose: the encoder's aim, or the family of q (Cremer et al. 2018).

    log p(x) − ELBO(q)  =  [log p(x) − ELBO(q*)]  +  [ELBO(q*) − ELBO(q)]
                            approximation gap         amortisation gap

q is the encoder's Gaussian, q* the best one with a diagonal covariance for this image alone. It is found by Adam from
the encoder's own, by draws that gradients pass through without log q's own score, whose mean is 0 (Roeder et al. 2017):
so that gradients vanish where q is the posterior itself. An encoder may be far off, so there are as many rounds as it
takes until another one gains nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from trainer import likelihood
from trainer.latent import Density, LatentModel
from trainer.probability import gaussian_log_prob, per_image, reparameterise, reparameterised_log_prob
from trainer.trainable import Track

STEPS, DRAWS, RATE = 200, 16, 0.5  # of a round, in which the rate falls to 0
ROUNDS = 10  # at most
LEAST = 0.01  # nats that another round may gain where the error of the ELBO is less than this


@dataclass(frozen=True)
class Gaps:
    """The two gaps of b images, each (b,) in nats, with Monte-Carlo standard errors."""

    elbo: Tensor  # of the encoder's q
    elbo_error: Tensor
    best: Tensor  # ELBO of q*
    best_error: Tensor
    amortisation: Tensor
    amortisation_error: Tensor  # q and q* are measured with the same noise, so that much of it cancels
    evidence: Tensor  # log p(x), or the larger of L_S with draws of q and with draws of q*
    evidence_error: Tensor  # 0 where it is exact; nan where too few draws are effective
    exact: bool  # else the approximation gap is a lower bound
    approximation: Tensor
    approximation_error: Tensor  # nan where that of the evidence is
    settled: Tensor  # bool: whether q* was found; else ELBO(q*) would still rise


def measure(
    model: Density, x: Tensor, samples: int, steps: int = STEPS, seed: int = 0, track: Track[int] = iter
) -> Gaps:
    """The gaps of images (b, c, h, w), all from `samples` draws; q* by rounds of `steps`. `track` wraps each loop that
    takes long. Raises ValueError for a model whose q(z|x) is no Gaussian with a diagonal covariance, or for fewer than
    2 samples.
    """
    if samples < 2:
        raise ValueError(f"samples came as {samples}, expected 2 or more: one gives no error")
    with torch.inference_mode(False), torch.no_grad():
        x = x.clone()  # gradients pass through no tensor that was made in inference mode
        start = _diagonal(model, x)
        own = _weights(model, x, start, samples, seed + 1, track)
        found, settled = _optimised(model, x, start, own, steps, seed, track)
        elbo, elbo_best, error = own.mean(0), found.mean(0), _error(found)
        known = likelihood.exact(model, x)
        evidence, evidence_error, approximation_error = (
            _bounded(own, found) if known is None else (known.double(), torch.zeros_like(error), error)
        )
        return Gaps(
            elbo, _error(own), elbo_best, error, elbo_best - elbo, _error(found - own),
            evidence, evidence_error, known is not None, evidence - elbo_best, approximation_error, settled,
        )  # fmt: skip


def _bounded(own: Tensor, found: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """L_S by whichever draws give more, (b,), its error, and the error of L_S − ELBO(q*); of log weights (s, b)."""
    of_own, of_found = (likelihood.ladder([log_w], [len(log_w)])[0] for log_w in (own, found))
    better = of_own.value > of_found.value
    value, error = of_found.value.maximum(of_own.value), torch.where(better, of_own.error, of_found.error)
    # How far each draw moves L_S − ELBO(q*): what it adds to the log of the mean weight, less what to the mean log.
    moved = (torch.where(better, own, found) - value).exp() - found
    return value, error, torch.where(error.isnan(), error, _error(moved))


def _optimised(
    model: Density, x: Tensor, q: tuple[Tensor, Tensor], log_w: Tensor, steps: int, seed: int, track: Track[int]
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Log weights of draws from q*, (s, b), from those of `q`, with the same noise; and where q* is settled, (b,)."""
    generator, settled = torch.Generator().manual_seed(seed), torch.zeros(len(x), dtype=torch.bool)
    for _ in range(ROUNDS):
        another = optimise(model, x, q, steps, generator, track)
        found = _weights(model, x, another, len(log_w), seed + 1, track)
        rise = found.mean(0) - log_w.mean(0)
        settled = rise.abs() < _error(found).clamp_min(LEAST)
        better = rise > 0
        log_w = torch.where(better, found, log_w)
        q = torch.where(better[:, None], another[0], q[0]), torch.where(better[:, None], another[1], q[1])
        if settled.all():
            break
    return log_w, settled


def optimise(
    model: Density, x: Tensor, q: tuple[Tensor, Tensor], steps: int, generator: torch.Generator | None = None,
    track: Track[int] = iter,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """One round: mean and log-variance, each (b, d), of a Gaussian with a higher ELBO for each image, from `q`.
    A step is as long as a share of its standard deviation, so that all dimensions take about as many.
    """
    start, start_log_var = q
    with torch.enable_grad():
        shift, log_var = torch.zeros_like(start, requires_grad=True), start_log_var.clone().requires_grad_()
        optimizer = torch.optim.Adam([shift, log_var], lr=RATE)
        for step in track(range(steps)):
            optimizer.param_groups[0]["lr"] = RATE * (1 - step / steps) ** 2
            mean = start + shift * (0.5 * start_log_var).exp()
            noise = torch.randn(DRAWS, *start.shape, generator=generator).to(start)
            z = reparameterise(mean, log_var, noise)
            log_q = per_image(gaussian_log_prob(z, mean.detach(), log_var.detach().exp()), 2)
            loss = (log_q - _log_joint(model, x, z)).mean(0).sum()
            shift.grad, log_var.grad = torch.autograd.grad(loss, (shift, log_var))  # and none of the model's weights
            optimizer.step()
    return (start + shift * (0.5 * start_log_var).exp()).detach(), log_var.detach()


def _diagonal(model: Density, x: Tensor) -> tuple[Tensor, Tensor]:
    found = model.diagonal(x)
    if found is None:
        raise ValueError("gaps are told apart where q(z|x) is one Gaussian with a diagonal covariance; here it is not")
    return found


def _log_joint(model: Density, x: Tensor, z: Tensor) -> Tensor:
    """log p(x|z) + log p(z), (s, b), of z (s, b, d)."""
    parts = cast(LatentModel, model).from_points(z.flatten(0, 1))
    latent = {name: values.unflatten(0, z.shape[:2]) for name, values in parts.items()}
    return model.log_likelihood(x, latent) + model.log_prior(latent)


def _weights(
    model: Density, x: Tensor, q: tuple[Tensor, Tensor], samples: int, seed: int, track: Track[int]
) -> Tensor:  # fmt: skip
    """Log weights of draws from a diagonal Gaussian, (s, b)."""
    (mean, log_var), generator = q, torch.Generator().manual_seed(seed)

    def weights(some: int) -> Tensor:
        noise = torch.randn(some, *mean.shape, generator=generator).to(mean)
        log_q = per_image(reparameterised_log_prob(log_var, noise), 2)
        return _log_joint(model, x, reparameterise(mean, log_var, noise)) - log_q

    return torch.cat(list(likelihood.drawn(weights, x, samples, track)))


def _error(values: Tensor) -> Tensor:
    """The standard error of the mean of (s, b), (b,)."""
    return values.std(0) / math.sqrt(len(values))
