"""Paths between two latents, and directions that attributes have: points in, points out.

Points are (n, d), as `LatentModel.points` gives them. A path is (k, d), both ends included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from explorer.projection import neighbours

if TYPE_CHECKING:
    from torch import Tensor

Decode = Callable[["Tensor"], "Tensor"]  # points (k, d) -> images (k, c, h, w)
Tell = Callable[[int, int], None]  # done, of
NEAREST = 10  # neighbours that a point of the data is joined to
ROUNDS = 10  # iterations after which a geodesic is looked at
SETTLED = 0.0005  # share of the energy
LONGEST = 300  # iterations at most with one number of stops


def straight(a: np.ndarray, b: np.ndarray, count: int) -> np.ndarray:
    """(count, d): equal steps from a (d,) to b (d,)."""
    return a + np.linspace(0, 1, count)[:, None] * (b - a)


def spherical(a: np.ndarray, b: np.ndarray, count: int) -> np.ndarray:
    """Equal turns about the origin, the length changing evenly (Shoemake 1985, with lengths).

    In many dimensions nearly all of a standard normal prior lies on a shell, which the straight line leaves. Where
    the ends have no plane in common (one is 0, or they are opposite) it is the straight line.
    """
    lengths = np.linalg.norm(a), np.linalg.norm(b)
    if min(lengths) < 1e-9:
        return straight(a, b, count)
    one, other = a / lengths[0], b / lengths[1]
    angle = np.arccos(np.clip(one @ other, -1, 1))
    if angle < 1e-6 or angle > np.pi - 1e-6:
        return straight(a, b, count)
    share = np.linspace(0, 1, count)[:, None]
    turned = (np.sin((1 - share) * angle) * one + np.sin(share * angle) * other) / np.sin(angle)
    return turned * (lengths[0] + share * (lengths[1] - lengths[0]))


def through_data(a: np.ndarray, b: np.ndarray, points: np.ndarray, count: int) -> np.ndarray:
    """Along points of the data, (n, d): the shortest way over steps between nearest neighbours, steps squared.

    Squares make many short steps cheaper than a few long ones, so that the way stays where the data are dense. The
    stops are at equal distances along it. Where no way over neighbours leads, it is the straight line.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import dijkstra

    nodes = np.concatenate([a[None], b[None], points])
    near, distances = neighbours(nodes, NEAREST + 1)
    rows = np.repeat(np.arange(len(nodes)), near.shape[1])
    weights = np.maximum(distances.ravel().astype(np.float64), 1e-12) ** 2
    apart = rows != near.ravel()
    graph = coo_array((weights[apart], (rows[apart], near.ravel()[apart])), shape=(len(nodes), len(nodes)))
    lengths, before = dijkstra(graph.tocsr(), directed=False, indices=0, return_predecessors=True)
    if not np.isfinite(lengths[1]):
        return straight(a, b, count)
    way = [1]
    while way[-1] != 0:
        way.append(int(before[way[-1]]))
    return resampled(nodes[way[::-1]], count)


def resampled(path: np.ndarray, count: int) -> np.ndarray:
    """A path (k, d) with `count` stops at equal distances along it."""
    steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
    places = np.concatenate([[0], np.cumsum(steps)])
    if places[-1] == 0:
        return np.repeat(path[:1], count, axis=0)
    wanted = np.linspace(0, places[-1], count)
    return np.stack([np.interp(wanted, places, path[:, axis]) for axis in range(path.shape[1])], axis=1)


def pulled_back(
    a: np.ndarray, b: np.ndarray, decode: Decode, count: int, tell: Tell = lambda done, of: None
) -> tuple[np.ndarray, bool]:
    """The path whose images change least in all, and whether it has settled: then it is a geodesic of the decoder's
    pull-back metric, else only the best that was found.

    It is relaxed from the straight line, first with few stops and then with ever more. `tell` hears how many images
    were decoded, of how many at most.
    """
    path, settled, done = straight(a, b, min(count, 5)), True, 0
    stages = _doubling(count)
    for stops in stages:
        coarse = resampled(path, stops)
        for relaxed in relaxing(coarse, decode, LONGEST):
            path, settled, rounds = relaxed
            tell(done + stops * rounds, LONGEST * sum(stages))
        done += stops * LONGEST
    return path, settled


