"""The page Complete: what is hidden, what it says of how it was found, and completions in a real browser."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import streamlit as st
from commandline import call
from conftest import ROOT
from PIL import Image
from playwright.sync_api import Page, expect
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Block

import trainer
from explorer import completing, progress
from explorer.opened import Run
from explorer.run import _shelf

IMAGES = "[data-testid=stImage] img"  # the preview beside the page, what is seen, mean, spread, eight completions


def opened(folder: Path) -> Run:
    return Run(trainer.describe(folder), trainer.load(folder), trainer.load_summary(folder))


@pytest.fixture(scope="module")
def quadrant(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("checkpoints") / "quadrant-digits"
    options = ["--hidden", 16, "--latents", 3, "--steps", 20, "--observed", 2, "--size", 200, "--device", "cpu"]
    assert call("train", "quadrant", "--data", "digits", "--out", out, *options) == 0
    return out


# ---- what is hidden


def test_pixels_that_are_hidden() -> None:
    painted = np.zeros((40, 40, 1), np.uint8)
    painted[:10, 10:24] = 255
    seen = completing.visible((4, 4), ["Bottom left"], painted)
    assert (~seen).astype(int).tolist() == [[0, 1, 0, 0], [0, 0, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0]]
    assert completing.visible((5, 3), [], None).all()
    odd = completing.visible((5, 3), ["Top left"], None)
    assert (~odd).astype(int).tolist() == [[1, 0, 0], [1, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]]
    whole = completing.visible((5, 3), list(completing.QUADRANTS), None)
    assert not whole.any()


def test_it_starts_with_what_the_model_has_learned(quadrant: Path) -> None:
    image = np.zeros((8, 8, 1), np.float32)
    assert completing.hidden_in_training(opened(quadrant), image) == ["Top right", "Bottom right"]
    assert completing.hidden_in_training(opened(ROOT / "checkpoints/vae-digits"), image) == ["Bottom right"]


# ---- what it says


@pytest.mark.parametrize("langevin", [False, True], ids=["weighted", "Langevin"])
def test_completions_keep_what_is_seen(langevin: bool) -> None:
    run = opened(ROOT / "checkpoints/vae-digits")
    image = run.picture(3).astype(np.float32) / 255
    seen = completing.visible((8, 8), ["Bottom right"], None)
    steps: list[Any] = []
    found = completing.complete(
        run, image, seen, langevin, 5, lambda loop: (steps.append(each) or each for each in loop)
    )
    whole = np.rint(255 * image).astype(np.uint8)
    for picture in (*found.images, found.mean, found.seen):
        assert (picture[seen] == whole[seen]).all()
    assert (found.seen[~seen] == completing.GREY).all()
    assert found.std[seen].max() < 1e-3 < found.std[~seen].max()
    assert len({picture.tobytes() for picture in found.images}) > 1
    assert found.row.shape == (10, 8, 8, 1)
    assert len(steps) >= (completing.MOVES if langevin else 1)  # progress goes through it
    assert "draws count" in found.sentence and ("Langevin" in found.sentence) == langevin
    assert found.can_learn


def test_few_draws_that_count_say_what_to_try() -> None:
    run = opened(ROOT / "checkpoints/vae-digits")
    seen = completing.visible((8, 8), ["Bottom right"], None)
    few = completing._said(run, 3.2, None, seen, [])
    assert "3 of 1,000 draws count" in few[0] and "Langevin moves, or train the partial encoder" in few[1]
    assert completing._said(run, 300.0, None, seen, [])[1] == ""
    assert (
        completing._said(run, 3.2, 0.57, seen, [])[1] == "" and "57 %" in completing._said(run, 3.2, 0.57, seen, [])[0]
    )


def test_a_model_with_a_condition_says_what_it_was_trained_for(quadrant: Path) -> None:
    run, image = opened(quadrant), np.zeros((8, 8, 1), np.float32)
    usual = completing.complete(
        run, image, completing.visible((8, 8), ["Top right", "Bottom right"], None), False, 0, iter
    )
    assert "has learned to fill in" in usual.sentence and not usual.advice and not usual.can_learn
    other = completing.complete(run, image, completing.visible((8, 8), ["Top left"], None), False, 0, iter)
    assert "top right, bottom right" in other.advice


def page_of(folder: str) -> None:
    import trainer
    from explorer.pages import complete
    from explorer.run import open_run

    complete.show(open_run(trainer.describe(folder)))


def test_the_page_offers_to_train_a_partial_encoder_and_then_uses_it(places: Path) -> None:
    folder = Path(shutil.copytree(ROOT / "checkpoints/vae-digits", places / "checkpoints/vae-digits"))
    page = AppTest.from_function(page_of, args=(str(folder),), default_timeout=120).run()
    assert not page.exception and not page.error
    assert any(button.key == "stage/start" for button in page.button) and "stage partial_encoder" in page.code[0].value
    assert any("Proposed by the encoder" in caption.value for caption in page.caption)
    small = ["--hidden", 16, "--steps", 3, "--device", "cpu"]
    assert call("stage", "partial_encoder", folder, *small) == 0
    page.run()
    assert not page.exception and not any(button.key == "stage/start" for button in page.button)
    assert any("Proposed by the partial encoder" in caption.value for caption in page.caption)


def test_the_bar_stands_with_the_controls_where_it_moves_no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "shown", lambda *_: (st.text("the bar"), iter)[1])
    _shelf.clear()
    page = AppTest.from_function(page_of, args=(str(ROOT / "checkpoints/vae-digits"),), default_timeout=120).run()
    seed = next(field for field in page.number_input if field.label == "Seed")
    assert not page.exception
    blocks = [list(each.children.values()) for each in page.main if isinstance(each, Block)]
    assert any(seed in block and page.text[0] in block for block in blocks)


def test_what_it_does_not_fit_is_told_apart(quadrant: Path) -> None:
    from explorer.pages import complete

    fitting = {name: complete.fits(opened(ROOT / "checkpoints" / name))
               for name in ("vae-digits", "ppca-digits", "pca-digits", "vq-vae-mnist")}  # fmt: skip
    assert fitting == {"vae-digits": True, "ppca-digits": True, "pca-digits": False, "vq-vae-mnist": False}
    assert complete.fits(opened(quadrant))


# ---- in a browser


def tiles(page: Page) -> np.ndarray:
    """(10, 8, 8) uint8 of the page's PNG: what is seen, the mean, eight completions."""
    with page.expect_download() as download:
        page.get_by_role("button", name="PNG").click()
    paper = np.asarray(Image.open(download.value.path()).convert("L"))[::8, ::8]
    return np.stack([paper[1:9, 1 + 9 * i : 9 + 9 * i] for i in range(10)])


