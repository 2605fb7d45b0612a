"""Do single dimensions stand for single factors? Six metrics over one table of codes and known factors.

A representation is encoded once; each metric then indexes that table. A factor that never changes is left out.
Scores are from 0 to 1; what a perfect code can reach depends on the factors (see `mig` and `sap`).

Letters in shapes: n images, d latent dimensions, f factors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from trainer.data import Images, shuffled

if TYPE_CHECKING:
    from trainer.latent import LatentModel
    from trainer.trainable import Track

BINS = 20  # equal-width bins of each dimension, for mutual information (Locatello et al. 2019)
ACTIVE_STD = 0.05  # below it a dimension is left out of the FactorVAE score
BATCH = 64  # images, or pairs of them, behind one point of the BetaVAE and FactorVAE scores


@dataclass(frozen=True)
class Table:
    """Codes and factors of the same images."""

    codes: np.ndarray  # (n, d)
    factors: np.ndarray  # (n, f) level numbers, from 0
    names: tuple[str, ...]  # of the factors

    def __post_init__(self) -> None:
        n, f = len(self.codes), len(self.names)
        if self.codes.ndim != 2 or self.factors.shape != (n, f):
            raise ValueError(f"codes {self.codes.shape} and factors {self.factors.shape} are no (n, d) and (n, {f})")
        if not (self.factors.max(0) > self.factors.min(0)).all():
            raise ValueError("a factor that never changes cannot be told from anything: leave it out")

    def rows_of(self, factor: int) -> list[np.ndarray]:
        """The rows at each level of a factor, of those levels that occur."""
        order = self.factors[:, factor].argsort(kind="stable")
        levels = self.factors[order, factor]
        return np.split(order, np.flatnonzero(np.diff(levels)) + 1)

    def split(self, train: int, test: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows to learn from and rows to be tested on. Raises ValueError where there are too few."""
        if train < 1 or test < 1 or train + test > len(self.codes):
            raise ValueError(
                f"{train:,} images to learn from and {test:,} to test on, but there are {len(self.codes):,}"
            )
        order = np.random.default_rng(seed).permutation(len(self.codes))
        return order[:train], order[train : train + test]


@torch.no_grad()
def encode(model: LatentModel, images: Images, size: int = 20_000, seed: int = 0) -> Table:
    """The posterior means and factors of `size` images, drawn by a seed. Raises ValueError for a data set without
    factors, or with fewer than 10 images.
    """
    if not images.factor_names:
        raise ValueError(f'data set "{images.name}" has no known factors to compare dimensions with')
    if min(size, len(images)) < 10:
        raise ValueError(f"{min(size, len(images))} images came, expected at least 10")
    rows = shuffled(len(images), seed)[:size]
    codes, factors = [], []
    for some in rows.split(256):
        codes.append(model.points(model.encode(images.batch(some, model.device))).cpu())
        found = images.factors(some)
        assert found is not None
        factors.append(found)
    levels = torch.cat(factors).numpy()
    varied = levels.max(0) > levels.min(0)
    names = tuple(name for name, varies in zip(images.factor_names, varied, strict=True) if varies)
    return Table(torch.cat(codes).double().numpy(), levels[:, varied], names)


# ---- what dimensions and factors know of each other


def binned(codes: np.ndarray, bins: int = BINS) -> np.ndarray:
    """(n, d) -> the number of the equal-width bin of each code, 0 … bins−1."""
    low, width = codes.min(0), np.ptp(codes, axis=0)
    return np.minimum((codes - low) / np.where(width > 0, width, 1) * bins, bins - 1).astype(int)


def mutual_information(codes: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """(d, f) nats between each column of whole numbers (n, d) and each of (n, f)."""
    return np.array([[_information(code, factor) for factor in factors.T] for code in codes.T])


def entropies(factors: np.ndarray) -> np.ndarray:
    """(f,) nats of each column of whole numbers (n, f)."""
    return np.array([_entropy(np.bincount(column)) for column in factors.T])


def _information(one: np.ndarray, other: np.ndarray) -> float:
    joint = np.zeros((one.max() + 1, other.max() + 1))
    np.add.at(joint, (one, other), 1)
    return max(0.0, _entropy(joint.sum(1)) + _entropy(joint.sum(0)) - _entropy(joint))


def _entropy(counts: np.ndarray) -> float:
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum())


