"""Expectation-maximisation of mixtures whose components take each pixel alone (Dempster et al. 1977), in float64.

responsibility r_nc = w_c p(x_n|c) / Σ_c' w_c' p(x_n|c')
w_c = Σ_n r_nc / N,   m_c = Σ_n r_nc x_n / Σ_n r_nc,   v_c = Σ_n r_nc (x_n − m_c)² / Σ_n r_nc

A least variance, or a least distance of a Bernoulli's mean from 0 and 1, bounds what is maximised over, so that no pass
lowers Σ log p(x) with them either.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from trainer.data import Images, shuffled
from trainer.probability import LOG_2PI
from trainer.trainable import Track

PASSES, RISE = 200, 1e-3  # over the images at most, and nats per image that another one must bring
STARTED_FROM, HELD = 10_000, 2**25  # images that the first means are chosen from, and pixels of all of them, at most
LEAST_WEIGHT = 1e-7  # of a component that no image is near to; float16 has such numbers
LEAST_MEAN = 1e-3  # distance of a Bernoulli's mean from 0 and from 1


def exact(values: Tensor) -> Tensor:
    """As float64, which Apple's MPS has not: from there they move to the CPU."""
    return (values.cpu() if values.device.type == "mps" else values).double()


def rows(x: Tensor) -> Tensor:
    """(b, c, h, w) -> (b, D) float64."""
    return exact(x.flatten(1))


@dataclass(frozen=True)
class Components:
    """What p(x) is made of, float64."""

    weight: Tensor  # (k,), of sum 1
    mean: Tensor  # (k, D)
    variance: Tensor | None  # (k, D), or (1, 1) where all share one; None for Bernoullis

    def log_joint(self, x: Tensor) -> Tensor:
        """log p(c) + log p(x|c), (b, k), of rows (b, D): products of matrices, since p is of an exponential family."""
        if self.variance is None:
            return x @ self.mean.logit().T + (-self.mean).log1p().sum(1) + self.weight.log()
        precision = 1 / self.variance.expand_as(self.mean)
        constant = (self.mean.square() * precision - precision.log() + LOG_2PI).sum(1)
        return x @ (self.mean * precision).T - 0.5 * (x.square() @ precision.T + constant) + self.weight.log()


@dataclass(frozen=True)
class EM:
    """Fits `k` components to images: Gaussians with this kind of `variance`, or Bernoullis where it is None."""

    images: Images
    device: torch.device
    k: int
    variance: Literal["diagonal", "shared"] | None
    least_std: float

    def best(self, restarts: int, track: Track[Tensor] = iter) -> Components:
        """The components of most likelihood of those that are found from so many starts; ever the same."""
        return max((self.converged(seed, track) for seed in range(restarts)), key=lambda found: found[1])[0]

    def converged(self, seed: int, track: Track[Tensor] = iter) -> tuple[Components, float]:
        """The last of `passes`, when another one would bring next to nothing."""
        passes, before = self.passes(seed), -math.inf
        for _ in track(torch.arange(PASSES)):
            found, log_p = next(passes)
            if log_p - before < RISE:
                break
            before = log_p
        return found, log_p

    def passes(self, seed: int) -> Iterator[tuple[Components, float]]:
        """Components that each pass over the images improves, and their mean log p(x), in nats; without end."""
        from sklearn.cluster import kmeans_plusplus

        count = max(self.k, min(STARTED_FROM, HELD // math.prod(self.images.shape)))
        some = rows(self.images.batch(shuffled(len(self.images))[:count], self.device))
        chosen, _ = kmeans_plusplus(some.cpu().numpy(), self.k, random_state=seed)
        centres = torch.from_numpy(chosen).to(some)  # (k, D)
        half = 0.5 * centres.square().sum(1)
        found, _ = self.improved(lambda x: 1e9 * (x @ centres.T - half))  # each image to the nearest one
        while True:
            better, log_p = self.improved(found.log_joint)
            yield found, log_p
            found = better

    def improved(self, log_joint: Callable[[Tensor], Tensor]) -> tuple[Components, float]:
        """One pass: the components of most likelihood for the responsibilities by `log_joint`, and the mean log p(x)
        by it. A component that no image is near to becomes all images together.
        """
        width, n = math.prod(self.images.shape), len(self.images)
        like = exact(torch.zeros((), device=self.device))
        share, log_p = like.new_zeros(self.k, 1), like  # images of each component
        first, second = like.new_zeros(self.k, width), like.new_zeros(self.k, width)
        for x in map(rows, self.images.stream(self.device)):
            joint = log_joint(x)
            log_p = log_p + joint.logsumexp(1).sum()
            responsibility = joint.softmax(1).T  # (k, b)
            share += responsibility.sum(1, keepdim=True)
            first += responsibility @ x
            if self.variance:
                second += responsibility @ x.square()
        empty = share < LEAST_WEIGHT * n
        share = share.masked_fill(empty, LEAST_WEIGHT * n)
        weight = share[:, 0] / n
        mean = torch.where(empty, first.sum(0) / n, first / share)
        if not self.variance:
            return Components(weight, mean.clamp(LEAST_MEAN, 1 - LEAST_MEAN), None), float(log_p) / n
        variance = torch.where(empty, second.sum(0) / n, second / share) - mean.square()
        if self.variance == "shared":
            variance = (weight @ variance).mean()[None, None]
        return Components(weight, mean, variance.clamp_min(self.least_std**2)), float(log_p) / n
