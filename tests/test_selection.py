"""How points of a map are chosen and compared."""

from __future__ import annotations

import numpy as np
import pytest

from explorer import query, selection
from explorer.cloud import Column
from explorer.selection_figures import classes, effects


def test_inside_a_polygon_that_is_not_convex() -> None:
    horseshoe = np.array([[0, 0], [3, 0], [3, 3], [2, 3], [2, 1], [1, 1], [1, 3], [0, 3]])
    places = np.array([[0.5, 2], [1.5, 2], [2.5, 2], [1.5, 0.5], [4, 0.5], [-1, 0.5], [1.5, 5]])
    assert selection.inside(horseshoe, places).tolist() == [True, False, True, True, False, False, False]
    assert selection.inside(horseshoe[::-1], places).tolist() == selection.inside(horseshoe, places).tolist()
    with pytest.raises(ValueError, match=r"expected finite \(v, 2\)"):
        selection.inside(np.array([[0, np.inf]]), places)


COLUMNS = {
    "class": Column("Class", np.array([0, 1, 2, 2, 1]), ("shirt", "T-shirt/top", "rock and roll")),
    "error": Column("Error", np.array([1.0, 2, 3, 4, 4], np.float32), unit="nats"),
    "position x": Column("Position x", np.array([0.0, -1.5, 2, 3, 4], np.float32)),
}


@pytest.mark.parametrize(("text", "rows"), [
    ("class = shirt", [0]),
    ("class = t-shirt/top", [1, 4]),
    ('CLASS = "rock and roll"', [2, 3]),
    ("class != shirt and error < 4", [1, 2]),
    ("error>=3 and not class = t-shirt/top", [2, 3]),
    ("error in the top 1 %", [3, 4]),
    ("error in top 1 %", [3, 4]),  # two are equally high
    ("error in bottom 40 %", [0, 1]),
    ("position x <= -1.5 or position x > 3", [1, 4]),
    ("error = 1 or class = t-shirt/top and error = 4", [0, 4]),
    ("(error = 1 or class = t-shirt/top) and error = 4", [4]),
    ("not not error = 2", [1]),
])  # fmt: skip
def test_queries(text: str, rows: list[int]) -> None:
    assert np.flatnonzero(query.select(text, COLUMNS)).tolist() == rows


@pytest.mark.parametrize(("text", "rows"), [
    ("class = a", [1, 3]),
    ("class = A", [0]),
    ("class = B", [2]),
    ("Error > 1", [1]),
    ("error > 1", [0, 2]),
    ("ERROR in top 50 %", [2]),
    ("error in bottom 50 %", [3]),
])  # fmt: skip
def test_capitals_tell_apart_where_they_have_to_and_nothing_is_no_rank(text: str, rows: list[int]) -> None:
    columns = {
        "class": Column("Class", np.array([0, 1, 2, 1]), ("A", "a", "b")),
        "error": Column("Error", np.array([2, np.nan, 3, 1], np.float32)),
        "Error": Column("Error", np.array([1, 2, 0, 0], np.float32)),
    }
    assert np.flatnonzero(query.select(text, columns)).tolist() == rows


@pytest.mark.parametrize(("text", "sentence"), [
    ("", "A condition is expected, and nothing came"),
    ("eror > 3", "There is no “eror” to choose by. Did you mean “error”?"),
    ("error", "After “error” one of =, !="),
    ("error >", "After “error >” a value is expected"),
    ("error > big", "After “error >” a number is expected, and “big” came"),
    ("error > nan", "a number is expected"),
    ("class = 12", "“class” has no value “12”. There are: shirt"),
    ("class > shirt", "“class” has no order"),
    ("class in top 1 %", "“class” has no order"),
    ("error in 1 %", "“top” or “bottom” is expected"),
    ("error in top 0 %", "more than 0 %"),
    ("error in top 5", "a share is expected"),
    ("(error = 1", "opened and not closed"),
    ("error = 1)", r"“\)” was not expected there"),
    ("error = 1 class = shirt", "number is expected|not expected"),
    ('error = "1', "cannot be read"),
    ("error ! 1", "cannot be read"),
    ("not " * 200 + "error = 1", "characters"),
    ("(" * 40 + "error = 1", "levels deep"),
])  # fmt: skip
def test_a_query_that_cannot_be_read_says_why(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        query.select(text, COLUMNS)


def test_the_highest_share_of_many() -> None:
    column = Column("x", np.random.default_rng(0).permutation(1000).astype(np.float32))
    found = query.select("x in top 1 %", {"x": column})
    assert sorted(column.values[found]) == list(range(990, 1000))


def test_effect_sizes_are_cohens_d() -> None:
    points = np.array([[1.0, 5, 2], [3, 5, 2], [2, 5, 0], [4, 5, 4], [6, 5, 2]])
    chosen = np.array([True, True, False, False, False])
    found = selection.differences(points, chosen)
    pooled = np.sqrt((1 * 2 + 2 * 4) / 3)  # variances 2 and 4
    assert found.effect[0] == pytest.approx((2 - 4) / pooled)
    assert np.isnan(found.effect[1]) and np.isnan(found.low[1])
    assert found.effect[2] == 0 and found.order == [0, 2]


def test_the_interval_is_seeded_and_covers_as_the_normal_one_does() -> None:
    rng = np.random.default_rng(3)
    points = rng.normal(size=(3000, 2)) + 7
    chosen = np.arange(3000) < 1000
    points[chosen, 0] += 0.8
    found = selection.differences(points, chosen, seed=1)
    again = selection.differences(points, chosen, seed=1)
    assert np.array_equal(found.low, again.low)
    assert not np.array_equal(found.low, selection.differences(points, chosen, seed=2).low)
    assert found.low[0] < 0.8 < found.high[0] and found.low[1] < 0 < found.high[1]
    spread = np.sqrt(1 / 1000 + 1 / 2000 + found.effect**2 / 6000)  # Hedges and Olkin 1985
    assert (found.high - found.low) == pytest.approx(2 * 1.96 * spread, rel=0.25)


@pytest.mark.parametrize("count", [0, 1, 9, 10])
def test_too_few_points_are_not_compared(count: int) -> None:
    with pytest.raises(ValueError, match="at least two"):
        selection.differences(np.zeros((10, 2)), np.arange(10) < count)


def test_counts_and_figures() -> None:
    values, chosen = np.array([0, 1, 1, 3]), np.array([True, True, False, False])
    counts = selection.class_counts(values, chosen, 4)
    assert counts.tolist() == [[1, 1], [1, 2], [0, 0], [0, 1]]
    drawn = classes(counts, ["a", "b", "c", "d"])
    assert list(drawn.data[0].x)[:2] == ["a", "b"] and drawn.data[1].y.tolist() == [0, 1, 0, 1]
    points = np.array([[0.0, 0], [1, 1], [5, 0.5], [6, 0.4]])
    found = selection.differences(points, chosen)
    figure = effects(found, ["z0", "z1"])
    assert figure.data[0].x[0] == "z0" and figure.data[0].y[0] == pytest.approx(found.effect[0])
    assert selection.spread_over(np.arange(100), 48)[[0, -1]].tolist() == [0, 99]
    assert len(set(selection.spread_over(np.arange(100), 48))) == 48
