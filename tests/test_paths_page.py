"""The page Paths as a person uses it, and the plain functions under it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from canvas import READY, shown
from playwright.sync_api import Page, expect

import trainer
from explorer import routes
from explorer.opened import Run
from trainer import checkpoint


@pytest.fixture(scope="module")
def digits() -> Run:
    path = trainer.root() / "vae-digits"
    return Run(checkpoint.describe(path), trainer.load(path), trainer.load_summary(path))


def decoded(run: Run, point: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return trainer.to_bytes(run.model.decode({"z": torch.from_numpy(point).float()[None]}))[0]


def near(one: np.ndarray, other: np.ndarray) -> bool:
    return int(np.abs(one.astype(int) - other.astype(int)).max()) <= 1  # a batch rounds differently


def test_every_path_begins_and_ends_at_its_images_and_the_metric_one_is_the_shortest(digits: Run) -> None:
    a, b = routes.latents(digits)[:2]
    found = {route.kind: route for route in routes.routes(digits, a, b)}
    assert list(found) == list(routes.KINDS)
    for route in found.values():
        assert near(route.frames[0], decoded(digits, a)) and near(route.frames[-1], decoded(digits, b))
        assert route.distance[0] < 1e-4 and route.distance[-1] < 1e-4  # both are of the data
    assert found[routes.METRIC].length < 0.99 * found[routes.STRAIGHT].length
    assert found[routes.DATA].distance.mean() < found[routes.STRAIGHT].distance.mean()


def test_an_attribute_makes_the_other_class_of_an_image(digits: Run) -> None:
    model, labels, points = digits.model, digits.summary.arrays["labels"], routes.latents(digits)
    found = routes.attribute(digits, "1", "0")
    zeros = points[labels == 0]
    means = {name: points[labels == int(name)].mean(0) for name in "01"}
    moved = zeros + found.direction
    assert np.linalg.norm(moved.mean(0) - means["1"]) < 1e-6 < np.linalg.norm(zeros.mean(0) - means["1"])
    frames = routes.along(digits, zeros[0], found.direction, [0.0, 1.0])
    assert near(frames[0], decoded(digits, zeros[0])) and near(frames[1], decoded(digits, moved[0]))
    assert model.training is False and all(weight.grad is None for weight in model.parameters())
    assert routes.attribute(digits, "1", routes.REST).agreement > 0.9


def test_a_path_is_dragged_and_shows_the_decodes_along_it(page: Page, app: str, digits: Run) -> None:
    page.goto(f"{app}/paths?checkpoint=vae-digits")
    page.wait_for_selector(READY)
    expect(page.get_by_text("Through the data: the images move")).to_be_visible()
    expect(page.get_by_text("Distance to the nearest training latent").first).to_be_visible()
    ends = []
    for key, walked in (("Home", 0), ("End", 1)):
        page.locator(".track input").press(key)
        expect(page.locator(READY)).to_have_attribute("data-values", f'{{"walk":{walked}}}')
        ends.append(shown(page)[1])
    for number, end in enumerate(ends):
        assert near(end, decoded(digits, digits.image(number)[1]["z"][0].numpy().round(4))[..., 0])

    page.get_by_text("Along an attribute").click()
    expect(page.get_by_text("Resampled images of the two classes")).to_be_visible()
    expect(page.locator(READY)).to_have_attribute("data-values", '{"walk":0}')
    assert near(shown(page)[1], ends[0])
