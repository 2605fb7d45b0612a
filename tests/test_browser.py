"""The app as a person uses it: served by README.md's command, in a real browser."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import torch
from canvas import READY, assert_true_picture, decoded, drag, open_traversals, shown
from conftest import ROOT
from PIL import Image
from playwright.sync_api import Page, expect

import trainer


def test_cards_then_traversals(page: Page, app: str) -> None:
    page.goto(app)
    expect(page.get_by_role("heading", name="Latent explorer")).to_be_visible()
    names = [found.name for found in trainer.checkpoints(ROOT / "checkpoints")]
    assert {"pca-digits", "ppca-digits", "vae-digits", "beta-vae-sprites"} <= set(names)
    for name in names:
        expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()
    page.locator(".st-key-explore-ppca-digits button").locator("visible=true").first.click()
    page.wait_for_selector(READY)
    expect(page.get_by_role("heading", name="Traversals of ppca-digits")).to_be_visible()
    assert_true_picture(page, "ppca-digits")


def test_picture_follows_the_drag_and_a_link_leads_back(page: Page, app: str) -> None:
    open_traversals(page, app, "beta-vae-sprites")
    before = page.locator(READY).bounding_box()
    during = drag(page, 0, 0.8)
    assert len(set(during)) >= 5  # it moved during the drag, not only on release
    held = assert_true_picture(page, "beta-vae-sprites")
    page.mouse.up()
    assert page.locator(".picture").bounding_box() == before  # nothing jumped
    moved = max(held, key=lambda axis: abs(held[axis]))
    assert abs(held[moved] - 1.8) < 0.2
    page.wait_for_url(lambda url: f"{held[moved]:g}" in url)

    drag(page, 1, 0.3)  # another axis, from where the first one stands now
    page.mouse.up()
    page.wait_for_selector(READY)
    final = assert_true_picture(page, "beta-vae-sprites")
    assert final[moved] == held[moved]
    assert sum(value != 0 for value in final.values()) == 2
    latent = ",".join(f"{final[f'z/{dim}']:g}" for dim in range(len(final)))
    page.wait_for_url(lambda url: latent in url.replace("%2C", ","))

    other = page.context.new_page()
    other.goto(page.url)
    other.wait_for_selector(READY)
    values, grey = shown(other)
    assert values == final
    assert np.array_equal(grey, decoded("beta-vae-sprites", final))


def test_keyboard_names_grid_and_downloads(page: Page, app: str) -> None:
    open_traversals(page, app, "vae-digits")
    first = page.locator(".track input").first
    first.focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    expect(first).to_have_value("23")
    values = assert_true_picture(page, "vae-digits")
    assert sorted(values.values())[-1] == 0.45

    label = page.locator("input.name").first
    label.fill("slant & <b>thickness</b>")
    label.press("Enter")
    expect(page.locator(".row .title").first).to_have_text("slant & <b>thickness</b>")
    page.wait_for_timeout(1000)
    page.reload()
    page.wait_for_selector(READY)
    expect(page.locator("input.name").first).to_have_value("slant & <b>thickness</b>")
    assert sorted(assert_true_picture(page, "vae-digits").values())[-1] == 0.45

    cells = page.locator(".row .cells").nth(1)
    box = cells.bounding_box()
    assert box
    cells.click(position={"x": box["width"] - 5, "y": box["height"] / 2})
    page.wait_for_selector(READY)
    assert sorted(assert_true_picture(page, "vae-digits").values())[-1] == 3.0

    page.get_by_role("button", name="Download").click()
    for button, kind in (("Grid as PNG", "PNG"), ("Dimension as GIF", "GIF")):
        with page.expect_download() as download:
            page.get_by_role("button", name=button).click()
        image = Image.open(io.BytesIO(Path(download.value.path()).read_bytes()))
        assert image.format == kind
        assert getattr(image, "n_frames", 1) == (80 if kind == "GIF" else 1)
    with page.expect_download() as download:
        page.get_by_role("button", name="Latent as JSON").click()
    kept = json.loads(Path(download.value.path()).read_text())
    assert kept["checkpoint"] == "vae-digits"
    assert sorted(kept["latent"]["z"])[-1] == 3.0


def test_escape_leaves_a_name_as_it_was(page: Page, app: str) -> None:
    open_traversals(page, app, "pca-digits")
    field, title = page.locator("input.name").first, page.locator(".row .title").first
    field.fill("slant")
    field.press("Enter")
    expect(title).to_have_text("slant")
    field.evaluate("node => node.addEventListener('change', () => (node.dataset.changed = true))")
    field.press("End")
    field.press_sequentially("ed")
    expect(field).to_have_value("slanted")
    field.press("Escape")
    expect(field).not_to_be_focused()
    expect(field).to_have_value("slant")
    expect(title).to_have_text("slant")
    assert field.get_attribute("data-changed") is None  # a change is what the server is told


def test_start_from_a_data_image_and_its_code(page: Page, app: str, tmp_path: Path) -> None:
    open_traversals(page, app, "vae-digits")
    page.get_by_role("combobox", name="Start from").click()
    page.get_by_role("option", name="Data image").click()
    expect(page.locator(".origin")).to_be_visible()
    page.get_by_role("spinbutton", name="Image").fill("7")
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "image=7" in url)
    model = trainer.load(ROOT / "checkpoints/vae-digits")
    x = trainer.load_data("digits", "test").batch(torch.tensor([7]))
    with torch.no_grad():
        expected = model.encode(x)["z"][0].numpy().round(4)
    expect(page.locator(READY)).to_be_visible()
    values = assert_true_picture(page, "vae-digits")
    assert np.allclose([values[f"z/{dim}"] for dim in range(len(values))], expected, atol=1e-4)


def test_nothing_is_asked_from_outside(page: Page, app: str) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(app)
    expect(page.get_by_role("heading", name="Latent explorer")).to_be_visible()
    expect(page.get_by_test_id("stIconMaterial").locator("visible=true").first).to_be_visible()
    page.get_by_role("link", name="Traversals").click()
    page.wait_for_selector(READY)
    expect(page.get_by_role("button", name="Reset")).to_be_visible()
    page.goto(f"{app}/traversals?checkpoint=![x](http://outside.test/x.png)")
    expect(page.get_by_role("alert")).to_contain_text("![x](http://outside.test/x.png)")
    assert any("woff2" in url for url in asked)  # the icons' font, which the app brings
    assert [url for url in asked if not url.startswith((app, "data:", "blob:"))] == []


def test_a_link_that_cannot_be_followed_says_so(page: Page, app: str) -> None:
    page.goto(f"{app}/traversals?checkpoint=vae-digits&z=1,2")
    expect(page.get_by_role("alert")).to_contain_text("expected 10 numbers")
    page.wait_for_selector(READY)
    page.goto(f"{app}/traversals?checkpoint=../../etc")
    expect(page.get_by_role("alert")).to_contain_text("There is no checkpoint")
