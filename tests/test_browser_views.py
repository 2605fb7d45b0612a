"""Views in a real browser: history, several tabs, large images, damaged files, samples."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from canvas import READY, assert_true_picture, decoded, drag, open_traversals, shown
from classed import save_conditional
from conftest import ROOT, served
from large import ACTIVE, save_large
from playwright.sync_api import Page, expect

import trainer
from explorer.opened import Run
from explorer.samples import Samples
from trainer import checkpoint


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints of our own: one that is large, one of classes, and one whose preview is damaged."""
    path = tmp_path_factory.mktemp("checkpoints")
    save_large(path / "large")
    save_conditional(path / "conditional", steps=20)
    shutil.copytree(ROOT / "checkpoints/pca-digits", path / "pca-digits")
    (path / "pca-digits/preview.png").write_bytes(b"\x89PNG\r\n\x1a\n no more of it")
    return path


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def other(folder: Path, home: Path) -> Iterator[str]:
    """The app with those checkpoints."""
    with served(home, CHECKPOINTS=str(folder)) as url:
        yield url


def move(page: Page, slider: int, to: float) -> dict[str, float]:
    """Drag, let go, and wait until the address has it; the values then."""
    before = page.url
    drag(page, slider, to)
    page.mouse.up()
    page.wait_for_url(lambda url: url != before)
    page.wait_for_selector(READY)
    return shown(page)[0]


def wait_for_values(page: Page, values: dict[str, float]) -> None:
    page.wait_for_function(
        "([selector, wanted]) => [...document.querySelectorAll('*')].some(node => {"
        "  const picture = node.shadowRoot?.querySelector(selector);"
        "  if (!picture) return false;"
        "  const is = JSON.parse(picture.dataset.values);"
        "  return Object.entries(wanted).every(([axis, value]) => Math.abs(is[axis] - value) < 1e-3);"
        "})",
        arg=[READY, values],
    )


def test_back_and_forward_lead_through_the_views(page: Page, app: str) -> None:
    open_traversals(page, app, "vae-digits")
    page.wait_for_url(lambda url: "z=" in url)
    first = shown(page)[0]
    second = move(page, 0, 0.8)
    third = move(page, 1, 0.2)
    assert first != second != third
    page.go_back()
    wait_for_values(page, second)
    assert_true_picture(page, "vae-digits")
    page.go_back()
    wait_for_values(page, first)
    page.go_forward()
    wait_for_values(page, second)
    fourth = move(page, 2, 0.9)  # from the view that was gone back to
    assert {axis for axis in fourth if fourth[axis] != second[axis]} == {
        max(fourth, key=lambda a: fourth[a] - second[a])
    }
    assert_true_picture(page, "vae-digits")


def test_the_start_is_named_after_another_page_and_a_reload(page: Page, app: str) -> None:
    open_traversals(page, app, "vae-digits")
    page.get_by_role("combobox", name="Start from").click()
    page.get_by_role("option", name="Prior sample").click()
    page.get_by_role("spinbutton", name="Seed").fill("5")
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "seed=5" in url)
    page.wait_for_selector(READY)
    drawn = shown(page)[0]
    page.get_by_role("link", name="Models").click()
    expect(page.get_by_role("heading", name="Latent explorer")).to_be_visible()
    page.get_by_role("link", name="Traversals").click()
    for _ in range(2):
        wait_for_values(page, drawn)
        expect(page.get_by_role("combobox", name="Start from")).to_have_value("Prior sample")
        expect(page.get_by_role("spinbutton", name="Seed")).to_have_value("5")
        page.wait_for_url(lambda url: "seed=5" in url)
        page.reload()


