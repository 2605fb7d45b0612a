"""Paths between latents, against closed forms and brute force."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from torch import Tensor

from explorer import paths
from explorer.paths import Attribute

A, B = np.array([1.0, 0, 0]), np.array([0, 2.0, 0])


def linear(z: Tensor) -> Tensor:
    """A decoder that is a matrix, (k, 3) -> (k, 1, 2, 2)."""
    matrix = torch.tensor([[1.0, 2, 0, 0], [0, 1, 1, 0], [3, 0, 0, 1]])
    return (z @ matrix).view(-1, 1, 2, 2)


def bowl(z: Tensor) -> Tensor:
    """(u, v) -> the point of the unit sphere with latitude u and longitude v, (k, 1, 1, 3)."""
    u, v = z[:, 0], z[:, 1]
    return torch.stack([u.cos() * v.cos(), u.cos() * v.sin(), u.sin()], 1).view(-1, 1, 1, 3)


def test_a_straight_line_has_equal_steps_and_both_ends() -> None:
    path = paths.straight(A, B, 5)
    np.testing.assert_allclose(path[[0, 2, 4]], [A, [0.5, 1, 0], B])
    np.testing.assert_allclose(np.diff(path, axis=0), np.tile((B - A) / 4, (4, 1)))


def test_a_spherical_path_turns_evenly_and_its_length_changes_evenly() -> None:
    path = paths.spherical(A, B, 3)
    np.testing.assert_allclose(path[1], 1.5 * np.array([np.sqrt(0.5), np.sqrt(0.5), 0]))
    np.testing.assert_allclose(paths.spherical(A, -A, 3), paths.straight(A, -A, 3))
    np.testing.assert_allclose(paths.spherical(0 * A, B, 3), paths.straight(0 * A, B, 3))


def test_a_path_through_data_goes_around_what_is_empty() -> None:
    turns = np.linspace(0, np.pi, 200)
    ring = np.stack([np.cos(turns), np.sin(turns)], 1)
    path = paths.through_data(np.array([1.0, 0]), np.array([-1.0, 0]), ring, 21)
    np.testing.assert_allclose(np.linalg.norm(path, axis=1), 1, atol=0.01)
    np.testing.assert_allclose(path[10], [0, 1], atol=0.05)
    np.testing.assert_allclose(path[[0, -1]], [[1, 0], [-1, 0]])


def test_a_path_that_no_neighbours_lead_along_is_straight() -> None:
    far = np.concatenate([np.random.default_rng(0).normal(size=(30, 2)) + where for where in ([0, 0], [500, 0])])
    path = paths.through_data(np.array([0.0, 0]), np.array([500.0, 0]), far, 5)
    np.testing.assert_allclose(path, paths.straight(path[0], path[-1], 5))


def test_for_a_linear_decoder_a_bent_path_relaxes_into_the_straight_line() -> None:
    line = paths.straight(A, B, 9)
    bent = line + np.sin(np.linspace(0, np.pi, 9))[:, None] * [1.0, -2.0, 3.0]
    *_, (path, settled, _) = paths.relaxing(bent, linear, 100)
    assert settled
    np.testing.assert_allclose(path, line, atol=0.01)
    image = linear(torch.tensor(B - A)[None].float()).norm()
    assert paths.image_length(path, linear) == pytest.approx(float(image), rel=1e-4)
    *_, (_, settled, rounds) = paths.relaxing(bent, linear, 10)
    assert not settled and rounds == 10


def test_on_a_sphere_the_pull_back_path_is_a_great_circle() -> None:
    # two places at latitude 45° and a quarter turn apart: the angle between them is arccos(cos² + sin² cos 90°) = 60°
    a, b = np.array([np.pi / 4, 0]), np.array([np.pi / 4, np.pi / 2])
    told: list[tuple[int, int]] = []
    path, settled = paths.pulled_back(a, b, bowl, 65, lambda done, of: told.append((done, of)))
    assert settled and told == sorted(told) and 0 < told[-1][0] <= told[-1][1] == told[0][1]
    assert paths.image_length(path, bowl) == pytest.approx(np.pi / 3, rel=1e-3)
    along = paths.straight(a, b, 65)
    assert paths.image_length(along, bowl) == pytest.approx(np.pi / 2 * np.cos(np.pi / 4), rel=1e-3)  # the parallel
    assert path[32, 0] == pytest.approx(np.arctan(np.sqrt(2)), abs=0.01)  # its top, where the great circle turns


def test_the_density_and_the_distance_along_a_path() -> None:
    path = paths.straight(A, B, 4)
    np.testing.assert_allclose(paths.log_prior_density(path), multivariate_normal(np.zeros(3)).logpdf(path))
    data = np.random.default_rng(0).normal(size=(50, 3))
    brute = np.linalg.norm(path[:, None] - data[None], axis=2).min(1)
    np.testing.assert_allclose(paths.to_data(path, data), brute, rtol=1e-5)


def test_an_attribute_is_the_difference_of_means_with_an_interval_that_covers_it() -> None:
    random = np.random.default_rng(0)
    has = np.arange(2000) % 2 == 0
    points = random.normal(size=(2000, 3)) + has[:, None] * np.array([1.0, 0, 0])
    found = Attribute.of(points, has)
    np.testing.assert_allclose(found.direction, [1, 0, 0], atol=0.12)
    width = 2 * 1.96 * np.sqrt(2 / 1000)  # of the difference of two means of a thousand
    np.testing.assert_allclose(found.high - found.low, width, rtol=0.2)
    assert (found.low < [1, 0, 0]).all() and (found.high > [1, 0, 0]).all()
    assert found.agreement > 0.97

    levels = np.stack([points[:, 0] * 3, random.normal(size=2000), np.ones(2000)], axis=1)
    leaks = found.leakage(points, levels)
    assert leaks[0] > 0.95 and leaks[1] < 0.02 and leaks[2] == 0


def test_an_attribute_of_one_point_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^1 points have it and 3 do not: at least 2 of each are needed$"):
        Attribute.of(np.zeros((4, 2)), np.array([True, False, False, False]))
