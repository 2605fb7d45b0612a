"""The drawing pad: what strokes become, what is refused, and the pad in a browser."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, served
from playwright.sync_api import Locator, Page, expect
from streamlit.testing.v1 import AppTest

from explorer.pad import POINTS, STROKES, Stroke, rasterise, read

SCRIPT = ROOT / "tests/pad_page.py"


def ink(*strokes: Stroke, side: int = 200) -> np.ndarray:
    """(side, side), 0 to 1."""
    return rasterise(list(strokes), side)[..., 0] / 255


@pytest.mark.parametrize("width", [0.05, 0.1, 0.25])
def test_a_dot_is_a_disc_where_it_was_put(width: float) -> None:
    drawn = ink(Stroke(points=[(0.3, 0.6)], width=width))
    middles = (np.arange(200) + 0.5) / 200
    assert math.isclose(drawn.sum() / 200**2, math.pi * width**2 / 4, rel_tol=0.01)
    assert math.isclose((drawn.sum(0) * middles).sum() / drawn.sum(), 0.3, abs_tol=5e-4)
    assert math.isclose((drawn.sum(1) * middles).sum() / drawn.sum(), 0.6, abs_tol=5e-4)
    assert ((drawn > 0) & (drawn < 1)).any()  # its edge is smooth


@pytest.mark.parametrize("end", [(0.8, 0.2), (0.2, 0.7), (0.8, 0.7), (0.3, 0.9)])
def test_a_line_is_a_bar_with_round_ends(end: tuple[float, float]) -> None:
    drawn = ink(Stroke(points=[(0.2, 0.2), end], width=0.1))
    length = math.hypot(end[0] - 0.2, end[1] - 0.2)
    assert math.isclose(drawn.sum() / 200**2, 0.1 * length + math.pi * 0.1**2 / 4, rel_tol=0.02)
    halfway = drawn[int(100 * (0.2 + end[1])), int(100 * (0.2 + end[0]))]
    assert halfway == 1


def test_points_in_between_change_nothing_and_a_bend_has_no_gap() -> None:
    line = ink(Stroke(points=[(0.2, 0.5), (0.8, 0.5)], width=0.1))
    fine = ink(Stroke(points=[(x / 100, 0.5) for x in range(20, 81)], width=0.1))
    assert np.abs(line - fine).mean() < 1e-3
    bend = ink(Stroke(points=[(0.2, 0.2), (0.8, 0.5), (0.2, 0.8)], width=0.1))
    assert (bend[95:105, 150:160] == 1).all()


def test_the_eraser_takes_ink_and_later_ink_covers_it() -> None:
    bar = Stroke(points=[(0.1, 0.5), (0.9, 0.5)], width=0.1)
    hole = Stroke(points=[(0.5, 0.5)], width=0.2, erase=True)
    assert ink(bar, hole)[100, 100] == 0
    assert ink(bar, hole)[100, 40] == 1
    assert ink(bar, hole, bar)[100, 100] == 1
    assert ink(hole).sum() == 0


def test_what_lies_outside_is_cut_not_pushed_to_the_edge() -> None:
    drawn = ink(Stroke(points=[(0.5, 0.5), (1.5, 0.5), (1.5, 0.9), (0.5, 0.9)], width=0.1))
    assert drawn[100, 199] == 1 and drawn[180, 199] == 1
    assert drawn[130:160, 150:].sum() == 0
    assert rasterise([], 7).shape == (7, 7, 1) and rasterise([], 7).dtype == np.uint8
    for side in (0, 5000):
        with pytest.raises(ValueError, match="1 to 1024 pixels"):
            rasterise([], side)


def test_reads_what_a_browser_reports() -> None:
    assert read(None).strokes == read({"strokes": []}).strokes == []
    drawing = read({"strokes": [{"points": [[0.1, 0.2], [1, 1]], "width": 0.08, "erase": True}]})
    assert drawing.strokes == [Stroke(points=[(0.1, 0.2), (1.0, 1.0)], width=0.08, erase=True)]


def stroke(points: Any, **other: Any) -> dict[str, Any]:
    return {"strokes": [{"points": points, "width": 0.1, **other}]}


HOSTILE = {
    "a text": "drawing",
    "a list": [1, 2],
    "another key": {"strokes": [], "path": "/etc"},
    "no points": stroke([]),
    "text for a point": stroke(["ab"]),
    "three coordinates": stroke([[0.1, 0.2, 0.3]]),
    "not a number": stroke([[float("nan"), 0.2]]),
    "null": stroke([[None, 0.2]]),
    "infinite": stroke([[float("inf"), 0.2]]),
    "far outside": stroke([[0.5, 1e9]]),
    "no width": {"strokes": [{"points": [[0.1, 0.1]]}]},
    "width 0": stroke([[0.1, 0.1]], width=0),
    "width 9": stroke([[0.1, 0.1]], width=9),
    "too many strokes": {"strokes": stroke([[0.1, 0.1]])["strokes"] * (STROKES + 1)},
    "too many points": stroke([[0.1, 0.1]] * (POINTS + 1)),
    "too many points in all": {"strokes": stroke([[0.1, 0.1]] * (POINTS // 2 + 1))["strokes"] * 2},
}


@pytest.mark.parametrize("raw", HOSTILE.values(), ids=HOSTILE)
def test_refuses_what_no_pad_reports(raw: Any) -> None:
    with pytest.raises(ValueError, match="(?i)strokes|path|points|drawing") as caught:
        read(raw)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 200


@pytest.mark.parametrize("raw", [HOSTILE["null"], HOSTILE["a text"], HOSTILE["width 9"]], ids=["null", "text", "width"])
def test_a_drawing_that_cannot_be_read_is_none_and_says_so(raw: Any) -> None:
    page = AppTest.from_file(str(SCRIPT), default_timeout=30)
    page.session_state["drawing"] = {"drawing": raw}
    page.run()
    assert not page.exception
    assert "cannot be read" in page.error[0].value
    assert page.markdown[0].value.startswith("nothing")


def test_a_pad_that_is_built_anew_has_the_last_drawing_that_could_be_read() -> None:
    page = AppTest.from_file(str(SCRIPT), default_timeout=30)

    def shown(elsewhere: bool, reported: Any = None) -> str:
        page.session_state["elsewhere"] = elsewhere
        if reported is not None:
            page.session_state["drawing"] = {"drawing": reported}
        page.run()
        assert not page.exception
        return str(page.markdown[0].value.split(" after")[0])

    assert shown(False) == "nothing"  # what is set before there is a pad would never go
    drawn = shown(False, stroke([[0.2, 0.5], [0.8, 0.5]]))
    assert drawn.startswith("ink")
    assert shown(True) == "nothing" and shown(False) == drawn
    assert shown(False, HOSTILE["null"]) == "nothing" and page.error
    assert shown(True) == "nothing" and shown(False) == drawn
    assert shown(False, {"strokes": []}) == "nothing"
    assert shown(True) == "nothing" and shown(False) == "nothing"


@pytest.fixture(scope="module")
def pad_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    command = [sys.executable, "-m", "streamlit", "run", str(SCRIPT)]
    with served(tmp_path_factory.mktemp("home"), command) as url:
        yield url


def said(page: Page, pattern: str) -> list[int]:
    """The numbers of the page's sentence, once it reads like `pattern`."""
    text = page.get_by_text(re.compile(pattern))
    expect(text).to_be_visible()
    return [int(number) for number in re.findall(r"\d+", text.inner_text())]


