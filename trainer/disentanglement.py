"""Do single dimensions stand for single factors? Six metrics over one table of codes and known factors.

Scores are from 0 to 1; what a perfect code can reach depends on the factors (see `mig` and `predictors.separated`).

Letters in shapes: n images, d latent dimensions, f factors.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.factors import Table
from trainer.information import BINS, binned, entropies, gaps, mutual_information
from trainer.predictors import ROUNDS, beta_vae, factor_vae, importance, separated

if TYPE_CHECKING:
    from trainer.trainable import Track


def of_table(table: Table) -> np.ndarray:
    """(d, f) mutual information in nats, codes in equal-width bins."""
    return mutual_information(binned(table.codes), table.factors)


# ---- scores of a matrix of dimensions and factors


def mig(information: np.ndarray, entropy: np.ndarray) -> float:
    """The mutual information gap (Chen et al. 2018): how much more the best dimension knows of a factor than the next,
    over the factor's entropy, mean over factors. 40 levels in 20 bins cannot reach more than ln 20 / ln 40.
    """
    return float((gaps(information) / entropy).mean())


def mig_of(table: Table) -> float:
    """`mig` of codes in equal-width bins."""
    return mig(of_table(table), entropies(table.factors))


def modularity(information: np.ndarray) -> float:
    """How nearly each dimension knows of one factor only (Ridgeway and Mozer 2018), mean over dimensions; a dimension
    that knows of none scores 0.
    """
    square = information**2
    best = square.max(1)
    factors = information.shape[1]
    spread = (square.sum(1) - best) / np.where(best > 0, best * max(1, factors - 1), 1)
    return float(np.where(best > 0, 1 - spread, 0).mean())


def disentanglement(matrix: np.ndarray) -> float:
    """D of DCI (Eastwood and Williams 2018) of an importance matrix (d, f): 1 − entropy of each dimension's row, in
    units of ln f, weighed by how important the dimension is.
    """
    return _concentration(matrix)


def completeness(matrix: np.ndarray) -> float:
    """C of DCI of an importance matrix (d, f): 1 − entropy of each factor's column, in units of ln d, weighed."""
    return _concentration(matrix.T)


def _concentration(matrix: np.ndarray) -> float:
    """1 − entropy of each row in units of the log of its length, weighed by the row's sum."""
    sums = matrix.sum(1, keepdims=True)
    share = matrix / np.where(sums > 0, sums, 1)
    logs = np.log(np.where(share > 0, share, 1))
    entropy = -(share * logs).sum(1) / np.log(max(2, matrix.shape[1]))
    return float(((1 - entropy) * sums[:, 0]).sum() / max(sums.sum(), 1e-300))


# ---- all of them

METRICS: Sequence[str] = ("BetaVAE score", "FactorVAE score", "MIG", "DCI", "SAP", "modularity")


@dataclass(frozen=True)
class Step:
    """A part of what `scores` computes: one metric, or one factor of it."""

    metric: str
    work: float  # about how long it takes, in a unit that is the same for all
    compute: Callable[[], Any]
    factor: str = ""

    def __str__(self) -> str:
        return f"{self.metric} of {self.factor}" if self.factor else self.metric


@dataclass(frozen=True)
class Scores:
    """What came out, and what must stand beside it."""

    values: dict[str, float]  # by name, DCI being three; without those that could not be computed
    how: str  # sizes, seed, how, and what was left out and why


def scores(
    table: Table, train: int = 10_000, test: int = 5_000, seed: int = 0, track: Track[Any] = iter, rounds: int = ROUNDS
) -> Scores:
    """All six; what cannot be computed of these factors is left out. `track` wraps a loop over `Step`s, and `rounds`
    are those of boosting in DCI. Raises ValueError where there are too few images.
    """
    table.split(train, test, seed)
    found, left_out = defaultdict[str, list[Any]](list), []
    for step in track(list(_steps(table, (train, test, seed), rounds))):
        try:
            found[step.metric].append(step.compute())
        except ValueError as error:
            left_out.append(f"{step}: {error}")
    values = {name: value for metric in METRICS if found[metric] for name, value in _values(metric, found[metric])}
    return Scores(values, ". ".join([_how(train, test, seed, rounds), *(f"Left out is {each}" for each in left_out)]))


def _values(metric: str, found: list[Any]) -> Iterator[tuple[str, float]]:
    """The scores of one metric by name, of what was found for all, or for each factor."""
    if metric == "DCI":
        matrix = np.stack([column for column, _ in found], axis=1)  # (d, f)
        yield "DCI disentanglement", disentanglement(matrix)
        yield "DCI completeness", completeness(matrix)
        yield "DCI informativeness", float(np.mean([accuracy for _, accuracy in found]))
    else:
        yield metric, float(np.mean(found))


def _steps(table: Table, sizes: tuple[int, int, int], rounds: int) -> Iterator[Step]:
    """What has to be computed. The classifiers of a factor take as long as it has levels."""
    information = of_table(table)
    yield Step("FactorVAE score", 3, lambda: factor_vae(table, *sizes))  # a short one first: from then on it is known
    yield Step("MIG", 0.01, lambda: mig(information, entropies(table.factors)))  # how long the others will take
    yield Step("modularity", 0.01, lambda: modularity(information))
    yield Step("BetaVAE score", 12, lambda: beta_vae(table, *sizes))
    for factor, name in enumerate(table.names):
        many = len(np.unique(table.factors[:, factor])) * table.codes.shape[1]
        yield Step("SAP", 0.005 * many, partial(separated, table, factor, *sizes), name)
        yield Step("DCI", 0.014 * rounds * many, partial(importance, table, factor, *sizes, rounds), name)


def _how(train: int, test: int, seed: int, rounds: int) -> str:
    usual = ", where 100 are usual and tell factors better" if rounds < 100 else ""
    return (
        f"Learned on {train:,} images or points of them, tested on {test:,}, seed {seed}; mutual information in {BINS} "
        f"equal-width bins; DCI by {rounds} rounds of gradient boosting{usual}"
    )
