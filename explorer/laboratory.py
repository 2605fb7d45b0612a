"""The one-dimensional VAE of the lecture, solved: its bound, and two ways to estimate its gradient. All in nats.

    x ~ N(μ, σ²),   p(z) = N(0, 1),   q(z|x) = N(ax + b, s²),   p(x|z) = N(cz + d, v),   v = c² or of its own

An array of parameters is (4, …), in the order of NAMES. No screen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from explorer.toys import LOG_2PI, normal

NAMES = ("a", "b", "c", "d")
NEAR = 0.005  # parameters that differ by less are written alike
RANGES = {"a": (-0.5, 1.75), "b": (-7.0, 2.0), "c": (0.1, 5.0), "d": (-2.0, 6.0)}  # of a person
EXACT, REPARAMETERISED, SCORE = "exact", "reparameterised", "score function"
WAYS = (EXACT, REPARAMETERISED, SCORE)


# ---- the gradient of E[f(z)] over z = m + s·noise, noise ~ N(0, 1), one estimate from each draw


def reparameterised(slope: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """∂/∂m and ∂/∂s, each (n,), from f's slope at the draws: f may depend on m and s through z alone."""
    return slope, slope * noise


def score_function(value: np.ndarray, noise: np.ndarray, s: float) -> tuple[np.ndarray, np.ndarray]:
    """∂/∂m and ∂/∂s, each (n,), from f's value at the draws: f times the gradient of log N(z; m, s²)."""
    return value * noise / s, value * (noise**2 - 1) / s


def log_q(noise: np.ndarray, s: float) -> np.ndarray:
    """log N(m + s·noise; m, s²), whatever m is."""
    return normal(noise, 0.0, 1.0) - np.log(s)


# ---- the model