def test_two_tabs_leave_each_others_names_alone(page: Page, app: str) -> None:
    def rename(tab: Page, name: str) -> None:
        field = tab.locator("input.name").first
        field.fill(name)
        field.press("Enter")
        tab.get_by_role("button", name="Download").click()  # the page repeats a name once it is kept
        expect(tab.get_by_role("combobox", name="Dimension of the GIF")).to_have_value(f"{name} (z0)")
        tab.keyboard.press("Escape")

    open_traversals(page, app, "ppca-digits")
    rename(page, "first")
    second = page.context.new_page()
    open_traversals(second, app, "ppca-digits")
    rename(second, "second")
    move(page, 1, 0.7)  # the first tab knew an older name and must not bring it back
    expect(page.locator("input.name").first).to_have_value("second")
    second.reload()
    expect(second.locator("input.name").first).to_have_value("second")


def test_large_images_have_all_rows_and_move_at_once(page: Page, other: str, folder: Path) -> None:
    open_traversals(page, other, "large")
    expect(page.locator(".row")).to_have_count(ACTIVE)
    different = page.locator(".row .cells canvas").evaluate_all(
        "rows => rows.map(row => new Set(row.getContext('2d').getImageData(0, 20, row.width, 1).data).size)"
    )
    assert min(different) > 20  # a row that has no pictures is of one colour
    slider = page.locator(".track input").nth(4)
    slider.evaluate("node => (node.mark = 'the same')")
    frames = page.locator(".picture").get_attribute("data-frame") or ""
    slider.hover()
    page.wait_for_function(
        "before => [...document.querySelectorAll('*')].some("
        "node => Number(node.shadowRoot?.querySelector('.picture')?.dataset.frame) > before)",
        arg=int(frames),
    )
    assert len(set(drag(page, 4, 0.9))) >= 5
    assert_true_picture(page, folder / "large")
    page.mouse.up()
    page.wait_for_selector(READY)
    assert slider.evaluate("node => node.mark") == "the same"


def test_an_inactive_dimension_moves_without_new_sliders(page: Page, other: str, folder: Path) -> None:
    open_traversals(page, other, "large")
    page.locator(".fold summary").click()
    slider = page.locator(".track input").nth(ACTIVE)
    slider.scroll_into_view_if_needed()
    slider.evaluate("node => (node.mark = 'the same')")
    drag(page, ACTIVE, 0.8)
    page.wait_for_selector(READY)  # its frames come while it is held
    values = assert_true_picture(page, folder / "large")
    page.mouse.up()
    assert values[f"z/{ACTIVE}"] > 1
    assert slider.evaluate("node => node.mark") == "the same"


def test_damaged_files_are_said_and_the_page_stays(page: Page, other: str, home: Path) -> None:
    page.goto(other)
    expect(page.get_by_text("The preview of pca-digits cannot be shown").first).to_be_visible()
    (home / "names.json").write_text('["no names"]')
    open_traversals(page, other, "pca-digits")
    expect(page.get_by_text("Names are lost")).to_be_visible()
    assert (home / "names.unreadable").read_text() == '["no names"]'
    field = page.locator("input.name").first
    field.fill("slant")
    field.press("Enter")
    expect(page.get_by_text("Names are lost")).to_have_count(0)
    assert [list(names.values()) for names in json.loads((home / "names.json").read_text()).values()] == [["slant"]]


def expected_sheet(name: str, temperature: float, drawn: bool = False) -> np.ndarray:
    found = checkpoint.describe(ROOT / "checkpoints" / name)
    run = Run(found, trainer.load(found.path), trainer.load_summary(found.path))
    samples = Samples(run, seed=0, count=64, drawn=drawn)
    return samples.sheet(samples.images(temperature))[..., 0]


