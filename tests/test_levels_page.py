"""The page Levels: its plain functions, its states by script, and surgery in a real browser."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import numpy as np
import pytest
import torch
from canvas import READY, shown
from coded import run_of
from commandline import call
from conftest import ROOT, served
from PIL import Image
from playwright.sync_api import Page, expect
from streamlit.testing.v1 import AppTest

import trainer
from explorer import level_figures, levels
from explorer.opened import Run
from explorer.view import View
from trainer import Summary

TINY = ["--data", "digits", "--size", 300, "--latents", 6, 4, 2, "--hidden", 32, 16, 8, "--steps", 60, "--every", 20,
        "--batch", 32, "--rate", 0.01, "--device", "cpu"]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a ladder, the same from the bottom up, and a checkpoint that has no levels."""
    place = tmp_path_factory.mktemp("checkpoints")
    for name, inference in (("ladder", "ladder"), ("rising", "bottom_up")):
        assert call("train", "hierarchical_vae", "--inference", inference, *TINY, "--out", place / name) == 0
    shutil.copytree(ROOT / "checkpoints/vae-digits", place / "vae-digits")
    return place


@pytest.fixture(scope="module")
def ladder(folder: Path) -> Run:
    return run_of(folder / "ladder")


def image_and_latent(run: Run, number: int = 0) -> tuple[np.ndarray, dict[str, torch.Tensor]]:
    picture, z = run.image(number)
    return picture / np.float32(255), z


# -- functions ---------------------------------------------------------------------------------------------------------


def test_a_summary_says_what_each_level_holds() -> None:
    arrays = {"variance/z2": np.array([0.5, 0.001]), "variance/z1": np.array([0.02, 0.3, 0.009]),
              "kl/z2": np.array([1.0, 0.5]), "kl/z1": np.array([2.0, 2.0, 0.5])}  # fmt: skip
    top, low = levels.levels(Summary(arrays))
    assert (top.part, top.dims, top.active, top.nats, top.share) == ("z2", 2, 1, 1.5, 0.25)
    assert (low.part, low.dims, low.active, low.nats, low.share) == ("z1", 3, 2, 4.5, 0.75)
    assert level_figures.said(top) == "1.5 nats, 25 %, 1/2 active"
    without = levels.levels(Summary({name: a for name, a in arrays.items() if name.startswith("variance")}))
    assert [level_figures.said(level) for level in without] == ["1/2 active", "2/3 active"]


def test_a_level_that_is_estimated_below_zero_keeps_its_text() -> None:
    """By draws, the KL of a level that says nothing may come out a little negative."""
    silent, loud = levels.Level("z2", 8, 0, -0.0177, -0.0008), levels.Level("z1", 4, 4, 20.66, 1.0008)
    assert level_figures.said(silent) == "0.0 nats, 0 %, 0/8 active"
    found = level_figures.held({"some": [silent, loud]})
    (bars,) = found.data
    assert bars.x == (0, 20.66) and bars.text[0] == level_figures.said(silent)
    assert "training images" in found.layout.title.text


def test_a_history_gives_the_course_of_each_level() -> None:
    history: list[dict[str, Any]] = [
        {"step": 1, "kl/z2": [0.5, 0.005], "kl/z1": [1.0]},
        {"step": 1, "stopped": True},
        {"step": 2, "kl/z2": [0.25, 0.02], "kl/z1": [3.0]},
    ]
    found = levels.course(history, ["z2", "z1"])
    assert found is not None and found.steps.tolist() == [1, 2]
    np.testing.assert_allclose(found.nats, [[0.505, 1.0], [0.27, 3.0]])
    assert found.carrying.tolist() == [[1, 1], [2, 1]]
    assert levels.course(history, ["z3"]) is None
    figure = level_figures.over_training(found, "some", 3.27)
    assert [trace.name for trace in figure.data] == ["z2", "z1"] and figure.layout.yaxis.range[1] > 3.27


def test_rows_are_levels_alone_or_with_those_on_one_side() -> None:
    parts = ["z3", "z2", "z1"]
    assert levels.rows(parts, levels.EACH) == [("z3",), ("z2",), ("z1",)]
    assert levels.rows(parts, levels.BELOW) == [("z3", "z2", "z1"), ("z2", "z1"), ("z1",)]
    assert levels.rows(parts, levels.ABOVE) == [("z3",), ("z3", "z2"), ("z3", "z2", "z1")]