def open_pad(page: Page, address: str) -> Locator:
    page.goto(address)
    said(page, "nothing after 1 runs")
    return page.locator(".pad canvas")


def draw(page: Page, canvas: Locator, *points: tuple[float, float]) -> None:
    box = canvas.bounding_box()
    assert box
    for number, (x, y) in enumerate(points):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=8 if number else 1)
        if not number:
            page.mouse.down()
    page.mouse.up()


def pixels(canvas: Locator) -> np.ndarray:
    """(side, side) uint8, what the browser itself shows."""
    read_all = "c => Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data)"
    rgba = np.array(canvas.evaluate(read_all), np.uint8).reshape(-1, 4)
    side = math.isqrt(len(rgba))
    return rgba[:, 0].reshape(side, side)


def test_mouse_undo_redo_clear_and_eraser(page: Page, pad_page: str) -> None:
    canvas = open_pad(page, pad_page)
    expect(page.get_by_text("Draw here")).to_be_visible()
    draw(page, canvas, (0.25, 0.5), (0.75, 0.5))
    left, right, top, bottom, area, runs = said(page, "^ink")
    assert [left, right, top, bottom] == pytest.approx([59, 221, 129, 151], abs=2)  # 280 px: 70 to 210, 22 px thick
    assert area == pytest.approx(140 * 22.4 + math.pi * 11.2**2, rel=0.03)
    assert runs == 2  # once, on release
    assert abs(float(pixels(canvas).sum()) / 255 - area) < 0.03 * area  # the browser shows what Python has
    expect(page.get_by_text("Draw here")).to_be_hidden()

    page.get_by_role("button", name="Eraser").click()
    draw(page, canvas, (0.5, 0.4), (0.5, 0.6))
    assert said(page, "^ink.* 3 runs")[4] == pytest.approx(area - 22.4**2, rel=0.03)
    page.get_by_role("button", name="Undo").click()
    assert said(page, "^ink.* 4 runs")[4] == area
    page.get_by_role("button", name="Undo").click()
    said(page, "nothing after 5 runs")
    assert pixels(canvas).max() == 0
    page.get_by_role("button", name="Redo").click()
    assert said(page, "^ink.* 6 runs")[4] == area
    page.get_by_role("button", name="Clear").click()
    said(page, "nothing after 7 runs")
    page.get_by_role("button", name="Undo").click()
    assert said(page, "^ink.* 8 runs")[4] == area


