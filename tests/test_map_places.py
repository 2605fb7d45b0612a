"""What stands at a place of the plane, and what is near it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from coded import run_of
from mapped import array, digits_run, opened, shown, some_of

import trainer
from explorer import cloud as clouds
from explorer import map as canvas
from explorer import nearness, projection
from explorer.atlas import Projected, Shown
from explorer.cloud import Cloud
from explorer.nearness import Plane
from explorer.opened import Run


@pytest.fixture(scope="module")
def digits() -> Run:
    return digits_run()


@pytest.fixture(scope="module")
def some(digits: Run) -> Cloud:
    return some_of(digits)


def test_a_place_of_a_point_is_its_latent() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(50, 4)).astype(np.float32)
    places = projection.pca(points)
    plane = Plane(points, places)
    found, distance = plane.latents(places[[7, 20]].astype(np.float64))
    assert np.allclose(found, points[[7, 20]], atol=1e-3) and np.allclose(distance, 0, atol=1e-6)
    far = plane.latents(np.array([[100.0, 0.0]]))[1]
    assert plane.is_off(far).all() and not plane.is_off(distance).any()
    own = np.sort(np.linalg.norm(places[:, None] - places[None], axis=-1), axis=1)[:, 1]
    assert plane.reach == pytest.approx(np.percentile(own, 99), rel=1e-5)


def test_two_dimensions_are_exact() -> None:
    points = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    plane = Plane(points, points[:, (2, 0)], (2, 0))
    found, _ = plane.latents(np.array([[0.25, -0.5]]))
    assert found[0, 2] == np.float32(0.25) and found[0, 0] == np.float32(-0.5)


def test_the_decode_of_a_place_is_that_of_its_latent(digits: Run, some: Cloud) -> None:
    view = shown(some)
    x, y = view.projected.places[11].tolist()
    asked = canvas.Asked(revision=view.revision, point=11, place=(x, y), view=(x - 2, y - 1, x + 2, y + 1))
    packed = view.peek(asked)
    header, _ = opened(packed)
    decode = digits.decode({"z": torch.from_numpy(some.points[11:12])})[0]
    assert np.abs(array(packed, header["here"]).reshape(8, 8, 1).astype(int) - decode).max() <= 1
    assert np.array_equal(array(packed, header["decode"]), array(packed, header["here"]))
    images = some.pictures(np.array([11]))
    assert images is not None and np.array_equal(array(packed, header["image"]), images.ravel())
    assert header["distance"] == pytest.approx(0, abs=1e-2) and not header["off"]


def test_a_grid_covers_the_view_from_the_top_left(some: Cloud) -> None:
    view = shown(some)
    asked = canvas.Asked(revision=view.revision, point=-1, place=None, view=(-4.0, -1.0, 4.0, 1.0))
    packed = view.grid(asked)
    assert packed is not None and len(packed) <= canvas.GRID_LIMIT + 50_000
    header, _ = opened(packed)
    rows, columns = header["rows"], header["columns"]
    assert columns / rows == pytest.approx(4, rel=0.05) and rows * columns <= 576
    pictures = array(packed, header["pictures"]).reshape(rows * columns, 8, 8, 1)
    place = np.array([[-4 + 8 * 2.5 / columns, 1 - 2 * 1.5 / rows]])  # third cell of the second row
    latents, _ = view.plane.latents(place)
    assert np.abs(pictures[columns + 2].astype(int) - some.decoded(latents)[0]).max() <= 1
    near = np.linalg.norm(some.points - latents, axis=1).min()
    assert header["distances"][columns + 2] == pytest.approx(near, abs=1e-3)
    assert view.grid(asked.model_copy(update={"view": (1.0, 0.0, 1.0, 1.0)})) is None


def test_new_points_go_where_the_projection_puts_them(some: Cloud) -> None:
    view = shown(some)
    between = (some.points[3] + some.points[8])[None] / 2
    places = view.projected.places
    assert np.allclose(view.placed(between)[0], (places[3] + places[8]) / 2, atol=1e-4)  # linear
    axes = Shown(some, "", Projected(some.points[:, (4, 1)], "", "", (4, 1)), "")
    assert axes.placed(between)[0].tolist() == between[0, [4, 1]].tolist()
    by_neighbours = shown(some, places=np.random.default_rng(0).normal(size=(300, 2)).astype(np.float32))
    assert np.allclose(by_neighbours.placed(some.points[5:6])[0], by_neighbours.projected.places[5], atol=1e-3)


def test_neighbours_are_those_of_brute_force(some: Cloud) -> None:
    near = nearness.in_latents(some, some.points[12], 6, own=12)
    distances = np.linalg.norm(some.points - some.points[12], axis=1)
    order = [row for row in np.argsort(distances, kind="stable") if row != 12][:6]
    assert near.rows.tolist() == order and near.distances == pytest.approx(distances[order], rel=1e-4)

    image = some.batch(np.array([12]))
    spread = nearness.spread_of(some, image)
    assert spread is not None and spread.shape == (10,)
    with torch.no_grad():
        _, log_variance = some.run.model.posterior(image)  # type: ignore[operator]
    assert spread == pytest.approx((log_variance[0] / 2).exp().numpy(), rel=0.1)
    scaled = np.linalg.norm((some.points - some.points[12]) / spread, axis=1)
    near = nearness.in_latents(some, some.points[12], 6, spread, own=12)
    assert near.rows.tolist() == [row for row in np.argsort(scaled, kind="stable") if row != 12][:6]
    assert near.distances == pytest.approx(scaled[near.rows], rel=1e-4)

    pixels = np.linalg.norm((some.batch(np.arange(300)) - image).flatten(1).numpy(), axis=1)
    near = nearness.in_pixels(some, image, 6, own=12)
    assert near.rows.tolist() == [row for row in np.argsort(pixels, kind="stable") if row != 12][:6]
    assert near.distances == pytest.approx(pixels[near.rows], rel=1e-5)


def test_a_code_without_a_posterior_has_no_spread() -> None:
    run = run_of(trainer.root() / "pca-digits")
    cloud = clouds.from_images(run, run.images, "test", 4, lambda done: None)
    assert nearness.spread_of(cloud, cloud.batch(np.array([0]))) is None