def after(page: Page, act: Callable[[], None]) -> np.ndarray:
    """The tiles once what was done has changed the completions."""
    last = page.locator(IMAGES).nth(11)
    before = last.get_attribute("src")
    act()
    expect(last).not_to_have_attribute("src", before or "")
    return tiles(page)


def test_hiding_a_quadrant_and_painting_more_completes_just_that(page: Page, app: str) -> None:
    page.goto(f"{app}/complete?checkpoint=vae-digits")
    page.locator(IMAGES).nth(11).wait_for(timeout=120_000)  # a server that has just begun loads torch first
    run = opened(ROOT / "checkpoints/vae-digits")
    whole = run.picture(0)[..., 0]
    found = after(page, lambda: page.get_by_text("Top left", exact=True).click())
    seen = completing.visible((8, 8), ["Top left", "Bottom right"], None)
    assert (found[0][~seen] == completing.GREY).all() and (found[0][seen] == whole[seen]).all()
    for picture in found[1:]:
        assert (picture[seen] == whole[seen]).all()
    assert any((picture[~seen] != found[2][~seen]).any() for picture in found[3:])

    canvas = page.locator(".pad canvas")
    box = canvas.bounding_box()
    assert box

    def paint() -> None:
        page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.2 * box["height"])
        page.mouse.down()
        page.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + 0.2 * box["height"], steps=5)
        page.mouse.up()

    painted = after(page, paint)
    near = np.zeros_like(seen)
    near[:3, 4:] = True  # what the stroke may have touched
    assert (painted[0][1, 5:7] == completing.GREY).all()
    for picture in painted:
        assert (picture[seen & ~near] == whole[seen & ~near]).all()
