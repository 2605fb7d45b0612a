"""The page Paths as a person uses it, and the plain functions under it."""

from __future__ import annotations

import re
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from canvas import READY, shown
from conftest import ROOT, served
from PIL import Image
from playwright.sync_api import Page, expect
from streamlit.testing.v1 import AppTest
from trainings import until

import trainer
from explorer import charting, paths, pictures, route_figures, routes
from explorer.choosing import Selected
from explorer.opened import Run
from explorer.paths import Attribute
from explorer.run import open_run
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
    found = {kind: routes.route(digits, kind, a, b) for kind in routes.KINDS}
    for route in found.values():
        assert near(route.frames[0], decoded(digits, a)) and near(route.frames[-1], decoded(digits, b))
        assert route.distance[0] < 1e-4 and route.distance[-1] < 1e-4  # both are of the data
    assert all(route.settled for route in found.values())
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


def test_the_charts_under_a_strip_stand_under_its_frames_on_the_same_scales(digits: Run) -> None:
    a, b = routes.latents(digits)[:2]
    every = [routes.route(digits, kind, a, b) for kind in (routes.STRAIGHT, routes.DATA)]
    figures = [route_figures.under(route, every, "the prior", 8) for route in every]
    for route, figure in zip(every, figures, strict=True):
        density, distance = figure.data
        np.testing.assert_array_equal(density.y, route.density)
        np.testing.assert_array_equal(distance.y, route.distance)
        strip = pictures.strip(list(route.frames[:: routes.EVERY])).shape[1]
        low, high = figure.layout.xaxis.range
        places = (np.array(figure.layout.xaxis.tickvals) - low) / (high - low) * strip  # px
        np.testing.assert_allclose(places, 4 + 9 * np.arange(9), atol=0.01)  # the middles of frames of 8 px and 1 px
        for axis, found in ((figure.layout.yaxis, [each.density for each in every]),
                            (figure.layout.yaxis2, [each.distance for each in every])):  # fmt: skip
            assert axis.range[0] < np.min(found) and np.max(found) < axis.range[1]
    assert figures[0].layout.yaxis == figures[1].layout.yaxis and figures[0].layout.yaxis2 == figures[1].layout.yaxis2


def page_of_paths(folder: str) -> None:
    import streamlit as st

    import trainer
    from explorer import run
    from explorer.pages import paths

    st.session_state.setdefault("pages", {})
    paths.show(run.open_run(trainer.describe(folder)))


def along_an_attribute(name: str, mask: np.ndarray | None = None, row: int = -1, of: str = "") -> AppTest:
    """The page's second walk, after these points of that model, or `of` another, were selected on the map."""
    folder = trainer.root() / name
    page = AppTest.from_function(page_of_paths, args=(str(folder),), default_timeout=60)
    page.session_state["paths/walk"] = "Along an attribute"
    if mask is not None:
        points = charting.name_of_shipped(open_run(checkpoint.describe(trainer.root() / (of or name))))
        selected = Selected(points, mask, "Drawn around", row)
        page.session_state["map/selected"] = selected
    page.run()
    assert not page.exception
    return page


def options(page: AppTest) -> dict[str, list[str]]:
    return {box.label: box.options for box in page.selectbox}


