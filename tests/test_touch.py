"""Sliders under a finger, on a phone: a swipe along the page scrolls it, one along a slider moves that."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from canvas import READY, assert_true_picture, open_traversals
from conftest import PATIENCE
from playwright.sync_api import Browser, Locator, Page, expect

STEPS = 8  # of a swipe
AT_ITS_HOME = "20"  # of 41 stops
# a finger that lands while the page still rolls only stops it; the picture covers what is under it
COME_TO_REST = """async node => {
    for (let place, still = 0; still < 20; still = place === node.getBoundingClientRect().top ? still + 1 : 0) {
        if (!still) node.scrollIntoView({ block: "end" });
        place = node.getBoundingClientRect().top;
        await new Promise(requestAnimationFrame);
    }
}"""


@pytest.fixture
def phone(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    context.set_default_timeout(PATIENCE)
    yield context.new_page()
    context.close()


def swipe(phone: Page, slider: Locator, right: float, down: float) -> None:
    """A finger lands at 3/4 of a slider, moves by so many CSS pixels, and is lifted."""
    slider.evaluate(COME_TO_REST)
    box = slider.bounding_box()
    assert box
    x, y = box["x"] + 0.75 * box["width"], box["y"] + box["height"] / 2
    session = phone.context.new_cdp_session(phone)
    for step in range(STEPS + 1):
        point = {"x": x + right * step / STEPS, "y": y + down * step / STEPS}
        kind = "touchMove" if step else "touchStart"
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    session.detach()


def note_events(slider: Locator) -> None:
    """From now on the slider keeps, as data-heard, which of these events came to it."""
    slider.evaluate(
        "node => ['input', 'pointercancel', 'touchend'].forEach(type => node.addEventListener(type, () => "
        "(node.dataset.heard = (node.dataset.heard ?? '') + type + ' ')))"
    )


def test_a_swipe_that_scrolls_leaves_the_slider_alone(phone: Page, app: str) -> None:
    open_traversals(phone, app, "vae-digits")
    first, second = (phone.locator(".track input").nth(at) for at in (0, 1))
    note_events(first)
    before = assert_true_picture(phone, "vae-digits")
    swipe(phone, first, 0, -200)
    heard = re.compile("input .*pointercancel .*touchend")  # it was moved, and then the page scrolled
    expect(first).to_have_attribute("data-heard", heard)
    expect(first).to_have_value(AT_ITS_HOME)
    expect(first).to_have_attribute("aria-valuetext", "0.00")
    phone.wait_for_selector(READY)
    assert assert_true_picture(phone, "vae-digits") == before

    swipe(phone, second, 60, 0)
    phone.wait_for_selector(READY)
    after = assert_true_picture(phone, "vae-digits")
    moved = {axis for axis in after if after[axis] != before[axis]}
    assert len(moved) == 1 and all(after[axis] > 1.5 for axis in moved)  # beyond where the finger landed
    latent = ",".join(f"{after[f'z/{dim}']:g}" for dim in range(len(after)))
    phone.wait_for_url(lambda url: latent in url.replace("%2C", ","))
    assert assert_true_picture(phone, "vae-digits") == after


def test_a_swipe_after_a_move_leaves_it_where_it_was(phone: Page, app: str) -> None:
    open_traversals(phone, app, "vae-digits")
    slider = phone.locator(".track input").first
    slider.focus()
    phone.keyboard.press("ArrowLeft")
    before = assert_true_picture(phone, "vae-digits")
    assert sorted(before.values())[0] == -0.15
    swipe(phone, slider, 0, -200)
    expect(slider).to_have_value("19")
    phone.wait_for_selector(READY)
    assert assert_true_picture(phone, "vae-digits") == before
    latent = ",".join(f"{before[f'z/{dim}']:g}" for dim in range(len(before)))
    phone.wait_for_url(lambda url: latent in url.replace("%2C", ","))
