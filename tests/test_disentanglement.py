"""The metrics of disentanglement against analytic values, a perfect code and noise."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from trainer import disentanglement as metrics
from trainer.data import Images
from trainer.disentanglement import Table

FEW = {"train": 400, "test": 400}


def grid(*levels: int) -> np.ndarray:
    """Every combination of levels, (n, f)."""
    return np.array(list(itertools.product(*map(range, levels))))


def perfect(*levels: int) -> Table:
    factors = grid(*levels)
    return Table(factors.astype(float), factors, tuple(f"factor {i}" for i in range(len(levels))))


def noise(n: int = 4000) -> Table:
    random = np.random.default_rng(0)
    return Table(random.normal(size=(n, 6)), random.integers(4, size=(n, 4)), ("a", "b", "c", "d"))


# ---- matrices with known scores


def test_one_code_that_holds_two_of_ten_factors() -> None:
    importance = np.zeros((1, 10))
    importance[0, :2] = 0.5
    assert metrics.disentanglement(importance) == pytest.approx(1 - math.log(2) / math.log(10))
    assert metrics.modularity(importance) == pytest.approx(8 / 9)


def test_duplicated_codes_are_less_complete() -> None:
    importance = np.zeros((10, 5))
    for factor in range(5):
        importance[[factor, factor + 5], factor] = 0.5
    assert metrics.completeness(importance) == pytest.approx(1 - math.log(2) / math.log(10))
    assert metrics.disentanglement(importance) == pytest.approx(1)


def test_an_empty_code_among_three_scores_nothing() -> None:
    information = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    assert metrics.modularity(information) == pytest.approx(2 / 3)
    assert metrics.disentanglement(information) == pytest.approx(1)


@pytest.mark.parametrize(("levels", "ceiling"), [(40, 0.812098), (32, 0.85), (3, 1.0), (6, 1.0)])
def test_what_a_perfect_code_can_reach_of_mig(levels: int, ceiling: float) -> None:
    table = perfect(levels, 3)
    information = metrics.of_table(table)
    assert information[0, 0] / math.log(levels) == pytest.approx(ceiling, abs=1e-6)
    gap = metrics.mig(information, metrics.entropies(table.factors))
    assert gap == pytest.approx((ceiling + 1) / 2, abs=1e-6)


def test_mutual_information_of_a_joint_by_hand() -> None:
    one = np.array([0, 0, 0, 1])[:, None]
    other = np.array([0, 0, 1, 1])[:, None]
    joint = np.array([[0.5, 0.25], [0, 0.25]])
    expected = sum(
        p * math.log(p / (joint[i].sum() * joint[:, j].sum())) for (i, j), p in np.ndenumerate(joint) if p > 0
    )
    assert metrics.mutual_information(one, other)[0, 0] == pytest.approx(expected)


# ---- perfect codes and noise


def test_a_perfect_code_is_found_perfect() -> None:
    table = perfect(4, 5, 6, 3, 4)
    assert metrics.beta_vae(table, **FEW) > 0.98
    assert metrics.factor_vae(table, **FEW) == 1
    importance, accuracy = metrics.importances(table, **FEW)
    assert metrics.disentanglement(importance) > 0.99 and metrics.completeness(importance) > 0.99 and accuracy > 0.99
    assert metrics.modularity(metrics.of_table(table)) == pytest.approx(1)


def test_a_perfect_code_scores_what_it_can_of_sap() -> None:
    table = perfect(3, 6, 8, 8)
    turned = Table(table.codes[:, ::-1], table.factors, table.names)
    found = metrics.sap(table, **FEW)
    assert 0.15 < found < 0.6  # a linear machine cannot name eight levels of one number
    assert metrics.sap(turned, **FEW) == pytest.approx(found, abs=0.02)  # whichever dimension holds a factor


def test_noise_is_at_chance() -> None:
    table = noise()
    assert metrics.beta_vae(table, **FEW) == pytest.approx(1 / 4, abs=0.08)
    assert metrics.factor_vae(table, **FEW) < 0.4
    assert metrics.mig(metrics.of_table(table), metrics.entropies(table.factors)) < 0.01
    assert metrics.importances(table, **FEW)[1] == pytest.approx(1 / 4, abs=0.08)
    assert metrics.sap(table, **FEW) < 0.05


def test_a_collapsed_code_has_no_active_dimension() -> None:
    table = perfect(3, 4)
    assert metrics.factor_vae(Table(table.codes * 1e-3, table.factors, table.names), **FEW) == 0


def test_scores_repeat_by_their_seed_and_have_all_names() -> None:
    table = perfect(4, 5, 6, 3, 4)
    few = {"train": 200, "test": 100}
    found = metrics.scores(table, **few, seed=3)
    assert found == metrics.scores(table, **few, seed=3)
    assert len(found) == 8 and all(0 <= value <= 1 for value in found.values())


# ---- a factor across two dimensions


@pytest.mark.parametrize("angle", [20.0, 45.0, 70.0])
def test_a_turned_code_is_found_out(angle: float) -> None:
    factors = np.repeat(grid(10, 10), 40, axis=0)
    centred = factors - factors.mean(0) + np.random.default_rng(0).normal(0, 0.15, factors.shape)
    turn = np.deg2rad(angle)
    turned = centred @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    found, best, unturned = metrics.rotation(turned, factors)
    assert found == pytest.approx(angle, abs=2)
    assert best > unturned + 1  # nats
    assert best == pytest.approx(2 * math.log(10), rel=0.1)


# ---- what cannot be answered


def test_what_cannot_be_measured_is_said() -> None:
    with pytest.raises(ValueError, match="never changes"):
        Table(np.zeros((5, 2)), np.zeros((5, 1), dtype=int), ("constant",))
    with pytest.raises(ValueError, match="but there are 12"):
        metrics.sap(perfect(3, 4), train=10, test=10)


def test_a_set_without_factors_is_refused() -> None:
    import torch

    images = Images("plain", torch.zeros(20, 1, 8, 8, dtype=torch.uint8))
    with pytest.raises(ValueError, match='"plain" has no known factors'):
        metrics.encode(None, images)  # type: ignore[arg-type]