def of_table(table: Table) -> np.ndarray:
    """(d, f) mutual information in nats, codes in equal-width bins."""
    return mutual_information(binned(table.codes), table.factors)


# ---- scores of a matrix of dimensions and factors


def mig(information: np.ndarray, entropy: np.ndarray) -> float:
    """The mutual information gap (Chen et al. 2018): how much more the best dimension knows of a factor than the next,
    over the factor's entropy, mean over factors. 40 levels in 20 bins cannot reach more than ln 20 / ln 40.
    """
    best = np.sort(np.vstack([information, np.zeros_like(information[:1])]), axis=0)  # one dimension has no next
    return float(((best[-1] - best[-2]) / entropy).mean())


def modularity(information: np.ndarray) -> float:
    """How nearly each dimension knows of one factor only (Ridgeway and Mozer 2018), mean over dimensions; a dimension
    that knows of none scores 0.
    """
    square = information**2
    best = square.max(1)
    factors = information.shape[1]
    spread = (square.sum(1) - best) / np.where(best > 0, best * max(1, factors - 1), 1)
    return float(np.where(best > 0, 1 - spread, 0).mean())


def disentanglement(importance: np.ndarray) -> float:
    """D of DCI (Eastwood and Williams 2018) of an importance matrix (d, f): 1 − entropy of each dimension's row, in
    units of ln f, weighed by how important the dimension is.
    """
    return _concentration(importance)


def completeness(importance: np.ndarray) -> float:
    """C of DCI of an importance matrix (d, f): 1 − entropy of each factor's column, in units of ln d, weighed."""
    return _concentration(importance.T)


def _concentration(matrix: np.ndarray) -> float:
    """1 − entropy of each row in units of the log of its length, weighed by the row's sum."""
    sums = matrix.sum(1, keepdims=True)
    share = matrix / np.where(sums > 0, sums, 1)
    logs = np.log(np.where(share > 0, share, 1))
    entropy = -(share * logs).sum(1) / np.log(max(2, matrix.shape[1]))
    return float(((1 - entropy) * sums[:, 0]).sum() / max(sums.sum(), 1e-300))


# ---- scores that learn


def beta_vae(table: Table, train: int = 10_000, test: int = 5_000, seed: int = 0) -> float:
    """The BetaVAE score (Higgins et al. 2017): accuracy of a linear classifier that is shown the mean |r₁ − r₂| of
    pairs that share one factor, and says which.
    """
    from sklearn.linear_model import LogisticRegression

    random = np.random.default_rng(seed)
    orders = [factor.argsort(kind="stable") for factor in table.factors.T]
    sorted_factors = [factor[order] for factor, order in zip(table.factors.T, orders, strict=True)]

    def points(count: int) -> tuple[np.ndarray, np.ndarray]:
        which = random.integers(len(orders), size=count)
        features = np.empty((count, table.codes.shape[1]))
        for point, factor in enumerate(which):
            one = random.integers(len(table.codes), size=BATCH)
            levels = table.factors[one, factor]
            first, after = (np.searchsorted(sorted_factors[factor], levels, side) for side in ("left", "right"))
            other = orders[factor][random.integers(first, after)]  # any image of the same level
            features[point] = np.abs(table.codes[one] - table.codes[other]).mean(0)
        return features, which

    learned = LogisticRegression(max_iter=1000, random_state=seed).fit(*points(train))
    return float(learned.score(*points(test)))


def factor_vae(table: Table, train: int = 10_000, test: int = 5_000, seed: int = 0) -> float:
    """The FactorVAE score (Kim and Mnih 2018): which dimension varies least, by its share of its variance, while one
    factor is held; accuracy of the factor that most such dimensions were seen with.
    """
    random = np.random.default_rng(seed)
    variance = table.codes.var(0, ddof=1)
    active = np.flatnonzero(np.sqrt(variance) >= ACTIVE_STD)
    if not len(active):
        return 0.0
    codes = table.codes[:, active] / np.sqrt(variance[active])
    groups = [table.rows_of(factor) for factor in range(len(table.names))]
    of_row = [np.unique(factor, return_inverse=True)[1] for factor in table.factors.T]

    def votes(count: int) -> np.ndarray:
        found = np.zeros((len(active), len(groups)), dtype=int)
        for factor in random.integers(len(groups), size=count):
            rows = groups[factor][of_row[factor][random.integers(len(codes))]]
            found[codes[random.choice(rows, BATCH)].var(0, ddof=1).argmin(), factor] += 1
        return found

    says = votes(train).argmax(1)
    tested = votes(test)
    return float(tested[np.arange(len(active)), says].sum() / test)


