"""The metrics of disentanglement against analytic values, a perfect code and noise."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator

import numpy as np
import pytest
from cubes import cubes

from trainer import disentanglement as metrics
from trainer import information, predictors
from trainer.data import Images
from trainer.factors import Table, encode
from trainer.rotation import rotation

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
    known = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    assert metrics.modularity(known) == pytest.approx(2 / 3)
    assert metrics.disentanglement(known) == pytest.approx(1)


@pytest.mark.parametrize(("levels", "ceiling"), [(40, 0.812098), (32, 0.85), (3, 1.0), (6, 1.0)])
def test_what_a_perfect_code_can_reach_of_mig(levels: int, ceiling: float) -> None:
    table = perfect(levels, 3)
    known = metrics.of_table(table)
    assert known[0, 0] / math.log(levels) == pytest.approx(ceiling, abs=1e-6)
    gap = metrics.mig(known, information.entropies(table.factors))
    assert gap == pytest.approx((ceiling + 1) / 2, abs=1e-6)


def test_mutual_information_of_a_joint_by_hand() -> None:
    one = np.array([0, 0, 0, 1])[:, None]
    other = np.array([0, 0, 1, 1])[:, None]
    joint = np.array([[0.5, 0.25], [0, 0.25]])
    expected = sum(
        p * math.log(p / (joint[i].sum() * joint[:, j].sum())) for (i, j), p in np.ndenumerate(joint) if p > 0
    )
    assert information.mutual_information(one, other)[0, 0] == pytest.approx(expected)


# ---- perfect codes and noise


def test_a_perfect_code_is_found_perfect() -> None:
    table = perfect(4, 5, 6, 3, 4)
    assert predictors.beta_vae(table, **FEW) > 0.98
    assert predictors.factor_vae(table, **FEW) == 1
    found = metrics.scores(table, **FEW).values
    assert min(found[f"DCI {name}"] for name in ("disentanglement", "completeness", "informativeness")) > 0.99
    assert metrics.modularity(metrics.of_table(table)) == pytest.approx(1)


def sprite_like(n: int) -> Table:
    """A perfect code of as many levels as the factors of sprites have."""
    random = np.random.default_rng(0)
    factors = np.stack([random.integers(levels, size=n) for levels in (3, 6, 40, 32, 32)], axis=1)
    return Table(factors.astype(float), factors, ("shape", "scale", "orientation", "x", "y"))


def test_a_perfect_code_scores_what_it_can_of_sap() -> None:
    table = sprite_like(6000)

    def sap(of: Table, train: int, test: int) -> float:
        return float(np.mean([predictors.separated(of, factor, train, test) for factor in range(5)]))

    assert sap(table, 4000, 2000) == pytest.approx(0.23, abs=0.02)
    turned = Table(table.codes[:, ::-1], table.factors, table.names)  # whichever dimension holds a factor
    assert sap(turned, 1000, 1000) == pytest.approx(sap(table, 1000, 1000), abs=0.02)


def test_a_few_rounds_name_forty_levels() -> None:
    table = sprite_like(3000)
    importance, accuracy = predictors.importance(table, 2, 2000, 1000)
    assert accuracy > 0.97
    assert importance.argmax() == 2 and metrics.completeness(importance[:, None]) > 0.97


def test_noise_is_at_chance() -> None:
    table = noise()
    assert predictors.beta_vae(table, **FEW) == pytest.approx(1 / 4, abs=0.08)
    assert predictors.factor_vae(table, **FEW) < 0.4
    assert metrics.mig(metrics.of_table(table), information.entropies(table.factors)) < 0.01
    found = metrics.scores(table, **FEW).values
    assert found["DCI informativeness"] == pytest.approx(1 / 4, abs=0.08)
    assert found["SAP"] < 0.05


def test_a_collapsed_code_has_no_active_dimension() -> None:
    table = perfect(3, 4)
    assert predictors.factor_vae(Table(table.codes * 1e-3, table.factors, table.names), **FEW) == 0


def test_scores_repeat_by_their_seed_and_have_all_names() -> None:
    table = perfect(4, 5, 6, 3, 4)
    few = {"train": 200, "test": 100}
    steps: list[metrics.Step] = []

    def track(loop: Iterable[metrics.Step]) -> Iterator[metrics.Step]:
        for step in loop:
            steps.append(step)
            yield step

    found = metrics.scores(table, **few, seed=3, track=track)
    assert {str(step).split(" of ")[0] for step in steps} == set(metrics.METRICS)
    assert [str(step) for step in steps if "DCI" in str(step)] == [f"DCI of {name}" for name in table.names]
    assert all(step.work > 0 for step in steps)
    columns, accuracies = zip(*(predictors.importance(table, each, **few, seed=3) for each in range(5)), strict=True)
    matrix = np.stack(columns, axis=1)
    assert found.values["DCI disentanglement"] == pytest.approx(metrics.disentanglement(matrix))
    assert found.values["DCI completeness"] == pytest.approx(metrics.completeness(matrix))
    assert found.values["DCI informativeness"] == pytest.approx(np.mean(accuracies))
    apart = [predictors.separated(table, factor, **few, seed=3) for factor in range(5)]
    assert found.values["SAP"] == pytest.approx(np.mean(apart))
    assert found == metrics.scores(table, **few, seed=3)
    assert len(found.values) == 8 and all(0 <= value <= 1 for value in found.values.values())
    assert "Learned on 200 images" in found.how and "Left out" not in found.how


def test_more_rounds_of_boosting_are_said_and_tell_more() -> None:
    random = np.random.default_rng(0)
    factors = random.integers(4, size=(600, 2))
    table = Table(factors.sum(1, keepdims=True) + random.normal(0, 0.1, (600, 2)), factors, ("a", "b"))
    one, many = (metrics.scores(table, 400, 200, rounds=rounds) for rounds in (1, 100))
    assert "DCI by 1 rounds of gradient boosting, where 100 are usual" in one.how
    assert many.how.endswith("DCI by 100 rounds of gradient boosting")
    assert one.values["DCI informativeness"] != many.values["DCI informativeness"]
    assert one.values["SAP"] == many.values["SAP"]


# ---- a factor across two dimensions


def turned(codes: np.ndarray, one: int, other: int, degrees: float) -> np.ndarray:
    """Codes whose two dimensions a turn by so many degrees puts back."""
    turn, found = np.deg2rad(degrees), codes.copy()
    found[:, one] = np.cos(turn) * codes[:, one] - np.sin(turn) * codes[:, other]
    found[:, other] = np.sin(turn) * codes[:, one] + np.cos(turn) * codes[:, other]
    return found


def blurred(*levels: int) -> Table:
    """A code of one factor a dimension, in its unit of spread, with some noise."""
    factors = np.repeat(grid(*levels), 4000 // len(grid(*levels)) + 1, axis=0)
    codes = (factors - factors.mean(0)) / factors.std(0)
    noise = np.random.default_rng(0).normal(0, 0.05, codes.shape)
    return Table(codes + noise, factors, tuple("abc"[: len(levels)]))


def apart(found: float, expected: float) -> float:
    """Degrees between two turns, where a quarter turn is none."""
    return abs((found - expected + 45) % 90 - 45)


@pytest.mark.parametrize("angle", [-20.0, 30.0, 45.0])
def test_a_turned_code_is_found_out(angle: float) -> None:
    table = blurred(10, 10)
    found = rotation(turned(table.codes, 0, 1, angle), table.factors)
    assert apart(found.turns[0].degrees, angle) <= 2
    assert -45 < found.turns[0].degrees <= 45
    assert found.gain == pytest.approx(sum(turn.gain for turn in found.turns)) and found.gain > 1  # nats
    assert (found.turns[0].more > 0.3).all()
    np.testing.assert_allclose(found.matrix @ found.matrix.T, np.eye(2), atol=1e-12)
    axes = np.abs(np.corrcoef((turned(table.codes, 0, 1, angle) @ found.matrix).T, table.factors.T)[:2, 2:])
    np.testing.assert_allclose(axes.max(0), 1, atol=0.01)  # each factor is on an axis of its own
    assert axes.argmax(0).tolist() in ([0, 1], [1, 0])


def test_of_three_dimensions_the_two_that_are_turned_are_found() -> None:
    table = blurred(6, 7, 8)
    found = rotation(turned(table.codes, 0, 2, 35), table.factors)
    first = found.turns[0]
    assert (first.one, first.other) == (0, 2) and apart(first.degrees, 35) <= 2
    assert first.more[[0, 2]].min() > 0.3 and abs(first.more[1]) < 0.05
    assert found.gain - first.gain < 0.1


def test_a_dimension_of_its_own_for_each_factor_needs_no_turn() -> None:
    table = blurred(6, 7, 8)
    found = rotation(table.codes, table.factors)
    assert found.turns == () and found.gain == 0
    np.testing.assert_array_equal(found.matrix, np.eye(3))


def test_noise_gains_nothing_by_a_turn() -> None:
    table = noise()
    assert rotation(table.codes, table.factors).turns == ()


@pytest.mark.parametrize("seed", range(5))
def test_noise_of_few_images_gains_nothing_by_a_turn(seed: int) -> None:
    random = np.random.default_rng(seed)
    factors = np.stack([random.integers(levels, size=500) for levels in (3, 6, 40, 32, 32)], axis=1)
    found = rotation(random.normal(size=(500, 6)), factors)
    assert found.turns == () and 0.1 < found.least < 0.35


def test_few_images_show_a_turn_that_is_there() -> None:
    random = np.random.default_rng(0)
    factors = np.stack([random.integers(40, size=500), random.integers(6, size=500)], axis=1)
    codes = (factors - factors.mean(0)) / factors.std(0) + random.normal(0, 0.05, factors.shape)
    found = rotation(turned(codes, 0, 1, 30), factors)
    assert len(found.turns) == 1 and apart(found.turns[0].degrees, 30) <= 3 and found.gain > found.least > 0.05


# ---- what cannot be answered


def test_what_cannot_be_measured_is_said() -> None:
    with pytest.raises(ValueError, match="never changes"):
        Table(np.zeros((5, 2)), np.zeros((5, 1), dtype=int), ("constant",))
    with pytest.raises(ValueError, match="but there are 12"):
        metrics.scores(perfect(3, 4), train=10, test=10)
    with pytest.raises(ValueError, match="needs 2 dimensions"):
        rotation(np.zeros((20, 1)), np.zeros((20, 1), dtype=int))


def test_a_set_without_factors_is_refused() -> None:
    import torch

    images = Images("plain", torch.zeros(20, 1, 8, 8, dtype=torch.uint8))
    with pytest.raises(ValueError, match='"plain" has no known factors'):
        encode(None, images)  # type: ignore[arg-type]


def test_a_set_whose_factors_are_constant_is_refused() -> None:
    images, model = cubes(keep=())
    with pytest.raises(ValueError, match='no factor varies over 60 images of "cubes"'):
        encode(model, images)


def test_scores_of_two_factors_are_left_out_where_one_varies() -> None:
    images, model = cubes(keep=(1,))
    table = encode(model, images)
    assert table.names == ("b",)
    found = metrics.scores(table, 40, 20)
    assert list(found.values) == [
        "MIG", "DCI disentanglement", "DCI completeness", "DCI informativeness", "SAP", "modularity",
    ]  # fmt: skip
    assert found.values["DCI informativeness"] == 1
    for name in ("BetaVAE score", "FactorVAE score"):
        assert f"Left out is {name}: it says which of two or more factors is held, but only b varies" in found.how


def test_a_factor_of_one_level_among_the_learned_is_left_out_alone() -> None:
    table = perfect(4, 5, 6)
    rare = np.zeros(len(table.codes), dtype=int)
    rare[table.split(80, 40, 0)[1][0]] = 1  # one image that is tested on
    found = metrics.scores(Table(table.codes, np.column_stack([table.factors, rare]), ("a", "b", "c", "rare")), 80, 40)
    without = metrics.scores(table, 80, 40)
    assert len(found.values) == 8
    for name in ("DCI disentanglement", "DCI completeness", "DCI informativeness", "SAP"):
        assert found.values[name] == without.values[name]
    for name in ("DCI", "SAP"):
        assert f"Left out is {name} of rare: all 80 images to learn from are of one level" in found.how


def test_a_score_that_cannot_be_learned_leaves_the_others() -> None:
    found = metrics.scores(perfect(4, 5), train=1, test=10)
    assert list(found.values) == ["FactorVAE score", "MIG", "modularity"]
    assert "Left out is BetaVAE score: all of the 1 points to learn from hold the same factor" in found.how
    assert "Left out is SAP of factor 1: all 1 images to learn from are of one level" in found.how
