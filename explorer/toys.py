"""Models small enough to be solved exactly, for the figures of the lecture tour. Everything in nats."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LOG_2PI = float(np.log(2 * np.pi))
EIGENVALUES = np.array([9, 4, 1, 0.5, 0.25, 0.25])  # of the data that `water_filling` is shown on
NOISE = 0.5  # variance v of its decoder


def normal(x: np.ndarray | float, mean: np.ndarray | float, var: float) -> np.ndarray:
    """log N(x; mean, var)."""
    return -0.5 * ((np.asarray(x) - mean) ** 2 / var + np.log(var) + LOG_2PI)


@dataclass(frozen=True)
class Evidence:
    """z ~ N(0, 1), x|z ~ N(z, 1), seen at x = 1, with the proposal q(z) = N(mean, var).

    The exact posterior is N(½, ½) and log p(x) = log N(1; 0, 2).
    """

    mean: float = 0.0
    var: float = 1.0

    @property
    def exact(self) -> float:
        """log p(x)."""
        return float(normal(1.0, 0.0, 2.0))

    @property
    def to_prior(self) -> float:
        """KL(q ‖ p(z))."""
        return 0.5 * (self.mean**2 + self.var - float(np.log(self.var)) - 1)

    @property
    def gap(self) -> float:
        """KL(q ‖ p(z|x)) = log p(x) − ELBO."""
        return float(self.var + (self.mean - 0.5) ** 2 - 0.5 * np.log(2 * self.var) - 0.5)

    def bounds(self, samples: Sequence[int]) -> np.ndarray:
        """L_S = E[log of the mean of S importance weights], for each S, by quadrature rather than by sampling.

        log y = ∫ (e^−t − e^−ty)/t dt over t > 0, and E[e^−ty] of a mean of S weights is E[e^−tw/S]^S.
        """
        z = self.mean + np.sqrt(self.var) * np.linspace(-9, 9, 241)
        mass = np.exp(normal(z, self.mean, self.var))
        mass /= mass.sum()
        log_w = normal(1.0, z, 1.0) + normal(z, 0.0, 1.0) - normal(z, self.mean, self.var)
        log_w -= self.exact  # weights with mean 1: what is left is L_S − log p(x)
        u = np.linspace(-20, 20, 241)  # t = e^u
        fine = np.concatenate([u - np.log(s) for s in samples])
        transform = np.exp(-np.exp(np.minimum(fine[:, None] + log_w, 700.0))) @ mass  # E[e^−tw/S]
        powers = transform.reshape(len(samples), -1) ** np.asarray(samples)[:, None]
        return self.exact + np.trapezoid(np.exp(-np.exp(u)) - powers, u, axis=1)


@dataclass(frozen=True)
class WaterFilling:
    """The best linear β-VAE of data with these eigenvalues and a decoder variance v; the level is t = βv."""

    eigenvalues: np.ndarray
    level: float

    @property
    def kept(self) -> np.ndarray:
        """(d,) variance that passes: (λ − t)₊."""
        return (self.eigenvalues - self.level).clip(min=0)

    @property
    def lost(self) -> np.ndarray:
        """(d,) squared error: min(λ, t)."""
        return np.minimum(self.eigenvalues, self.level)

    @property
    def rates(self) -> np.ndarray:
        """(d,) KL in nats: ½ ln(λ/t)₊."""
        return 0.5 * np.log(self.eigenvalues / self.level).clip(min=0)

    @property
    def distortion(self) -> float:
        return float(self.lost.sum())

    @property
    def rate(self) -> float:
        return float(self.rates.sum())


def water_filling(beta: float) -> WaterFilling:
    """Of EIGENVALUES with NOISE, for β > 0."""
    return WaterFilling(EIGENVALUES, beta * NOISE)


@dataclass(frozen=True)
class Quantiser:
    """The best K codes for a standard normal variable and the squared distance (Lloyd 1957, Max 1960)."""

    codes: np.ndarray  # (K,) rising
    shares: np.ndarray  # (K,) how often each is the nearest

    @property
    def distortion(self) -> float:
        """Mean squared distance: each code is the mean of what it stands for, so that variances subtract."""
        return float(1 - (self.shares * self.codes**2).sum())

    @property
    def rate(self) -> float:
        """Bits by how often each code is used."""
        return float(-(self.shares * np.log2(self.shares)).sum())

    @property
    def least_distortion(self) -> float:
        """What no code of that rate goes below, however many variables it takes together: 2^−2R."""
        return float(2 ** (-2 * self.rate))


def quantiser(count: int) -> Quantiser:
    """By turns each code becomes the mean of what is nearest to it, until nothing moves."""
    codes = np.linspace(-1, 1, count + 2)[1:-1] * 2.5
    while True:
        edges = np.concatenate([[-np.inf], (codes[1:] + codes[:-1]) / 2, [np.inf]])
        below = np.array([0.5 * (1 + math.erf(edge / math.sqrt(2))) for edge in edges])
        density = np.exp(-0.5 * edges**2) / math.sqrt(2 * math.pi)
        shares = np.diff(below)
        means = -np.diff(density) / shares  # of a normal variable between two edges
        if np.abs(means - codes).max() < 1e-9:
            return Quantiser(means, shares)
        codes = means