@pytest.mark.parametrize("name", ["ladder", "rising"])
@torch.no_grad()
def test_what_is_kept_stays_and_what_is_resampled_is_the_same_in_all_rows(name: str, folder: Path) -> None:
    run = run_of(folder / name)
    _, z = image_and_latent(run)
    only, more = (levels.resampled(run, z, parts, 5, 3) for parts in (["z1"], ["z2", "z1"]))
    for part in ("z3", "z2"):
        assert torch.equal(only[part], z[part].expand(5, -1))
    assert torch.equal(only["z1"], more["z1"]) and not torch.equal(more["z2"], only["z2"])
    assert len(only["z1"].unique(dim=0)) == 5
    assert torch.equal(run.model.levels(only)["z2"], run.model.levels({p: v.expand(5, -1) for p, v in z.items()})["z2"])
    reconstruction = run.decode(run.image(0)[1])[0]
    for picture in levels.resampled_pictures(run, z, [], 5, 3):
        np.testing.assert_array_equal(picture, reconstruction)


def test_two_images_exchange_their_upper_levels(ladder: Run) -> None:
    z = [image_and_latent(ladder, number)[1] for number in (0, 1)]
    own = [ladder.decode(one)[0] for one in z]
    found = levels.swapped(ladder, *z)
    assert found.shape == (2, 4, 8, 8, 1)
    for row in (0, 1):
        np.testing.assert_array_equal(found[row, 0], own[row])
        np.testing.assert_array_equal(found[row, -1], own[1 - row])
    np.testing.assert_array_equal(found[0, 1], ladder.decode({**z[0], "z3": z[1]["z3"]})[0])


@pytest.mark.parametrize("name", ["ladder", "rising"])
def test_levels_are_added_one_by_one(name: str, folder: Path) -> None:
    run = run_of(folder / name)
    image, z = image_and_latent(run)
    steps = levels.progressive(run, image, z)
    assert [step.part for step in steps] == ["", "z3", "z2", "z1"]
    np.testing.assert_array_equal(steps[0].picture, run.decode(run.model.sample(1, temperature=0.0))[0])
    np.testing.assert_array_equal(steps[-1].picture, run.decode(z)[0])
    with torch.no_grad():
        x = torch.from_numpy(image).permute(2, 0, 1)[None]
        nothing = {part: torch.zeros_like(v)[None] for part, v in z.items()}
        whole = run.model.log_likelihood(x, {part: v[None] for part, v in z.items()})
        start = run.model.log_likelihood(x, nothing)
        change = (run.model.decode(z) - run.model.decode({part: v[0] for part, v in nothing.items()}))[0, 0]
    assert sum(step.gain or 0 for step in steps) == pytest.approx(float(whole - start), abs=1e-3)
    np.testing.assert_allclose(sum(step.change for step in steps), change, atol=1e-5)
    assert steps[0].nats is None and steps[0].gain is None and not steps[0].change.any()
    torch.manual_seed(1)
    with torch.no_grad():
        terms = run.model.terms(x.expand(4000, -1, -1, -1))
    for step in steps[1:]:
        kl = terms[f"kl/{step.part}"].sum(1)
        assert step.nats == pytest.approx(float(kl.mean()), abs=5 * float(kl.std()) / 8 + 1e-4)  # of 64 draws


def test_the_sliders_of_one_level(ladder: Run) -> None:
    latent = ladder.plain(image_and_latent(ladder)[1])
    axes = View(ladder, latent, moved="z2").axes({})
    assert sorted(axis.id for axis in axes) == [f"z2/{dim}" for dim in range(4)]
    assert {axis.label for axis in axes} == {f"z2.{dim}" for dim in range(4)}  # z2 and 4, not z24
    assert all(axis.value == latent["z2"][int(axis.id[-1])] for axis in axes)
    every = [axis.id.split("/")[0] for axis in View(ladder, latent).axes({}) if not axis.folded]
    assert every == sorted(every, reverse=True)  # coarse to fine


# -- states ------------------------------------------------------------------------------------------------------------


def page_of(page: str, folder: str, name: str) -> None:
    import importlib
    from pathlib import Path

    import streamlit as st

    import trainer
    from explorer.run import open_run

    st.session_state.setdefault("pages", {})
    module = importlib.import_module(f"explorer.pages.{page}")
    found = {one.name: one for one in trainer.checkpoints(Path(folder))}
    others = [one for one in found.values() if one.name != name]
    module.show(open_run(found[name]), *([others] if module.NEEDS == "many" else []))


def opened(page: str, folder: Path, name: str, **state: Any) -> AppTest:
    test = AppTest.from_function(page_of, args=(page, str(folder), name), default_timeout=60)
    for key, value in state.items():
        test.session_state[key.replace("__", "/")] = value
    test.run()
    assert not test.exception, test.exception
    return test