def test_a_stroke_that_leaves_the_pad_comes_back(page: Page, pad_page: str) -> None:
    canvas = open_pad(page, pad_page)
    draw(page, canvas, (0.5, 0.3), (1.3, 0.3), (1.3, 0.8), (0.5, 0.8))
    said(page, "^ink")
    shown = pixels(canvas)
    assert shown[84, -2] == 255 and shown[224, -2] == 255
    assert shown[130:180, 200:].max() == 0  # nothing along the edge


def test_keyboard_alone(page: Page, pad_page: str) -> None:
    canvas = open_pad(page, pad_page)
    page.keyboard.press("Tab")
    while not canvas.evaluate("c => c.matches(':focus')"):
        page.keyboard.press("Tab")
    for key in ["ArrowUp", "ArrowUp", "Space", *["ArrowRight"] * 10, *["ArrowDown"] * 4, "Space"]:
        page.keyboard.press(key)
    left, right, top, bottom, *_ = said(page, "^ink.* 2 runs")
    # from (.5, .45) to (.75, .45) to (.75, .55), with a brush of .08
    assert [left, right, top, bottom] == pytest.approx([129, 221, 115, 165], abs=2)
    page.keyboard.press("Control+z")
    said(page, "nothing after 3 runs")
    page.keyboard.press("Control+y")
    assert said(page, "^ink.* 4 runs")[0] == left


def test_touch_draws_and_width_is_heeded(page: Page, pad_page: str) -> None:
    canvas = open_pad(page, pad_page)
    assert canvas.evaluate("c => getComputedStyle(c).touchAction") == "none"
    page.get_by_role("slider").fill("20")
    box = canvas.bounding_box()
    assert box
    session = page.context.new_cdp_session(page)
    for kind, x in (("touchStart", 0.3), ("touchMove", 0.5), ("touchMove", 0.7), ("touchEnd", None)):
        at = [] if x is None else [{"x": box["x"] + x * box["width"], "y": box["y"] + 0.5 * box["height"]}]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})
    left, right, top, bottom, *_ = said(page, "^ink")
    assert [left, right, top, bottom] == pytest.approx([56, 224, 112, 168], abs=2)
    assert json.loads(page.get_by_role("slider").input_value()) == 20