def test_what_is_selected_on_the_map_is_an_attribute(digits: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    points = digits.summary.arrays["points"].astype(np.float32)
    mask = digits.summary.arrays["labels"] == 3
    taken, of = [], Attribute.of
    monkeypatch.setattr(Attribute, "of", lambda *given: taken.append(given) or of(*given))
    page = along_an_attribute("vae-digits", mask)
    assert options(page)["With"] == ["the map's selection", *map(str, range(10))]
    assert options(page)["Without"] == ["all others"] and not page.error
    np.testing.assert_array_equal(taken[0][0], points)
    np.testing.assert_array_equal(taken[0][1], mask)
    assert "the two groups" in " ".join(caption.value for caption in page.caption)

    one = np.arange(len(points)) == 5
    assert "1 points have it" in along_an_attribute("vae-digits", one).error[0].value
    assert options(along_an_attribute("vae-digits", one, row=5))["With"] == [str(digit) for digit in range(10)]
    other = along_an_attribute("vae-fashion", mask, of="vae-digits")
    assert "the map's selection" not in options(other)["With"]


def test_strips_and_charts_are_named_for_who_does_not_see_them() -> None:
    page = AppTest.from_function(page_of_paths, args=(str(trainer.root() / "vae-digits"),), default_timeout=60).run()
    strips = [image.alt for images in page.get("image") for image in images.proto.imgs if "along the path" in image.alt]
    assert strips == [f"{kind}: 9 images along the path" for kind in routes.KINDS if kind != routes.METRIC]
    assert all(chart.proto.alt for chart in page.get("plotly_chart"))
    assert all(chart.proto.alt for chart in along_an_attribute("vae-digits").get("plotly_chart"))


def test_without_labels_a_selection_is_what_an_attribute_is_made_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "classes", lambda run: [])
    assert "Select images on the page Map" in " ".join(info.value for info in along_an_attribute("vae-digits").info)
    mask = np.arange(len(trainer.load_summary(trainer.root() / "vae-digits").arrays["points"])) < 50
    assert options(along_an_attribute("vae-digits", mask))["With"] == ["the map's selection"]


