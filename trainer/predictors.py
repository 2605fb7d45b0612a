"""The metrics of disentanglement that learn: how well a simple predictor tells factors from codes.

Letters in shapes: n images, d latent dimensions, f factors.
"""

from __future__ import annotations

import numpy as np

from trainer.factors import Table
from trainer.information import gaps

ACTIVE_STD = 0.05  # below it a dimension is left out of the FactorVAE score
BATCH = 64  # images, or pairs of them, behind one point of the BetaVAE and FactorVAE scores
ROUNDS = 10  # of boosting in DCI, each with one tree per level of a factor: 113 for sprites, a minute of one core
# A hundred, as is usual, take ten times as long. On one β-VAE of sprites they told 61 % of scales and 51 % of places
# along x right where ten told 53 % and 38 %, and gave the best dimension .79 and .53 of importance, not .93 and .65.


def beta_vae(table: Table, train: int = 10_000, test: int = 5_000, seed: int = 0) -> float:
    """The BetaVAE score (Higgins et al. 2017): accuracy of a linear classifier that is shown the mean |r₁ − r₂| of
    pairs that share one factor, and says which. Raises ValueError where fewer than two factors vary.
    """
    from sklearn.linear_model import LogisticRegression

    _two_factors(table)
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

    features, which = points(train)
    if len(np.unique(which)) < 2:
        raise ValueError(f"all of the {train:,} points to learn from hold the same factor: more are needed")
    learned = LogisticRegression(max_iter=1000, random_state=seed).fit(features, which)
    return float(learned.score(*points(test)))


def factor_vae(table: Table, train: int = 10_000, test: int = 5_000, seed: int = 0) -> float:
    """The FactorVAE score (Kim and Mnih 2018): which dimension varies least, by its share of its variance, while one
    factor is held; accuracy of the factor that most such dimensions were seen with. Raises ValueError where fewer
    than two factors vary.
    """
    _two_factors(table)
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


def importance(
    table: Table, factor: int, train: int = 10_000, test: int = 5_000, seed: int = 0, rounds: int = ROUNDS
) -> tuple[np.ndarray, float]:
    """For DCI, (d,) importance of each dimension to a gradient-boosted classifier of one factor, and its accuracy on
    test images. Raises ValueError where the images to learn from are too few, or all of one level.
    """
    from sklearn.ensemble import GradientBoostingClassifier

    learn, check = table.split(train, test, seed)
    levels = _levels(table, factor, learn)
    model = GradientBoostingClassifier(n_estimators=rounds, random_state=seed).fit(table.codes[learn], levels[learn])
    return np.abs(model.feature_importances_), model.score(table.codes[check], levels[check])


def separated(table: Table, factor: int, train: int = 10_000, test: int = 5_000, seed: int = 0) -> float:
    """For SAP (Kumar et al. 2018), how much better the best single dimension predicts one factor than the next one, by
    the test accuracy of a linear SVM. A linear machine of one number cannot name 40 levels, so that a perfect code has
    a mean of about .23 on the factors of sprites. Raises ValueError as `importance` does.
    """
    from sklearn.svm import LinearSVC

    learn, check = table.split(train, test, seed)
    levels, found = _levels(table, factor, learn), np.zeros((table.codes.shape[1], 1))
    for dim, code in enumerate(table.codes.T):
        machine = LinearSVC(C=0.01, class_weight="balanced", random_state=seed).fit(code[learn, None], levels[learn])
        found[dim] = machine.score(code[check, None], levels[check])
    return float(gaps(found)[0])


def _two_factors(table: Table) -> None:
    if len(table.names) < 2:
        raise ValueError(f"it says which of two or more factors is held, but only {table.names[0]} varies")


def _levels(table: Table, factor: int, learn: np.ndarray) -> np.ndarray:
    """(n,) levels of a factor, of which the rows to learn from hold at least two."""
    levels = table.factors[:, factor]
    if len(np.unique(levels[learn])) < 2:
        raise ValueError(f"all {len(learn):,} images to learn from are of one level, expected 2 levels or more")
    return levels
