"""Bounds on log p(x) for every `Density` model, from the one implementation of importance weights.

    w_s = p(x|z_s) p(z_s) / q(z_s|x)
    L_S = E log 1/S Σ w_s,   L_1 = ELBO,   L_S ≤ L_{S+1} ≤ log p(x)      Burda et al. 2016, eq. 8 and theorem 1

However many draws there are, they are taken some at a time: what is kept is one number of each kind per image.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.latent import Density, Latent, LatentModel
from trainer.trainable import NOTHING, Track

EFFECTIVE = 5  # effective sample size, below which the delta method tells no error: it says 1 nat at most
AT_ONCE = 2**22  # pixels that are decoded at once, of all draws and images: 16 MB


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
    return bounds(model, x, [samples], generator, given)[0]


def prior_weights(model: Density, x: Tensor, samples: int, generator: torch.Generator | None = None) -> Tensor:
    """log p(x|z) for `samples` draws of the prior, (s, b), in nats: what is left of a weight whose proposal it is."""
    assert isinstance(model, LatentModel)
    drawn = model.sample(samples * len(x), generator=generator)
    z: Latent = {name: values.unflatten(0, (samples, len(x))) for name, values in drawn.items()}
    return model.log_likelihood(x, z)


def ladder(portions: Iterable[Tensor], sizes: Sequence[int]) -> list[Estimate]:
    """L_S for each S of `sizes` from the same log weights, which come in portions (s, b): the mean over as many groups
    of S as there are. Where each S divides the next one, what is found never falls. Raises ValueError for an S that
    there are not enough for.
    """
    rungs = [_Rung(size) for size in sizes]
    for log_w in portions:
        for rung in rungs:
            rung.add(log_w.double())
    return [rung.estimate() for rung in rungs]


def exact(model: Density, x: Tensor) -> Tensor | None:
    """log p(x), (b,) nats, where a model knows it; None where it does not."""
    return model.log_evidence(x)


def bounds(
    model: Density, x: Tensor, sizes: Sequence[int], generator: torch.Generator | None = None,
    given: Mapping[str, Tensor] = NOTHING, track: Track[int] = iter, at_once: int | None = None,
) -> list[Estimate]:  # fmt: skip
    """The `ladder` of as many draws of q(z|x) as the last of `sizes` says, on log p(x | given). `track` wraps the loop
    over portions of draws, of which `at_once` pixels are decoded together. Raises ValueError as `ladder` does.
    """
    return ladder(
        drawn(lambda some: log_weights(model, x, some, generator, given), x, sizes[-1], track, at_once), sizes
    )


def prior_bounds(
    model: Density, x: Tensor, sizes: Sequence[int], generator: torch.Generator | None = None,
    track: Track[int] = iter, at_once: int | None = None,
) -> list[Estimate]:  # fmt: skip
    """The same with z from the prior: naive Monte Carlo, log 1/S Σ p(x|z_s), whose few good draws decide."""
    return ladder(drawn(lambda some: prior_weights(model, x, some, generator), x, sizes[-1], track, at_once), sizes)


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


class _Rung:
    """L_S of images from log weights that come some at a time: the sums over the group of S that is being filled, and
    sums over the groups before it.
    """

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError(f"a bound needs at least 1 sample, got samples={size}")
        self.size, self.groups, self.filled = size, 0, 0
        self.open = self.closed = torch.zeros(0)

    def add(self, log_w: Tensor) -> None:
        """More of them, (s, b) float64."""
        while len(log_w):
            whole = 0 if self.filled else len(log_w) // self.size  # groups that these fill by themselves
            count = whole * self.size or min(self.size - self.filled, len(log_w))
            some, log_w = log_w[:count].unflatten(0, (whole or 1, -1)), log_w[count:]  # (g, s, b)
            sums = torch.stack([some.logsumexp(1), (2 * some).logsumexp(1), some.sum(1)])  # Σ w, Σ w², Σ log w
            if self.filled:
                sums = torch.cat([torch.logaddexp(self.open[:2], sums[:2]), self.open[2:] + sums[2:]])
            self.filled += 0 if whole else count
            if whole or self.filled == self.size:
                self._close(sums)
            else:
                self.open = sums

    def _close(self, sums: Tensor) -> None:
        """Groups that are full, (3, g, b)."""
        one, two, logs = sums
        value = one - math.log(self.size)
        each = torch.stack([value, value.square(), (2 * one - two).exp(), logs / self.size]).sum(1)  # (4, b)
        self.closed = self.closed + each if self.groups else each
        self.groups, self.filled = self.groups + len(one), 0

    def estimate(self) -> Estimate:
        """The mean over the groups. Raises ValueError where none is full."""
        if not self.groups:
            raise ValueError(f"a bound of {self.size} samples needs as many weights, got {self.filled}")
        value, square, ess, mean_log = self.closed / self.groups
        spread = (square - value.square()).clamp_min(0)  # over the groups
        error = (spread / (self.groups - 1)).sqrt() if self.groups > 1 else _error(ess, self.size)
        return Estimate(value, error, ess, mean_log, self.size)


def _error(ess: Tensor, samples: int) -> Tensor:
    """The standard error of the log of a mean of weights, by the delta method: √(Var(w) / S) / E(w); nan where too few
    are effective.
    """
    found = ((1 / ess - 1 / samples).clamp_min(0) * samples / max(1, samples - 1)).sqrt()
    return found.where(ess >= EFFECTIVE, math.nan)
