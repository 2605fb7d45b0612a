"""Bounds on log p(x) for every `Density` model, from the one implementation of importance weights.

    w_s = p(x|z_s) p(z_s) / q(z_s|x)
    L_S = E log 1/S Σ w_s,   L_1 = ELBO,   L_S ≤ L_{S+1} ≤ log p(x)      Burda et al. 2016, eq. 8 and theorem 1

However many draws there are, they are taken some at a time: what is kept is one number of each kind per image.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.latent import Density, Latent, LatentModel
from trainer.trainable import NOTHING

AT_ONCE = 2**22  # pixels that are decoded at once, of all draws and images: 16 MB each time they are copied


@dataclass(frozen=True)
class Estimate:
    """An estimate of log p(x) for each image, biased low."""

    value: Tensor  # (b,) nats, log of the mean weight
    error: Tensor  # (b,) nats, its Monte-Carlo standard error by the delta method
    ess: Tensor  # (b,) effective sample size (Kong 1992), 1 … S: (Σ w)² / Σ w²
    mean_log: Tensor  # (b,) nats, the mean log weight: S draws' estimate of L_1
    samples: int  # S


def log_weights(
    model: Density,
    x: Tensor,
    samples: int,
    generator: torch.Generator | None = None,
    given: Mapping[str, Tensor] = NOTHING,
) -> Tensor:
    """log p(x|z) + log p(z) − log q(z|x) for `samples` draws of q, (s, b), in nats; all of it given what is `given`."""
    if samples < 1:
        raise ValueError(f"a bound needs at least 1 sample, got samples={samples}")
    z, log_q = model.infer(x, samples, given, generator)
    return model.log_likelihood(x, z) + model.log_prior(z, given) - log_q


def importance_bound(
    model: Density,
    x: Tensor,
    samples: int,
    generator: torch.Generator | None = None,
    given: Mapping[str, Tensor] = NOTHING,
) -> Estimate:
    """L_S from S draws of q(z|x) per image, of log p(x | given). Raises ValueError for no samples."""
    return _streamed(lambda some: log_weights(model, x, some, generator, given), x, samples)


def prior_estimate(model: Density, x: Tensor, samples: int, generator: torch.Generator | None = None) -> Estimate:
    """log 1/S Σ p(x|z_s) with z_s from the prior: naive Monte Carlo, whose few good draws decide. Raises ValueError for
    no samples.
    """

    def weights(some: int) -> Tensor:
        assert isinstance(model, LatentModel)
        drawn = model.sample(some * len(x), generator=generator)
        z: Latent = {name: values.unflatten(0, (some, len(x))) for name, values in drawn.items()}
        return model.log_likelihood(x, z)

    return _streamed(weights, x, samples)


def exact(model: Density, x: Tensor) -> Tensor | None:
    """log p(x), (b,) nats, where a model knows it; None where it does not."""
    known: Callable[[Tensor], Tensor] | None = getattr(model, "log_evidence", None)
    return known(x) if known else None


def _streamed(weights: Callable[[int], Tensor], x: Tensor, samples: int) -> Estimate:
    """Add up weights that are drawn some at a time: their sum, the sum of their squares, the sum of their logs."""
    if samples < 1:
        raise ValueError(f"a bound needs at least 1 sample, got samples={samples}")
    one = two = torch.full((len(x),), -math.inf, dtype=torch.float64, device=x.device)
    logs = torch.zeros_like(one)
    for some in _portions(samples, max(1, AT_ONCE // max(1, x.numel()))):
        log_w = weights(some).double()  # (s, b)
        one = torch.logaddexp(one, log_w.logsumexp(0))
        two = torch.logaddexp(two, (2 * log_w).logsumexp(0))
        logs = logs + log_w.sum(0)
    ess = (2 * one - two).exp()
    value, spread = one - math.log(samples), (1 / ess - 1 / samples).clamp_min(0)  # Var(w) / (S E(w)²), over S − 1
    error = (spread * samples / max(1, samples - 1)).sqrt() if samples > 1 else torch.full_like(one, math.nan)
    return Estimate(value, error, ess, logs / samples, samples)


def _portions(total: int, most: int) -> Iterator[int]:
    for start in range(0, total, most):
        yield min(most, total - start)
