"""Bounds on log p(x) for every `Density` model, from the one implementation of importance weights.

    w_s = p(x|z_s) p(z_s) / q(z_s|x)
    L_S = E log 1/S Σ w_s,   L_1 = ELBO,   L_S ≤ L_{S+1} ≤ log p(x)      Burda et al. 2016, eq. 8 and theorem 1

However many draws there are, they are taken some at a time: what is kept is one number of each kind per image.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.latent import Density, Latent, LatentModel
from trainer.trainable import NOTHING, Track

EFFECTIVE = 5  # effective sample size, below which the delta method tells no error: it says 1 nat at most
AT_ONCE = 2**21  # pixels that are decoded at once, of all draws and images: 8 MB, which caches hold


@dataclass(frozen=True)
class Estimate:
    """An estimate of log p(x) for each image, biased low."""

    value: Tensor  # (b,) nats, log of the mean weight
    error: Tensor  # (b,) nats, its Monte-Carlo standard error; nan where too few draws are effective to tell
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


def prior_weights(model: Density, x: Tensor, samples: int, generator: torch.Generator | None = None) -> Tensor:
    """log p(x|z) for `samples` draws of the prior, (s, b), in nats: what is left of a weight whose proposal it is."""
    assert isinstance(model, LatentModel)
    drawn = model.sample(samples * len(x), generator=generator)
    z: Latent = {name: values.unflatten(0, (samples, len(x))) for name, values in drawn.items()}
    return model.log_likelihood(x, z)


def prior_estimate(model: Density, x: Tensor, samples: int, generator: torch.Generator | None = None) -> Estimate:
    """log 1/S Σ p(x|z_s) with z_s from the prior: naive Monte Carlo, whose few good draws decide. Raises ValueError for
    no samples.
    """
    return _streamed(lambda some: prior_weights(model, x, some, generator), x, samples)


def ladder(log_w: Tensor, sizes: Sequence[int]) -> list[Estimate]:
    """L_S for each S of `sizes` from the same log weights (s, b): the mean over as many groups of S as there are. Where
    each S divides the next one, what is found never falls. Raises ValueError for an S that there are not enough for.
    """
    found = []
    for size in sizes:
        if not 1 <= size <= len(log_w):
            raise ValueError(f"a bound of {size} samples needs as many weights, got {len(log_w)}")
        groups = len(log_w) // size
        each = log_w[: groups * size].double().unflatten(0, (groups, size))  # (groups, S, b)
        ess = (2 * each.logsumexp(1) - (2 * each).logsumexp(1)).exp()  # (groups, b)
        values = each.logsumexp(1) - math.log(size)
        error = values.std(0) / math.sqrt(groups) if groups > 1 else _error(ess[0], size)
        found.append(Estimate(values.mean(0), error, ess.mean(0), each.mean((0, 1)), size))
    return found


def exact(model: Density, x: Tensor) -> Tensor | None:
    """log p(x), (b,) nats, where a model knows it; None where it does not."""
    return model.log_evidence(x)


def bounds(
    model: Density, x: Tensor, sizes: Sequence[int], naive: bool = False, seed: int = 0, track: Track[int] = iter,
    at_once: int | None = None,
) -> list[Estimate]:  # fmt: skip
    """The `ladder` of as many draws of q(z|x) as the last of `sizes` says, or `naive`, of the prior. `track` wraps the
    loop over portions of draws, of which `at_once` pixels are decoded together. Raises ValueError as `ladder` does.
    """
    propose, generator = prior_weights if naive else log_weights, torch.Generator().manual_seed(seed)
    portions = drawn(lambda some: propose(model, x, some, generator), x, sizes[-1], track, at_once)
    return ladder(torch.cat(list(portions)), sizes)


def drawn(
    weights: Callable[[int], Tensor], x: Tensor, samples: int, track: Track[int] = iter, at_once: int | None = None
) -> Iterator[Tensor]:
    """`samples` log weights of images, some at a time, (s, b) float64, as `weights` of a number of them gives them.
    `at_once` is how many pixels are decoded together. Raises ValueError for no samples.
    """
    if samples < 1:
        raise ValueError(f"a bound needs at least 1 sample, got samples={samples}")
    most = max(1, (at_once or AT_ONCE) // max(1, x.numel()))
    for start in track(range(0, samples, most)):
        yield weights(min(most, samples - start)).double()


def _streamed(weights: Callable[[int], Tensor], x: Tensor, samples: int) -> Estimate:
    """Add up weights that are drawn some at a time: their sum, the sum of their squares, the sum of their logs."""
    one = two = torch.full((len(x),), -math.inf, dtype=torch.float64, device=x.device)
    logs = torch.zeros_like(one)
    for log_w in drawn(weights, x, samples):
        one = torch.logaddexp(one, log_w.logsumexp(0))
        two = torch.logaddexp(two, (2 * log_w).logsumexp(0))
        logs = logs + log_w.sum(0)
    ess = (2 * one - two).exp()
    return Estimate(one - math.log(samples), _error(ess, samples), ess, logs / samples, samples)


def _error(ess: Tensor, samples: int) -> Tensor:
    """The standard error of the log of a mean of weights, by the delta method: √(Var(w) / S) / E(w); nan where too few
    are effective.
    """
    found = ((1 / ess - 1 / samples).clamp_min(0) * samples / max(1, samples - 1)).sqrt()
    return found.where(ess >= EFFECTIVE, math.nan)