def test_a_search_that_is_closed_or_fails_is_over(digits: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = routes.latents(digits)[:2]
    found = routes.Search(digits, a, b)
    until(lambda: found.is_over)
    assert found.found and found.found.settled and found.found.kind == routes.METRIC and 0 < found.share <= 1
    monkeypatch.setattr(paths, "SETTLED", float("-inf"))
    monkeypatch.setattr(paths, "LONGEST", 10**9)
    before = threading.active_count()
    endless = routes.Search(digits, a, b)
    until(lambda: endless.share > 0)
    assert not endless.is_over and endless.left > 0
    endless.close()
    assert endless.is_over and endless.found is None
    until(lambda: threading.active_count() == before)
    monkeypatch.setattr(paths, "pulled_back", lambda *given: (_ for _ in ()).throw(RuntimeError("no memory")))
    failed = routes.Search(digits, a, b)
    until(lambda: failed.is_over)
    assert failed.problem == "no memory"


def test_a_path_is_dragged_and_shows_the_decodes_along_it(page: Page, app: str, digits: Run) -> None:
    page.goto(f"{app}/paths?checkpoint=vae-digits")
    page.wait_for_selector(READY)
    expect(page.get_by_text("Through the data: the images move")).to_have_count(1)
    for title in ("Log density of the prior (nats)", "Distance to the nearest training latent, in its unit"):
        expect(page.get_by_text(title)).to_have_count(3)  # under each strip
    ends = []
    for key, walked in (("Home", 0), ("End", 1)):
        page.locator(".track input").press(key)
        expect(page.locator(READY)).to_have_attribute("data-values", f'{{"walk":{walked}}}')
        ends.append(shown(page)[1])
    for number, end in enumerate(ends):
        assert near(end, decoded(digits, digits.image(number)[1]["z"][0].numpy().round(4))[..., 0])

    expect(page.get_by_text("Shortest on screen: the images move")).to_have_count(0)  # it is not asked for yet
    page.get_by_text("Shortest on screen").click()
    expect(page.get_by_text("Shortest on screen: the images move")).to_be_visible()
    expect(page.get_by_text("Distance to the nearest training latent, in its unit")).to_have_count(4)

    page.get_by_text("Along an attribute").click()
    expect(page.get_by_text("Resampled images of the two groups")).to_be_visible()
    expect(page.locator(READY)).to_have_count(1)  # the canvas of before is gone with the end of the run
    expect(page.locator(READY)).to_have_attribute("data-values", '{"walk":0}')
    assert near(shown(page)[1], ends[0])


def test_a_search_that_breaks_is_over(digits: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(routes, "route", broken)
    a, b = routes.latents(digits)[:2]
    search = routes.Search(digits, a, b)
    until(lambda: search.is_over)
    assert search.problem == "MemoryError" and search.found is None


def test_the_search_for_the_shortest_path_is_cancelled(page: Page, tmp_path: Path, digits: Run) -> None:
    command = [sys.executable, "-m", "streamlit", "run", "tests/endless_path.py"]
    with served(tmp_path, command, PYTHONPATH=str(ROOT)) as url:
        page.goto(f"{url}/paths?checkpoint=vae-digits")
        page.wait_for_selector(READY, timeout=90_000)
        expect(page.get_by_text("Through the data: the images move")).to_have_count(1)
        places = [page.locator(READY), page.get_by_text("Straight: the images move")]
        choice = page.get_by_text("Shortest on screen")
        choice.scroll_into_view_if_needed()
        before = [place.bounding_box() for place in places]
        choice.click()
        expect(page.get_by_text(re.compile(r"Looking for the shortest path: at most \d+ s left"))).to_be_visible()
        assert [place.bounding_box() for place in places] == before  # nothing jumps
        page.locator(".track input").press("End")  # the page lives on
        expect(page.locator(READY)).to_have_attribute("data-values", '{"walk":1}')
        page.get_by_role("button", name="Cancel").click()
        page.locator(".track input").press("Home")  # in the midst of it
        expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
        expect(page.get_by_role("radio", name="Straight")).to_be_checked()
        expect(page.get_by_text("Through the data: the images move")).to_have_count(1)
        expect(page.get_by_text("Shortest on screen: the images move")).to_have_count(0)
        page.get_by_text("Spherical", exact=True).first.click()  # the search is over: the page answers
        a, b = (digits.image(number)[1]["z"][0].numpy().astype(np.float64).round(4) for number in (0, 1))
        length = routes.route(digits, routes.SPHERICAL, a, b).length
        expect(page.get_by_text(f"{length:.1f} moved in all").first).to_be_visible()


def test_a_path_from_a_drawing_to_an_upload(page: Page, app: str, tmp_path: Path) -> None:
    Image.fromarray(np.pad(np.full((20, 4), 255, np.uint8), ((4, 4), (12, 12)))).save(tmp_path / "one.png")
    page.goto(f"{app}/paths?checkpoint=vae-digits")
    page.wait_for_selector(READY)
    for end, kind in (("From", "Draw"), ("To", "Upload")):
        page.get_by_role("radiogroup", name=end, exact=True).locator("label").filter(has_text=kind).click()
    expect(page.get_by_text("the path appears here")).to_be_visible()
    page.locator("input[type=file]").set_input_files([tmp_path / "one.png"])
    expect(page.get_by_text("one.png").first).to_be_visible()
    expect(page.get_by_text("the path appears here")).to_be_visible()  # there is no drawing yet
    box = page.locator("canvas").first.bounding_box()
    assert box
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.2 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 0.2 * box["height"], steps=8)
    page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 0.8 * box["height"], steps=8)
    page.mouse.up()
    expect(page.get_by_text("Straight: the images move")).to_be_visible()
    page.locator(".track input").press("Home")
    expect(page.locator(READY)).to_have_attribute("data-values", '{"walk":0}')
    drawn = shown(page)[1]
    page.locator(".track input").press("End")
    expect(page.locator(READY)).to_have_attribute("data-values", '{"walk":1}')
    assert not near(shown(page)[1], drawn)


def test_on_a_phone_the_path_comes_before_its_controls(page: Page, app: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{app}/paths?checkpoint=vae-digits")
    page.wait_for_selector(READY)
    path, walk = page.locator(READY).bounding_box(), page.get_by_role("radiogroup", name="Walk").bounding_box()
    assert path and walk and path["y"] < walk["y"]