@dataclass(frozen=True)
class LinearVAE:
    """The data's mean μ and std σ, the variance s² of q, and the variance v of p(x|z), c² where it is None."""

    mean: float = 3.0
    std: float = 2.0
    s2: float = 1.0
    v: float | None = None

    @property
    def evidence(self) -> float:
        """E log p(x) under the data's own distribution: no model reaches more."""
        return -0.5 * (LOG_2PI + 2 * float(np.log(self.std)) + 1)

    def noise(self, c: np.ndarray) -> np.ndarray:
        """v."""
        return c**2 if self.v is None else np.full_like(c, self.v)

    def elbo(self, parameters: np.ndarray) -> np.ndarray:
        """(…) in the mean over x; −inf where v is 0."""
        a, b, c, d = np.asarray(parameters, float)
        with np.errstate(divide="ignore", invalid="ignore"):
            v = self.noise(c)
            found = -0.5 * (LOG_2PI + np.log(v)) - self._error(a, b, c, d) / (2 * v) - self.to_prior(a, b)
        return np.where(v > 0, found, -np.inf)

    def _error(self, a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> np.ndarray:
        """E (x − cz − d)²."""
        offset = (1 - a * c) * self.mean - c * b - d
        return (1 - a * c) ** 2 * self.std**2 + offset**2 + c**2 * self.s2

    def to_prior(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """E KL(q(z|x) ‖ p(z))."""
        return 0.5 * (a**2 * self.std**2 + (a * self.mean + b) ** 2 + self.s2 - np.log(self.s2) - 1)

    def log_likelihood(self, parameters: np.ndarray) -> np.ndarray:
        """E log p(x), exactly: the model's x is N(d, c² + v)."""
        _, _, c, d = np.asarray(parameters, float)
        var = c**2 + self.noise(c)
        return -0.5 * (LOG_2PI + np.log(var) + (self.std**2 + (self.mean - d) ** 2) / var)

    @property
    def optimum(self) -> np.ndarray:
        """(4,) where the ELBO is highest; with −a and −c it is as high."""
        s, r = np.sqrt(self.s2), 1.0 if self.v is None else np.sqrt(self.v)
        if self.v is None:
            a, c = 1 / (np.sqrt(2) * self.std), self.std / np.sqrt(2)
        else:
            a = np.sqrt(max(0.0, self.std * s / r - self.s2)) / self.std  # 0 where q had better say nothing
            c = a * self.std * r / s
        return np.array([a, -a * self.mean, c, self.mean])

    @property
    def printed(self) -> np.ndarray:
        """(4,) what the lecture calls the solution."""
        return np.array([1 / self.std, -self.mean / self.std, self.std, self.mean])

    @property
    def places(self) -> dict[str, np.ndarray]:
        """What to call the optimum and the lecture's point, and where they are, (4,) each. The lecture's is one of its
        own variances, s² = 1 and v = c², which is said where these are others.
        """
        own = [said for said, other in (("s² = 1", self.s2 != 1), ("v = c²", self.v is not None)) if other]
        best = "optimum" if self.v is None else f"optimum for v = {self.v:g}"
        return {best: self.optimum, "lecture's solution" + (f", of {', '.join(own)}" if own else ""): self.printed}

    def best_on(self, at: np.ndarray, moved: Sequence[str]) -> np.ndarray:
        """(4,) where the ELBO is highest within RANGES if only what is `moved` moves from a place (4,)."""
        from scipy.optimize import minimize

        free = np.isin(NAMES, moved)
        bounds = np.array([RANGES[name] for name in NAMES])[free]

        def whole(some: np.ndarray) -> np.ndarray:
            place = np.array(at, float)
            place[free] = some
            return place

        def loss(some: np.ndarray) -> tuple[float, np.ndarray]:
            return -float(self.elbo(whole(some))), -self.gradient(whole(some))[free]

        lines = [np.linspace(low, high, 9) for low, high in bounds]
        starts = np.stack(np.meshgrid(*lines, indexing="ij"), -1).reshape(-1, len(bounds))
        start = min(starts, key=lambda some: loss(some)[0])
        return whole(minimize(loss, start, jac=True, bounds=bounds).x)

    def best(self, a: np.ndarray) -> np.ndarray:
        """The highest ELBO with each a, for v = c²: b and d centre everything, and c solves 1/c² − a/c = 1/σ²."""
        c = 2 / (a + np.sqrt(a**2 + 4 / self.std**2))
        return self.elbo(np.stack([a, -a * self.mean, c, np.full_like(a, self.mean)]))

    # ---- its gradient

    def gradient(self, parameters: np.ndarray) -> np.ndarray:
        """(4,) of the ELBO, in closed form."""
        a, b, c, d = np.asarray(parameters, float)
        v, left, mean = self.noise(c), 1 - a * c, a * self.mean + b  # mean: E z
        offset = self.mean - c * mean - d
        at_a = c * (left * self.std**2 + offset * self.mean) / v - a * self.std**2 - mean * self.mean
        at_c = (a * left * self.std**2 + offset * mean - c * self.s2) / v
        if self.v is None:
            at_c += self._error(a, b, c, d) / c**3 - 1 / c
        return np.array([at_a, c * offset / v - mean, at_c, offset / v])

    def estimates(self, parameters: np.ndarray, x: np.ndarray, noise: np.ndarray, way: str) -> np.ndarray:
        """(n, 4) one estimate of the gradient from each draw x (n,) of the data and `noise` (n,) for z.

        c and d are no parameters of q: their gradient is that of log p(x|z), whatever the way.
        """
        a, b, c, d = np.asarray(parameters, float)
        v, s = float(self.noise(c)), float(np.sqrt(self.s2))
        z = a * x + b + s * noise
        left = x - c * z - d
        if way == REPARAMETERISED:
            at_m, _ = reparameterised(c * left / v - z, noise)  # log q is the same for every m
        else:
            at_m, _ = score_function(normal(left, 0.0, v) + normal(z, 0.0, 1.0) - log_q(noise, s), noise, s)
        at_c = left * z / v
        if self.v is None:
            at_c = at_c + left**2 / c**3 - 1 / c
        return np.stack([at_m * x, at_m, at_c, left / v], axis=1)

    def draws(self, *shape: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """x of the data and noise for z, each of a shape."""
        generator = np.random.default_rng(seed)
        return self.mean + self.std * generator.standard_normal(shape), generator.standard_normal(shape)

    def variances(self, parameters: np.ndarray, way: str, count: int, seed: int = 0) -> np.ndarray:
        """(4,) of the estimates, from `count` draws."""
        return self.estimates(parameters, *self.draws(count, seed=seed), way).var(0, ddof=1)

    def climb(
        self,
        start: np.ndarray,
        way: str,
        steps: int,
        rate: float,
        draws: int,
        moved: Sequence[str] = NAMES,
        seed: int = 0,
    ) -> np.ndarray:
        """(steps + 1, 4) gradient descent on −ELBO from a start, each gradient the mean of `draws` estimates.

        Only what is `moved` moves, and within RANGES.
        """
        low, high = np.array([RANGES[name] for name in NAMES]).T
        free = np.isin(NAMES, moved)
        path = [np.array(start, float)]
        for x, noise in zip(*self.draws(steps, draws, seed=seed), strict=True):
            now = path[-1]
            slope = self.gradient(now) if way == EXACT else self.estimates(now, x, noise, way).mean(0)
            path.append(np.where(free, np.clip(now + rate * slope, low, high), now))
        return np.stack(path)


def table(model: LinearVAE, at: np.ndarray) -> str:
    """Markdown: the bound, the exact log-likelihood and what lies between, where a person stands and elsewhere."""
    places = {"here": at, **model.places}
    rows = [["in nats", "ELBO", "E log p(x)", "gap", "below the data's own"], ["---", *["---:"] * 4]]
    for name, place in places.items():
        elbo, exact = float(model.elbo(place)), float(model.log_likelihood(place))
        rows.append([name, *(_nats(value) for value in (elbo, exact, exact - elbo, model.evidence - elbo))])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _nats(value: float) -> str:
    return f"{round(value, 3) + 0:.3f}".replace("-", "−")