def test_only_checkpoints_with_levels_stand_beside(folder: Path) -> None:
    page = opened("levels", folder, "ladder")
    (beside,) = (box for box in page.selectbox if box.label == "Compare with")
    assert beside.options == ["no other checkpoint", "rising"]
    assert not page.error
    beside.select("rising").run()
    assert not page.exception and not page.error
    (folder / "rising/history.jsonl").rename(folder / "away")
    (folder / "rising/history.jsonl").write_text("{half\n{}\n")
    damaged = opened("levels", folder, "rising")  # which says so, and goes on
    assert "line 1" in damaged.error[0].value and len(damaged.get("plotly_chart")) >= 1
    (folder / "rising/history.jsonl").unlink()
    try:
        page.run()
        assert "does not have the KL of each level" in " ".join(caption.value for caption in page.caption)
    finally:
        (folder / "away").rename(folder / "rising/history.jsonl")


@pytest.mark.parametrize("look", ["Swap", "Progressive", "Sliders", "Resample"])
def test_every_look_waits_for_a_picture_and_shows_it(look: str, folder: Path) -> None:
    shown = opened("levels", folder, "ladder", levels__look=look)
    assert not shown.error and not shown.info
    waiting = opened("levels", folder, "ladder", levels__look=look, sources__kind="Upload")
    assert "its levels appear here" in waiting.info[0].value


def test_rows_of_pictures_are_named_for_who_does_not_see_them(folder: Path) -> None:
    pictures = [image for images in opened("levels", folder, "ladder").get("image") for image in images.proto.imgs]
    rows = [image.alt for image in pictures if image.alt.startswith("8 images, ")]
    assert rows == [f"8 images, {level} resampled" for level in ("z1", "z3", "z2", "z1")]


def test_a_prior_sample_has_levels_too(folder: Path) -> None:
    for look in ("Resample", "Sliders"):
        page = opened("levels", folder, "rising", levels__look=look, levels__start="A prior sample")
        assert not page.error and not page.info


@pytest.mark.parametrize("name", ["traversals", "reconstruct", "samples", "map", "paths"])
def test_the_other_pages_take_several_levels(name: str, folder: Path) -> None:
    assert not opened(name, folder, "ladder").error


def page_of_the_tour() -> None:
    import streamlit as st

    import trainer
    from explorer.pages import tour

    links: dict[str, st.Page] = {}
    links["levels"] = st.Page(lambda: tour.show(trainer.checkpoints(), links), title="Levels", url_path="l")
    st.navigation(list(links.values())).run()


