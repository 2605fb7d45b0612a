"""Points (n, d) -> places on a plane (n, 2), exact neighbours, and how far from the data a place is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

CHUNK = 2**24  # distances held at once
EPOCHS = 200  # of a UMAP layout, and a third of them to place new points; see benchmarks/README.md


@dataclass(frozen=True)
class Umap:
    """How UMAP lays points out (McInnes et al. 2018)."""

    n_neighbors: int = 15  # small: fine structure; large: the whole
    min_dist: float = 0.1  # how closely points may be packed
    metric: Literal["euclidean", "cosine"] = "euclidean"
    seed: int = 0


Report = Callable[[str, int, int], None]  # phase, done, of


def pca(points: np.ndarray) -> np.ndarray:
    """(n, d) -> (n, 2) float32, on the two principal axes; a missing axis is 0.

    The direction of an axis is settled by its largest loading, which is positive, so that a map never flips.
    """
    n, d = points.shape
    places = np.zeros((n, 2), np.float32)
    if n < 2:
        return places
    centred = points.astype(np.float64) - points.mean(0, dtype=np.float64)
    axes = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :2]  # (d, ≤ 2), most variance first
    axes = axes * np.sign(np.take_along_axis(axes, np.abs(axes).argmax(0)[None], 0))
    places[:, : min(2, d)] = centred @ axes
    return places


def neighbours(
    points: np.ndarray,
    k: int,
    queries: np.ndarray | None = None,
    metric: str = "euclidean",
    tell: Callable[[int, int], None] = lambda done, of: None,
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest of `points` (n, d) to each of `queries` (q, d): positions (q, k) and distances, nearest first.

    Exact. Without `queries` they are the points themselves, each its own first neighbour. "cosine" is 1 − cos. `tell`
    hears of how many queries the neighbours are known, of how many.
    """
    import torch

    # about their mean: far from the origin squares have no digits left for who is near
    mean = points.mean(0, dtype=np.float64) if metric == "euclidean" and len(points) else 0.0
    base = torch.from_numpy((points - mean).astype(np.float32))
    asked = base if queries is None else torch.from_numpy((queries - mean).astype(np.float32))
    if metric == "cosine":
        base, asked = torch.nn.functional.normalize(base), torch.nn.functional.normalize(asked)
    k, own = min(k, len(base)), torch.arange(len(asked))
    found, distances = [], []
    for rows in torch.arange(len(asked)).split(max(1, CHUNK // max(1, len(base)))):
        # expanded squares lose digits where points are close, so that only who is near is found by them
        near = _squares(asked[rows], base).topk(min(len(base), k + 8), largest=False).indices  # (r, k + 8)
        exact = (asked[rows][:, None] - base[near]).square().sum(-1)  # (r, k + 8)
        if queries is None:
            exact[near == own[rows][:, None]] = -1.0  # itself comes first, among its doubles too
        chosen = exact.topk(k, largest=False)
        found.append(near.gather(1, chosen.indices))
        distances.append(chosen.values.clamp_min(0))
        tell(sum(map(len, found)), len(asked))
    squares = torch.cat(distances) if distances else torch.zeros(0, k)
    length = squares / 2 if metric == "cosine" else squares.sqrt()
    return (torch.cat(found) if found else torch.zeros(0, k).long()).numpy(), length.numpy()


def _squares(a, b):  # type: ignore[no-untyped-def]
    return a.square().sum(1)[:, None] + b.square().sum(1)[None] - 2 * a @ b.T


class _Exact:
    """What UMAP asks for the neighbours of new points."""

    _angular_trees = False

    def __init__(self, points: np.ndarray, metric: str) -> None:
        self.points, self.metric = points, metric

    def query(self, queries: np.ndarray, k: int, epsilon: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
        """Positions and distances, each (q, k)."""
        return neighbours(self.points, k, queries, self.metric)


def umap(points: np.ndarray, options: Umap, report: Report) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """UMAP's places of (n, d) points, (n, 2), and a function that places new points (q, d) among them.

    It has exact neighbours to work on, so that below 4,096 points too it is quick, and is deterministic for a seed.
    Fewer than four points, or points that are all the same, have no shape to show and get their principal axes.
    """
    points = np.ascontiguousarray(points, np.float32)
    if len(points) < 4 or not np.ptp(points, axis=0).any():
        return pca(points), lambda new: np.zeros((len(new), 2), np.float32)
    report("loading", 0, 1)
    import umap as library

    k = min(options.n_neighbors, len(points) - 1)
    near, distances = neighbours(points, k, metric=options.metric, tell=partial(report, "neighbours"))
    report("compiling", 0, 1)  # numba does so in the first call of each function
    model = library.UMAP(
        n_neighbors=k,
        min_dist=options.min_dist,
        metric=options.metric,
        random_state=options.seed,
        transform_seed=options.seed,
        n_epochs=EPOCHS,
        n_jobs=1,  # what a seed asks for
        init="spectral" if len(points) > 10 * k else _spread(points),
        force_approximation_algorithm=True,  # else precomputed neighbours are not used below 4,096 points
        precomputed_knn=(near.astype(np.int32), distances.astype(np.float32), None),
        tqdm_kwds={"file": _Epochs(report), "bar_format": "{n}/{total}\n", "mininterval": 0.2, "disable": False},
        verbose=False,
    )
    places = model.fit_transform(points).astype(np.float32)
    model._knn_search_index = _Exact(points, options.metric)
    return places, lambda new: model.transform(np.ascontiguousarray(new, np.float32)).astype(np.float32)


def _spread(points: np.ndarray) -> np.ndarray:
    """(n, 2) the principal axes with a little noise, so that an axis that is missing can be grown into.

    It is what UMAP starts few points from: their graph may be too dense for a spectral layout.
    """
    places = pca(points)
    noise = np.random.default_rng(0).normal(scale=1e-5 * np.abs(places).max(), size=places.shape)
    return (places + noise).astype(np.float32)


class _Epochs:
    """A file that tqdm writes "n/total" into."""

    def __init__(self, report: Report) -> None:
        self.report = report

    def write(self, text: str) -> None:
        done, slash, total = text.strip().partition("/")
        if slash and done.isdigit() and total.isdigit():
            self.report("layout", int(done), int(total))

    def flush(self) -> None:
        """Nothing is held."""


def among(places: np.ndarray, near: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """Where new points go by their neighbours' places: (q, 2), weighted by 1 / distance.

    places: (n, 2); near and distances: (q, k). A point that is one of the data goes where that one is.
    """
    weight = 1 / np.maximum(distances, 1e-6 * max(1e-12, float(distances.max(initial=0))))
    weight = weight / weight.sum(1, keepdims=True)
    return np.einsum("qk,qkc->qc", weight, places[near]).astype(np.float32)


def outlyingness(points: np.ndarray, queries: np.ndarray, k: int = 10) -> np.ndarray:
    """(q,) percentage of the data that lie closer to their own k-th neighbour than each query does to its own: 99 is
    further out than 99 % of them.
    """
    own = neighbours(points, k + 1)[1][:, -1]
    theirs = neighbours(points, k + 1, queries)[1]  # (q, k + 1)
    is_of_them = theirs[:, 0] < 1e-6 * own.max(initial=1e-12)  # and so its own first neighbour, as theirs are
    theirs = np.where(is_of_them, theirs[:, -1], theirs[:, min(k, theirs.shape[1]) - 1])
    return 100 * np.searchsorted(np.sort(own), theirs, side="left") / max(1, len(own))