def test_samples_follow_the_temperature_and_lead_to_traversals(page: Page, app: str) -> None:
    page.goto(f"{app}/samples?checkpoint=vae-digits")
    page.wait_for_selector(READY)
    expect(page.locator(".row")).to_have_count(0)
    expect(page.get_by_text("Decoding for the slider")).to_have_count(0)
    values, grey = shown(page)
    assert values == {"temperature": 1.0}
    assert np.array_equal(grey, expected_sheet("vae-digits", 1.0))
    assert len(set(drag(page, 0, 0.2))) >= 5
    values, grey = shown(page)
    assert 0.2 <= values["temperature"] <= 0.6
    assert np.abs(grey.astype(int) - expected_sheet("vae-digits", values["temperature"])).max() <= 1
    page.mouse.up()

    cell = grey[8:16, 16:24]  # row 1, column 2
    picture = page.locator(READY)
    box = picture.bounding_box()
    assert box
    picture.click(position={"x": 2.5 * box["width"] / 8, "y": 1.5 * box["height"] / 8})
    expect(page.get_by_role("heading", name="Traversals of vae-digits")).to_be_visible()
    page.wait_for_selector(".row")
    values = assert_true_picture(page, "vae-digits")
    assert np.abs(decoded("vae-digits", values).astype(int) - cell).max() <= 1
    page.go_back()
    expect(page.get_by_role("heading", name="Samples of vae-digits")).to_be_visible()


def test_draws_by_keyboard_and_the_missing_prior(page: Page, app: str) -> None:
    page.goto(f"{app}/samples?checkpoint=ppca-digits")
    page.wait_for_selector(READY)
    page.get_by_role("combobox", name="Show").click()
    page.get_by_role("option", name="A draw from p(x|z)").click()
    expect(page.get_by_text("Decoding for the slider")).to_have_count(0)
    drawn = expected_sheet("ppca-digits", 1.0, drawn=True)
    page.wait_for_function(
        "first => [...document.querySelectorAll('*')].some(node => node.shadowRoot?.querySelector('.picture')"
        "?.getContext('2d').getImageData(0, 0, 1, 1).data[0] === first)",
        arg=int(drawn[0, 0]),
    )
    assert np.array_equal(shown(page)[1], drawn)
    page.locator(READY).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Traversals of ppca-digits")).to_be_visible()
    page.goto(f"{app}/samples?checkpoint=pca-digits")
    expect(page.get_by_text("This model has no prior")).to_be_visible()
    page.wait_for_selector(READY)


def test_a_sheet_says_the_cell_that_the_keys_are_at(page: Page, app: str) -> None:
    page.goto(f"{app}/samples?checkpoint=ppca-digits")
    picture, said = page.locator(READY), page.locator(".sheet").get_by_role("status")
    picture.focus()
    expect(picture).to_have_accessible_name("decoded images at Temperature = 1.00. Arrows choose one, Enter opens it")
    expect(picture).to_have_accessible_description("row 1 of 8, column 1 of 8")
    for key, cell in (
        ("ArrowRight", "row 1 of 8, column 2 of 8"),
        ("ArrowDown", "row 2 of 8, column 2 of 8"),
        ("ArrowLeft", "row 2 of 8, column 1 of 8"),
        ("ArrowLeft", "row 1 of 8, column 8 of 8"),
    ):
        page.keyboard.press(key)
        expect(said).to_have_text(cell)
    picture.hover()  # by pointer it can be seen
    expect(said).to_have_text("row 1 of 8, column 8 of 8")

    page.goto(f"{app}/traversals?checkpoint=ppca-digits")
    page.wait_for_selector(".row")
    expect(page.locator(READY)).to_have_accessible_name(re.compile("^decoded image at [^.]* = 0.00, "))
    expect(said).to_be_empty()


def test_a_sheet_of_classes_says_the_class_and_the_prior_too(page: Page, other: str) -> None:
    page.goto(f"{other}/classes?checkpoint=conditional")
    page.wait_for_selector(READY)
    page.get_by_role("combobox", name="z from").click()
    page.get_by_role("option", name="both, side by side").click()
    expect(page.locator(".column-names span")).to_have_text(["z from p(z | y)", "z from p(z)"])
    page.locator(READY).focus()
    for key in (*["ArrowDown"] * 2, *["ArrowRight"] * 5):
        page.keyboard.press(key)
    said = page.locator(".sheet").get_by_role("status")
    expect(said).to_have_text("row 3 of 10, class 2, column 6 of 10, z from p(z)")
