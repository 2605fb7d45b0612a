"""What a person brought, in sources and on the pad: it stays from page to page, and good files are found beside bad."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect
from streamlit.testing.v1 import AppTest

from explorer import sources


def page_of(most: int, name: str = "vae-digits") -> None:
    """The sources of a checkpoint, or a page that has none of their widgets."""
    import streamlit as st
    from conftest import ROOT

    import trainer
    from explorer import sources
    from explorer.run import open_run

    def draw() -> None:
        run = open_run(trainer.describe(ROOT / "checkpoints" / st.session_state.get("name", name)))
        subjects = sources.choose(run, most=st.session_state.get("most", most))
        st.session_state["names"] = [subject.picture.name for subject in subjects]

    if not st.session_state.get("elsewhere"):
        draw()


def shown(most: int = sources.MOST) -> AppTest:
    return checked(AppTest.from_function(page_of, args=(most,), default_timeout=120).run())


def checked(app: AppTest) -> AppTest:
    assert not app.exception
    return app


def left_and_back(app: AppTest, **changed: object) -> AppTest:
    """Widgets go and are built anew, as by a change of page."""
    app.session_state["elsewhere"] = True
    checked(app.run())
    assert not app.radio
    app.session_state["elsewhere"] = False
    for key, value in changed.items():
        app.session_state[key] = value
    return checked(app.run())


def png(value: int = 90) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.full((12, 10), value, np.uint8)).save(out, "png")
    return out.getvalue()


def uploading(app: AppTest, files: dict[str, bytes]) -> AppTest:
    app.radio(key="sources/kind").set_value(sources.UPLOAD)
    checked(app.run())
    app.file_uploader[0].set_value([(name, data, "image/png") for name, data in files.items()])
    return checked(app.run())


def names(app: AppTest) -> list[str]:
    found: list[str] = app.session_state["names"]
    return found


def test_an_image_of_the_data_stays_and_is_the_same_one_by_one_and_many() -> None:
    app = shown(1)
    app.number_input(key="sources/one").set_value(115)
    assert names(checked(app.run())) == ["test image 115"]
    app = left_and_back(app, most=8)
    assert names(app) == ["test image 115"]
    app.number_input(key="sources/count").set_value(3)
    app = left_and_back(checked(app.run()))
    assert names(app) == [f"test image {number}" for number in (115, 116, 117)]


def test_a_number_beyond_the_last_image_of_another_checkpoint_is_brought_into_range() -> None:
    app = shown(1)
    app.session_state["name"] = "vae-mnist"
    checked(app.run()).number_input(key="sources/one").set_value(200)
    assert names(checked(app.run())) == ["decode of training image 200"]
    app = left_and_back(app, name="vae-digits")
    assert app.number_input[0].max == 178 and names(app) == [f"test image {app.number_input[0].value:.0f}"]


def test_uploads_stay_until_they_are_forgotten_or_taken_away() -> None:
    app = uploading(shown(), {"one.png": png(), "two.png": png(200)})
    assert names(app) == ["one.png", "two.png"] and not app.button
    app = left_and_back(app)
    assert app.radio[0].value == sources.UPLOAD and not app.file_uploader[0].value
    assert names(app) == ["one.png", "two.png"] and app.caption[0].value == "one.png, two.png"
    assert names(left_and_back(app, most=1)) == ["one.png"]
    app = left_and_back(app, most=8)
    app.button(key="sources/files/forget").click()
    assert names(checked(app.run())) == [] and not app.button

    app = left_and_back(uploading(app, {"three.png": png()}))
    assert names(app) == ["three.png"]
    app = uploading(app, {"four.png": png()})
    assert names(app) == ["four.png"]
    app.file_uploader[0].set_value([])
    assert names(checked(app.run())) == [] and names(left_and_back(app)) == []


@pytest.mark.parametrize(
    ("refused", "found", "errors", "warned"), [(8, 1, 8, False), (3, 8, 3, True), (32, 0, 32, True)]
)
def test_refused_files_take_no_places_of_good_ones(refused: int, found: int, errors: int, warned: bool) -> None:
    good = {f"good{number}.png": png() for number in range(1 if refused == 8 else 9)}
    app = uploading(shown(), {**{f"bad{number}.png": b"no image" for number in range(refused)}, **good})
    assert names(app) == list(good)[:found] and len(app.error) == errors and bool(app.warning) is warned
    if warned:
        came, left = refused + len(good), len(good) - found
        assert app.warning[0].value == f"{came} files came, expected at most 8: the last {left} are left out."


def test_a_drawing_and_an_upload_are_still_there_after_other_pages(page: Page, app: str) -> None:
    page.goto(f"{app}/reconstruct?checkpoint=vae-digits")
    explore = page.get_by_role("button", name="Explore its latent")
    expect(explore).to_be_visible()
    page.get_by_role("radiogroup", name="Pictures from").locator("label").filter(has_text="Draw").click()
    box = page.locator(".pad canvas").bounding_box()
    assert box
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.3 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 0.7 * box["height"], steps=8)
    page.mouse.up()
    explore.click()
    page.wait_for_selector(".picture[data-state=ready]")
    page.go_back()
    expect(page.get_by_role("radio", name="Draw")).to_be_checked()
    expect(page.locator(".pad .status")).to_have_text("1 stroke")
    expect(explore).to_be_visible()

    page.get_by_role("radiogroup", name="Pictures from").locator("label").filter(has_text="Upload").click()
    page.locator("input[type=file]").set_input_files([{"name": "mine.png", "mimeType": "image/png", "buffer": png()}])
    expect(explore).to_be_visible()
    page.get_by_role("link", name="Bound").click()
    expect(page.get_by_text("Bounds by vae-digits")).to_be_visible()
    expect(page.get_by_role("radio", name="Upload")).to_be_checked()
    expect(page.get_by_text("mine.png")).to_be_visible()
    expect(page.get_by_text("ELBO").first).to_be_visible()
    page.get_by_role("button", name="Forget").click()
    expect(page.get_by_text("and its bounds appear here")).to_be_visible()
    expect(page.get_by_text("mine.png")).to_have_count(0)