@pytest.mark.parametrize("damaged", [False, True])
def test_the_tour_draws_the_levels_that_are_there(
    damaged: bool, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, shipped in (("ladder", "ladder-mnist"), ("rising", "hierarchical-mnist")):
        shutil.copytree(folder / name, tmp_path / shipped)
    if damaged:
        (tmp_path / "hierarchical-mnist/summary.npz").write_bytes(b"no archive")
    monkeypatch.setenv("CHECKPOINTS", str(tmp_path))
    page = AppTest.from_function(page_of_the_tour, default_timeout=60).run()
    assert not page.exception
    assert [header.value for header in page.header] == ["1. Hierarchical VAEs"]
    assert len(page.get("plotly_chart")) == 1 and len(page.error) == damaged
    said = " ".join(caption.value for caption in page.caption)
    held = levels.levels(trainer.load_summary(tmp_path / "ladder-mnist"))
    for level in held:
        assert f"{level.part} {level.nats:.1f} ({level.active}/{level.dims})" in said


# -- in a browser ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def app(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(tmp_path_factory.mktemp("home"), CHECKPOINTS=str(folder)) as url:
        yield url


def pixels(page: Page, caption: str, at: int = 0) -> np.ndarray:
    """The pixels of the picture with this caption, or of the one at a place among all of the page."""
    place = page.get_by_test_id("stMain").get_by_test_id("stImage")
    source = (place.filter(has_text=caption).first if caption else place.nth(at)).locator("img").get_attribute("src")
    assert source
    return np.asarray(Image.open(io.BytesIO(page.request.get(urljoin(page.url, source)).body())).convert("L"))


def choose(page: Page, box: str, option: str) -> None:
    """Choose in a list once the page is at rest, for a rerun or a scroll closes the list."""
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
    page.get_by_role("combobox", name=box).scroll_into_view_if_needed()
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    page.get_by_role("combobox", name=box).click()
    page.get_by_role("option", name=option).click()


def reduced(image: np.ndarray, side: int) -> np.ndarray:
    """An enlarged picture as it was, (side, …)."""
    by = image.shape[0] // side
    return image[by // 2 :: by, by // 2 :: by]  # the middles of its pixels


def test_surgery(page: Page, app: str, folder: Path, ladder: Run) -> None:
    """Keeping all levels is the reconstruction, to the last bit; z1 drawn anew leaves the upper latents alone."""
    page.goto(f"{app}/levels?checkpoint=ladder")
    expect(page.get_by_text("z1 resampled").first).to_be_visible()
    picture, z = ladder.image(0)
    with page.expect_download() as download:
        page.get_by_role("button", name="Latents").click()
    said = json.loads(Path(download.value.path()).read_text())
    assert said["rows"][0]["resampled"] == ["z1"]
    drawn = [latent["z1"] for latent in said["rows"][0]["latents"]]
    assert len(drawn) == 8 and len({tuple(values) for values in drawn}) == 8
    for latent in said["rows"][0]["latents"]:
        for part in ("z3", "z2"):
            np.testing.assert_array_equal(np.array(latent[part], np.float32), z[part][0].numpy())

    reconstruction = reduced(pixels(page, "reconstruction"), 8)
    np.testing.assert_array_equal(reconstruction, ladder.decode(z)[0, ..., 0])
    before = reduced(pixels(page, "", 2), 8)
    for at, latent in enumerate(said["rows"][0]["latents"]):  # the file is of the pictures beside it
        decoded = ladder.decode({part: torch.tensor([values]) for part, values in latent.items()})[0, ..., 0]
        np.testing.assert_array_equal(before[:, 9 * at : 9 * at + 8], decoded)
    page.get_by_role("button", name="z1", exact=True).click()
    expect(page.get_by_text("nothing resampled")).to_be_visible()
    row = reduced(pixels(page, "", 2), 8)
    for at in range(8):  # pictures of 8 pixels with a line between them
        np.testing.assert_array_equal(row[:, 9 * at : 9 * at + 8], reconstruction)
    assert not np.array_equal(before, row)
    assert picture.shape == (8, 8, 1)


def test_an_upper_level_is_dragged(page: Page, app: str, ladder: Run) -> None:
    page.goto(f"{app}/levels?checkpoint=ladder")
    page.get_by_text("Sliders", exact=True).click()
    page.wait_for_selector(READY)
    values, before = shown(page)
    assert set(values) == {"z3/0", "z3/1"}
    page.locator(".track input").first.press("End")
    moved = max(values, key=lambda axis: abs(shown(page)[0][axis] - values[axis]))
    now, after = shown(page)
    assert now[moved] == 3
    z = {part: v.clone() for part, v in ladder.image(0)[1].items()}
    for axis, value in now.items():
        z["z3"][0, int(axis[-1])] = value
    assert np.abs(after.astype(int) - ladder.decode(z)[0, ..., 0].astype(int)).max() <= 1
    choose(page, "Sliders of", "z2")
    expect(page.locator(f"{READY}[data-values*='z2/0']")).to_be_visible()
    expect(page.locator(READY)).to_have_count(1)  # the other level's is gone
    assert np.abs(after.astype(int) - shown(page)[1].astype(int)).max() <= 1  # what was moved stays moved
    page.get_by_role("button", name="Reset").click()
    choose(page, "Sliders of", "z3")
    expect(page.locator(f"{READY}[data-values*='z3/0']")).to_be_visible()
    expect(page.locator(READY)).to_have_count(1)  # the other level's is gone
    assert shown(page)[0] == values
    assert np.array_equal(shown(page)[1], before)


def test_on_a_phone_the_stage_comes_first_and_all_looks_are_seen(page: Page, app: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{app}/levels?checkpoint=ladder")
    row, draws = page.get_by_text("z1 resampled").first, page.get_by_role("slider", name="Draws")
    row.wait_for()
    draws.wait_for()
    above, below = row.bounding_box(), draws.bounding_box()
    assert above and below and above["y"] < below["y"]
    looks = page.get_by_test_id("stButtonGroup").filter(has_text="Sliders")
    whole = "node => [...node.querySelectorAll('*')].every(each => each.scrollWidth <= each.clientWidth + 1)"
    assert looks.evaluate(whole)
    box, last = looks.bounding_box(), looks.get_by_role("radio", name="Sliders").bounding_box()
    assert box and last and last["x"] + last["width"] <= box["x"] + box["width"] + 1 <= 391