def _doubling(count: int) -> list[int]:
    """5, 9, 17, … and `count` at last."""
    fewer = [2**n + 1 for n in range(2, 12) if 2**n + 1 < count]
    return [*fewer, count] if count > 2 else []


def relaxing(path: np.ndarray, decode: Decode, limit: int) -> Iterator[tuple[np.ndarray, bool, int]]:
    """Paths (k, d) of ever less energy with the same ends, whether one has settled, and after how many iterations.

    Half the sum of squared distances between neighbouring images, times the number of steps, is a path's energy (Shao
    et al. 2018), minimised by L-BFGS. It has settled once `ROUNDS` iterations take less than `SETTLED` of it away.
    """
    import torch

    start = torch.from_numpy(path).float()
    inner = start[1:-1].clone().requires_grad_()
    optimizer = torch.optim.LBFGS([inner], max_iter=ROUNDS, history_size=20, line_search_fn="strong_wolfe")

    def whole() -> Tensor:
        return torch.cat([start[:1], inner, start[-1:]])

    def energy() -> Tensor:
        images = decode(whole()).flatten(1)  # (k, D)
        found = 0.5 * (len(path) - 1) * (images[1:] - images[:-1]).square().sum()
        (inner.grad,) = torch.autograd.grad(found, inner)  # and none to the weights, which others share
        return found.detach()

    for rounds in range(ROUNDS, limit + 1, ROUNDS):
        with torch.inference_mode(False), torch.enable_grad():
            before = float(optimizer.step(energy))  # type: ignore[no-untyped-call]
            after = float(energy())
        settled = before - after <= SETTLED * before
        yield whole().detach().double().numpy(), settled, rounds
        if settled:
            return


def image_length(path: np.ndarray, decode: Decode) -> float:
    """How far the images of a path (k, d) move in all: the sum of the distances between neighbouring ones."""
    import torch

    with torch.inference_mode():
        images = decode(torch.from_numpy(path).float()).flatten(1)
        return float((images[1:] - images[:-1]).norm(dim=1).sum())


def log_prior_density(path: np.ndarray) -> np.ndarray:
    """log N(z; 0, I) in nats at each stop of a path, (k,)."""
    return -0.5 * ((path**2).sum(1) + path.shape[1] * np.log(2 * np.pi))


def to_data(path: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(k,) distance from each stop to the nearest point of the data."""
    return neighbours(points, 1, path)[1][:, 0]


@dataclass(frozen=True)
class Attribute:
    """A direction from those without it to those with it: the difference of their means."""

    direction: np.ndarray  # (d,)
    low: np.ndarray  # (d,) 2.5th percentile of the direction over bootstrap samples
    high: np.ndarray  # (d,) 97.5th
    agreement: float  # mean cosine between the direction and those of the bootstrap samples

    @classmethod
    def of(cls, points: np.ndarray, has: np.ndarray, draws: int = 200, seed: int = 0) -> Attribute:
        """From points (n, d) and which have it (n,). Raises ValueError unless at least two do and two do not."""
        have, lack = points[has].astype(np.float64), points[~has].astype(np.float64)
        if min(len(have), len(lack)) < 2:
            raise ValueError(f"{len(have)} points have it and {len(lack)} do not: at least 2 of each are needed")
        random = np.random.default_rng(seed)
        direction = have.mean(0) - lack.mean(0)
        drawn = np.stack([_drawn_mean(have, random) - _drawn_mean(lack, random) for _ in range(draws)])  # (draws, d)
        low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
        length = np.linalg.norm(drawn, axis=1) * max(1e-12, float(np.linalg.norm(direction)))
        return cls(direction, low, high, float((drawn @ direction / np.maximum(length, 1e-12)).mean()))

    def leakage(self, points: np.ndarray, levels: np.ndarray) -> np.ndarray:
        """(f,) how much of each factor goes along with it: the squared correlation, over the points (n, d), between
        where a point lies along the direction and the factor's level, (n, f). A factor that is constant has none.
        """
        along = points @ self.direction
        along = along - along.mean()
        centred = levels - levels.mean(0)
        spread = np.sqrt((along**2).sum() * (centred**2).sum(0))
        return np.where(spread > 0, (along @ centred / np.where(spread > 0, spread, 1)) ** 2, 0.0)


def _drawn_mean(points: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return points[random.integers(len(points), size=len(points))].mean(0)
