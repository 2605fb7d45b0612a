"""The page Reconstruct as a person uses it."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from configured import save_config
from conftest import ROOT
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, Page, expect

import trainer
from explorer import controls

READY = ".picture[data-state=ready]"


def open_page(page: Page, app: str, checkpoint: str = "vae-digits") -> None:
    page.goto(f"{app}/reconstruct?checkpoint={checkpoint}")
    expect(page.get_by_role("button", name="Explore its latent")).to_be_visible()


def source(page: Page, name: str) -> None:
    page.get_by_role("radiogroup", name="Pictures from").locator("label").filter(has_text=name).click()


def digit(tmp_path: Path, corner: int = 210) -> Path:
    """A photo-like picture of a pen stroke on paper."""
    image = Image.new("L", (300, 400), 230)
    ImageDraw.Draw(image).line([(100, 100), (corner, 100), (140, 300)], fill=20, width=22, joint="curve")
    image.save(tmp_path / "seven.png")
    return tmp_path / "seven.png"


def values_on_traversals(page: Page) -> list[float]:
    page.wait_for_selector(READY)
    values = json.loads(page.locator(READY).get_attribute("data-values") or "{}")
    return [values[f"z/{dim}"] for dim in range(len(values))]


def test_an_uploaded_picture_and_its_latent(page: Page, app: str, tmp_path: Path) -> None:
    open_page(page, app)
    source(page, "Upload")
    expect(page.get_by_text("its reconstruction appears here")).to_be_visible()
    page.locator("input[type=file]").set_input_files([digit(tmp_path)])
    for step in ("Levels:", "Invert:", "Fit:", "Size:"):
        expect(page.get_by_text(step)).to_be_visible()
    expect(page.get_by_role("cell", name=re.compile("−?[0-9.]+ nats")).first).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download as PNG").click()
    with Image.open(Path(download.value.path())) as sheet:
        assert (sheet.format, sheet.width > 500) == ("PNG", True)
    page.get_by_role("button", name="Explore its latent").click()
    latent = values_on_traversals(page)
    from explorer import seeing, uploads  # the same by plain functions

    path = ROOT / "checkpoints/vae-digits"
    picture, model = uploads.read(digit(tmp_path).read_bytes(), "seven.png"), trainer.load(path)
    look = trainer.Look.of(trainer.load_summary(path).arrays)
    steps = seeing.see(picture, (1, 8, 8), look, seeing.Seeing.proposed(picture, look, (1, 8, 8)))
    x = torch.from_numpy(np.ascontiguousarray(steps[-1].image, np.float32)).permute(2, 0, 1)[None]
    with torch.no_grad():
        expected = model.encode(x)["z"][0].tolist()
    assert np.allclose(latent, expected, atol=1e-3)


def test_a_drawing_and_its_latent(page: Page, app: str) -> None:
    open_page(page, app)
    source(page, "Draw")
    pad = page.locator("canvas").first
    box = pad.bounding_box()
    assert box
    for place, (x, y) in enumerate([(0.3, 0.3), (0.7, 0.3), (0.45, 0.8)]):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=8)
        if not place:
            page.mouse.down()
    page.mouse.up()
    page.get_by_role("button", name="Explore its latent").click()
    latent = values_on_traversals(page)
    assert np.abs(latent).max() > 0.2  # not the prior's mean, where Traversals would start by itself


def test_a_bad_file_says_so_beside_a_good_one(page: Page, app: str, tmp_path: Path) -> None:
    open_page(page, app)
    source(page, "Upload")
    (tmp_path / "liar.png").write_bytes(b"\x80\x04 a pickle")
    page.locator("input[type=file]").set_input_files([tmp_path / "liar.png", digit(tmp_path)])
    expect(page.get_by_role("alert")).to_contain_text('"liar.png"')
    expect(page.get_by_role("button", name="Explore its latent")).to_be_visible()


def test_two_people_never_see_each_others_picture(app: str, browser: Browser, tmp_path: Path) -> None:
    pages = []
    for person, corner in (("one", 210), ("two", 140)):
        page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
        page.set_default_timeout(30_000)
        open_page(page, app)
        source(page, "Upload")
        (tmp_path / person).mkdir()
        file = digit(tmp_path / person, corner).rename(tmp_path / person / f"{person}.png")
        pages.append((page, file))
    for page, file in pages:
        page.locator("input[type=file]").set_input_files([file])
    for page, file in pages:
        expect(page.get_by_role("button", name="Explore its latent")).to_be_visible()
        expect(page.get_by_text(file.name).first).to_be_visible()
        other = next(f for p, f in pages if p is not page)
        expect(page.get_by_text(other.name)).to_have_count(0)
    sheets = []
    for page, _ in pages:
        with page.expect_download() as download:
            page.get_by_role("button", name="Download as PNG").click()
        sheets.append(Path(download.value.path()).read_bytes())
        page.context.close()
    assert len({Image.open(io.BytesIO(sheet)).tobytes() for sheet in sheets}) == 2


def test_a_contrast_is_found_without_opening_every_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def open_run(other: trainer.Checkpoint) -> Any:
        read.append(other.name)
        if other.name == "damaged":
            raise ValueError("no weights")
        return SimpleNamespace(has_prior="prior" in other.name)

    monkeypatch.setattr(controls, "open_run", open_run)

    def found(name: str, model: str) -> trainer.Checkpoint:
        save_config(tmp_path / name, model, {})
        return trainer.describe(tmp_path / name)

    def rival(model: str, others: Sequence[trainer.Checkpoint], has_prior: bool) -> tuple[str | None, list[str]]:
        read.clear()
        run: Any = SimpleNamespace(
            checkpoint=found("this", model), has_prior=has_prior, model=SimpleNamespace(stages={})
        )
        other = controls.rival(run, others)
        return other and other.name, list(read)

    sweep = [found(f"beta{beta}", model) for beta, model in enumerate(["vae", *5 * ["beta_vae"]])]
    unknown = found("unknown", "somebodys_own")
    assert rival("vae", [*sweep, unknown], True) == (None, [])  # each has a density, and so a prior
    plain = [found(f"plain{number}", "autoencoder") for number in range(3)]
    assert rival("autoencoder", plain, False) == (None, [])
    assert rival("vae", [*sweep, found("damaged", "pca"), *plain], True) == ("plain0", ["damaged", "plain0"])
    codes = [found(name, "vq_vae") for name in ("codes", "codes-again", "codes-with-prior")]
    assert rival("autoencoder", codes[:2], False) == (None, ["codes"])
    save_config(tmp_path / "codes-with-prior" / "code_prior", "code_prior", {})
    path = tmp_path / "codes-with-prior" / "code_prior" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "base": "0123456789abcdef"}))
    assert rival("vq_vae", codes, False) == ("codes-with-prior", ["codes-with-prior"])


def test_models_side_by_side_by_one_click(page: Page, app: str) -> None:
    open_page(page, app)
    page.get_by_role("button", name="Compare with pca-digits").click()
    for caption in ("Reconstructions by", "Draws from", "From the first picture to the second in the latent space of"):
        for name in ("vae-digits", "pca-digits"):
            expect(page.get_by_text(re.compile(f"^{caption}.*{name}$"))).to_be_visible()
    expect(page.get_by_text("Draws from a Gaussian fitted to the codes of pca-digits")).to_be_visible()
    expect(page.get_by_role("button", name="Explore its latent")).to_have_count(2)


def test_an_uploaded_picture_stays_when_models_are_compared(page: Page, app: str, tmp_path: Path) -> None:
    open_page(page, app)
    source(page, "Upload")
    page.locator("input[type=file]").set_input_files([digit(tmp_path)])
    expect(page.get_by_text("Levels:")).to_be_visible()
    page.get_by_role("button", name="Compare with pca-digits").click()
    expect(page.get_by_text("Reconstructions by pca-digits")).to_be_visible()
    expect(page.get_by_text("Draws from the prior of vae-digits")).to_be_visible()
    expect(page.get_by_text("seven.png").first).to_be_visible()
    expect(page.get_by_text("Levels:")).to_be_visible()
    page.wait_for_url(lambda url: "checkpoint=vae-digits" in url)  # a reload keeps the model


def test_without_the_images_their_decodes_stand_in_and_say_so(page: Page, app: str) -> None:
    open_page(page, app, "vae-mnist")
    expect(page.get_by_text("python -m trainer fetch mnist")).to_be_visible()
    expect(page.get_by_role("columnheader", name="test images below")).to_have_count(0)
    page.get_by_role("button", name="Compare with autoencoder-mnist").click()
    expect(page.get_by_text("Decodes of training images by vae-mnist")).to_be_visible()
    expect(page.get_by_text("Reconstructions by autoencoder-mnist")).to_be_visible()
