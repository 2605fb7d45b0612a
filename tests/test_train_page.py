"""Training from the page, in a real browser: what is started there can be turned, stopped, continued and looked at."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from canvas import READY, assert_true_picture
from configured import save_config
from conftest import served
from playwright.sync_api import Page, expect
from trainings import reaches, until

import trainer
from explorer import jobs
from explorer.job import DIED
from trainer import lock

COUNT_FIELDS = """new MutationObserver(() => {
    const fields = [...document.querySelectorAll("[class*=st-key-turn-] input[aria-label=beta]")];
    window.most = Math.max(window.most || 0, fields.filter(field => field.offsetWidth).length);
}).observe(document.body, {childList: true, subtree: true})"""
STARTS = 90_000  # ms that a process is given to load all that it needs


@pytest.fixture
def empty_app(places: Path) -> Iterator[str]:
    """The app with no checkpoint at all, and the same places as this process."""
    (places / "home").mkdir()
    with served(places / "home", CHECKPOINTS=str(places / "checkpoints")) as url:
        yield url


def open_options(page: Page, title: str, label: str) -> None:
    """By one click, or another where the page was just drawn anew under the first."""
    field = page.get_by_role("spinbutton", name=label, exact=True).last
    page.get_by_text(title).click()
    with suppress(AssertionError):
        expect(field).to_be_visible(timeout=15_000)
    if not field.is_visible():
        page.get_by_text(title).click()
    expect(field).to_be_visible()


def set_number(page: Page, label: str, value: str) -> None:
    field = page.get_by_role("spinbutton", name=label, exact=True).last
    field.fill(value)
    field.press("Enter")


def step_shown(page: Page) -> int:
    text = page.get_by_text(re.compile(r"is training: step")).first.inner_text()
    found = re.search(r"step ([\d,]+) of", text)
    assert found
    return int(found[1].replace(",", ""))


def test_train_turn_stop_go_on_and_explore(page: Page, empty_app: str, places: Path) -> None:
    page.goto(f"{empty_app}/train")
    expect(page.get_by_text("Nothing was trained here yet")).to_be_visible()
    for label, option in (("Model", "beta_vae"), ("Data", "digits")):
        page.get_by_role("combobox", name=label).click()
        page.get_by_role("option", name=option, exact=True).click()
    expect(page.get_by_text("images of 8 × 8, grey")).to_be_visible()
    name = page.get_by_role("textbox", name="Name of the new checkpoint")
    expect(name).to_have_value("beta-vae-digits")  # proposed for what was chosen above
    name.fill("Not a name")
    name.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("use small letters")
    expect(page.get_by_role("button", name="Start training")).to_be_disabled()
    name.fill("mine")
    name.press("Enter")
    expect(page.get_by_role("button", name="Start training")).to_be_enabled()
    page.get_by_text("Options of the model").click()
    hidden = page.get_by_role("textbox", name="hidden")
    hidden.fill("16, x")
    hidden.press("Enter")
    expect(page.get_by_role("alert").filter(has_text="give whole numbers")).to_be_visible()
    hidden.fill("32")
    hidden.press("Enter")
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(page.get_by_text(re.compile(r"parameters, .* of memory beside the program's, about"))).to_be_visible()
    open_options(page, "Options of the training", "steps")
    set_number(page, "batch", "100000")
    expect(page.get_by_role("alert")).to_contain_text("batch came as 100000, expected 65,536 or less")
    expect(page.get_by_role("button", name="Start training")).to_be_disabled()
    set_number(page, "batch", "128")
    expect(page.get_by_role("alert")).to_have_count(0)
    set_number(page, "steps", "3000000")
    expect(page.get_by_role("button", name="Start training")).to_be_enabled()
    page.get_by_role("button", name="Start training").click()

    expect(page.get_by_text(re.compile(r"mine.* is training: step"))).to_be_visible(timeout=STARTS)
    first = step_shown(page)
    until(lambda: step_shown(page) > first)
    expect(page.get_by_text("Loss and its terms, mean per image").first).to_be_visible()
    expect(page.get_by_text("Step ").first).to_be_visible()

    other = page.context.browser.new_page()  # type: ignore[union-attr]
    other.goto(f"{empty_app}/train")
    expect(other.get_by_text(re.compile(r"mine.* is training: step"))).to_be_visible()
    page.evaluate(COUNT_FIELDS)
    set_number(page, "beta", "8.5")
    for window in (page, other):
        expect(window.get_by_text(re.compile(r"After step [\d,]+: beta = 8.5"))).to_be_visible()
        expect(window.get_by_role("spinbutton", name="beta", exact=True).last).to_have_value("8.5")
    assert page.evaluate("window.most") == 1  # never the old field beside the new one

    page.get_by_role("button", name="Stop", exact=True).click()
    for window in (page, other):
        expect(window.get_by_text(re.compile("mine was stopped"))).to_be_visible()
        window.wait_for_selector(READY)
    (found,) = trainer.checkpoints()
    done = found.config.steps_done
    assert found.config.options["hidden"] == [32] and found.config.turned[0].changed == {"beta": 8.5}
    other.close()

    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_text(re.compile(r"mine.* is training: step"))).to_be_visible(timeout=STARTS)
    until(lambda: step_shown(page) > done)
    page.reload()  # a training does not need the page
    expect(page.get_by_text(re.compile(r"mine.* is training: step"))).to_be_visible(timeout=STARTS)
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.get_by_role("button", name="Explore")).to_be_visible()
    page.get_by_role("button", name="Explore").click()
    expect(page.get_by_role("heading", name="Traversals of mine")).to_be_visible()
    assert_true_picture(page, places / "checkpoints" / "mine")


def test_a_job_that_died_says_why_and_is_deleted_after_a_question(page: Page, empty_app: str, places: Path) -> None:
    job = jobs.start("broken", "vae", {"data": "digits", "size": 10_000_000}, device="cpu")
    reaches(job, DIED)
    page.goto(f"{empty_app}/train")
    expect(page.get_by_role("alert")).to_contain_text("broken died")
    expect(page.get_by_text("does not fit data set")).to_be_visible()
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("This cannot be undone")).to_be_visible()
    page.get_by_role("button", name="Remove for good").click()
    expect(page.get_by_text("Nothing was trained here yet")).to_be_visible()
    assert jobs.jobs() == []


def test_a_page_that_stands_still_sees_what_begins_elsewhere(page: Page, empty_app: str, places: Path) -> None:
    save_config(places / "checkpoints" / "one", "vae", {"steps": 5}, 5)
    page.goto(f"{empty_app}/train?run=one")
    expect(page.get_by_text(re.compile("parameters, .* of memory"))).to_be_visible()  # which is drawn last
    expect(page.get_by_text("Also under way")).to_have_count(0)
    save_config(places / "checkpoints" / "two", "vae", {"steps": 5}, 5)
    with lock.alone(places / "checkpoints" / "two"):
        expect(page.get_by_text("Also under way: two (running)")).to_be_visible()
    with lock.alone(places / "checkpoints" / "one"):
        expect(page.get_by_role("button", name="Stop")).to_be_visible()
    expect(page.get_by_role("button", name="Stop")).to_have_count(0)


def test_what_else_is_under_way_is_kept_up(page: Page, empty_app: str, places: Path) -> None:
    for name in ("one", "two"):
        save_config(places / "checkpoints" / name, "vae", {"steps": 5}, 5)
    with lock.alone(places / "checkpoints" / "two"):
        page.goto(f"{empty_app}/train?run=one")
        expect(page.get_by_text("Also under way: two (running)")).to_be_visible()
        expect(page.get_by_text(re.compile("parameters, .* of memory"))).to_be_visible()  # which is drawn last
        before = page.get_by_role("button", name="Delete").bounding_box()
    expect(page.get_by_text("Also under way: nothing")).to_be_visible()
    assert page.get_by_role("button", name="Delete").bounding_box() == before