def importances(table: Table, train: int = 10_000, test: int = 5_000, seed: int = 0) -> tuple[np.ndarray, float]:
    """(d, f) importance of each dimension to one gradient-boosted classifier per factor, and their mean accuracy on
    test images, the informativeness of DCI.
    """
    from sklearn.ensemble import GradientBoostingClassifier

    learn, check = table.split(train, test, seed)
    matrix, accuracy = np.zeros((table.codes.shape[1], len(table.names))), []
    for factor in range(len(table.names)):
        model = GradientBoostingClassifier(random_state=seed).fit(table.codes[learn], table.factors[learn, factor])
        matrix[:, factor] = np.abs(model.feature_importances_)
        accuracy.append(model.score(table.codes[check], table.factors[check, factor]))
    return matrix, float(np.mean(accuracy))


def sap(table: Table, train: int = 10_000, test: int = 5_000, seed: int = 0) -> float:
    """The separated attribute predictability (Kumar et al. 2018): how much better the best single dimension predicts a
    factor than the next one, by the test accuracy of a linear SVM, mean over factors. A linear machine of one number
    cannot name 40 levels, so that a perfect code scores about .23 on the factors of sprites.
    """
    from sklearn.svm import LinearSVC

    learn, check = table.split(train, test, seed)
    scores = np.zeros((table.codes.shape[1], len(table.names)))
    for (dim, factor), _ in np.ndenumerate(scores):
        machine = LinearSVC(C=0.01, class_weight="balanced", random_state=seed)
        machine.fit(table.codes[learn, dim, None], table.factors[learn, factor])
        scores[dim, factor] = machine.score(table.codes[check, dim, None], table.factors[check, factor])
    best = np.sort(np.vstack([scores, np.zeros_like(scores[:1])]), axis=0)
    return float((best[-1] - best[-2]).mean())


def rotation(codes: np.ndarray, factors: np.ndarray) -> tuple[float, float, float]:
    """Of two dimensions (n, 2): the turn in degrees, 0 … 90, at which they know most of single factors, and the sum of
    each dimension's best mutual information in nats there, and unturned.
    """

    def known(turn: float) -> float:
        cos, sin = np.cos(turn), np.sin(turn)
        return float(mutual_information(binned(codes @ np.array([[cos, -sin], [sin, cos]])), factors).max(1).sum())

    turns = np.deg2rad(np.arange(0, 90, 1.0))
    found = [known(turn) for turn in turns]
    best = int(np.argmax(found))
    return float(np.rad2deg(turns[best])), found[best], found[0]


METRICS: Sequence[str] = ("beta_vae", "factor_vae", "mig", "dci", "sap", "modularity")


def scores(
    table: Table, train: int = 10_000, test: int = 5_000, seed: int = 0, track: Track[str] = iter
) -> dict[str, float]:
    """All six, by name; DCI is three. Raises ValueError where there are too few images."""
    table.split(train, test, seed)
    information = of_table(table)
    found: dict[str, float] = {}
    for name in track(METRICS):
        if name == "mig":
            found["MIG"] = mig(information, entropies(table.factors))
        elif name == "modularity":
            found["modularity"] = modularity(information)
        elif name == "dci":
            matrix, found["DCI informativeness"] = importances(table, train, test, seed)
            found["DCI disentanglement"], found["DCI completeness"] = disentanglement(matrix), completeness(matrix)
        elif name == "sap":
            found["SAP"] = sap(table, train, test, seed)
        elif name == "beta_vae":
            found["BetaVAE score"] = beta_vae(table, train, test, seed)
        else:
            found["FactorVAE score"] = factor_vae(table, train, test, seed)
    return found
