"""The page Map without a browser: what it shows of few points, without images, and when a checkpoint changes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from coded import save_waves
from commandline import call
from map_page import choose, header, opened, places_of, query, text_of
from safetensors.torch import save_file

import trainer
from explorer import atlas, nearness, projection, run, selection
from explorer.nearness import Plane
from trainer.config import Data
from trainer.data import Images
from trainer.summary import Summary, save_summary


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LATENT_EXPLORER_HOME", str(tmp_path / "home"))


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Makes the data of every checkpoint these images, of either split."""

    def become(pixels: torch.Tensor, labels: torch.Tensor | None = None) -> None:
        names = ("even", "odd") if labels is not None else ()
        monkeypatch.setattr(Data, "load", lambda self, split: Images("few", pixels, labels, names))
        run._open.clear()
        run._shelf.clear()
        run._large.clear()

    yield become
    run._open.clear()
    run._shelf.clear()
    run._large.clear()


def test_a_shipped_checkpoint_is_mapped_at_once() -> None:
    page = opened(trainer.root() / "vae-digits")
    head = header(page)
    assert head["stand_in"] is False and len(head["labels"]) == 10 and head["amount"] is None
    assert "Draw around points" in text_of(page)
    choose(page, "Colour by", "error")
    assert header(page)["amount"]["title"] == "Reconstruction error (nats)"
    choose(page, "Images", "test")
    assert header(page)["points"] != head["points"]


def test_without_the_images_the_summary_is_mapped() -> None:
    page = opened(trainer.root() / "vae-fashion")
    assert "Decodes stand for images" in text_of(page) and "not on this machine" in text_of(page)
    assert header(page)["stand_in"] is True
    assert {box.label for box in page.selectbox} >= {"Colour by", "Projection"}


def test_two_dimensions() -> None:
    page = choose(opened(trainer.root() / "vae-digits"), "Projection", "Two dimensions")
    choose(page, "Across", "z2")
    assert "/two/z2/" in header(page)["revision"]


def test_a_latent_of_two_dimensions_is_its_own_map_before_its_decodes(tmp_path: Path) -> None:
    assert call("train", "pca", "--data", "digits", "--latents", 2, "--out", tmp_path / "two", "--device", "cpu") == 0
    page = opened(tmp_path / "two")
    images = trainer.load_data("digits", "train")
    model = trainer.load(tmp_path / "two")
    with torch.inference_mode():
        z = model.encode(images.batch(torch.arange(len(images))))["z"].numpy()
    np.testing.assert_allclose(places_of(page), z, rtol=1e-3, atol=1e-3)  # kept as float16
    assert header(page)["revision"].endswith("/itself") and header(page)["behind"] is True
    next(toggle for toggle in page.toggle if toggle.label == "Decodes behind the points").set_value(False)
    page.run()
    assert header(page)["behind"] is False


def test_queries_select_and_say_what_is_wrong() -> None:
    page = opened(trainer.root() / "vae-digits")
    query(page, "class = 3 and error in top 5 %")
    chosen = page.session_state["map/selected"]
    rows = np.flatnonzero(chosen.mask)
    images = trainer.load_data("digits", "train")
    assert len(rows) and images.labels is not None and (images.labels[rows] == 3).all()
    assert f"{len(rows)} of 1,618 selected" in text_of(page)
    query(page, "")
    assert "map/selected" not in page.session_state or page.session_state["map/selected"] is None
    query(page, "class = 3 and error in top 5 %")
    assert page.session_state["map/selected"].mask.sum() > 0  # asked for again, it is selected again
    query(page, "clas = 3")
    assert "Did you mean “class”?" in page.error[0].value
    assert f"{len(rows)} of 1,618 selected" in text_of(page)  # what was on screen stays
    query(page, "error > 1e9")
    assert "No point is like that" in page.warning[0].value


@pytest.mark.parametrize("kind", ["none", "point"])
def test_a_query_can_be_asked_again_after_another_selection(kind: str) -> None:
    page = opened(trainer.root() / "vae-digits")
    query(page, "class = 9")
    head = header(page)
    message = {"revision": head["revision"], "kind": kind, "number": 1, "point": 5 if kind == "point" else -1}
    page.session_state[head["key"]] = {"chosen": message}
    page.run()
    assert " selected" not in text_of(page)
    (box,) = (field for field in page.text_input if field.label == "Select by a query")
    assert box.value == ""
    query(page, "class = 9")
    assert " selected" in text_of(page)


def test_a_lasso_selects_and_a_click_shows_neighbours() -> None:
    page = opened(trainer.root() / "vae-digits")
    head = header(page)
    points = trainer.load_summary(trainer.root() / "vae-digits").arrays["points"].astype(np.float32)
    places = projection.pca(points)
    choose(page, "Projection", "PCA")
    revision = header(page)["revision"]
    square = [(0, 0), (1, 0), (1, 1), (0, 1)]
    message = {"revision": revision, "kind": "polygon", "number": 1, "polygon": square, "hidden": []}
    page.session_state[head["key"]] = {"chosen": message, "asked": None}
    page.run()
    assert not page.exception
    inside = ((places > 0) & (places < 1)).all(1)
    assert np.array_equal(page.session_state["map/selected"].mask, inside) and inside.sum() > 1
    assert f"{inside.sum()} of 1,618 selected" in text_of(page)
    page.session_state[head["key"]] = {"chosen": {**message, "kind": "point", "number": 2, "point": 5}}
    page.run()
    assert "Neighbours of train image 5" in text_of(page) and "standard deviations of q" in text_of(page)
    page.session_state[head["key"]] = {"chosen": {**message, "kind": "none", "number": 3}}
    page.run()
    assert "Draw around points" in text_of(page)


def test_what_was_found_of_a_selection_is_not_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = ((selection, "differences"), (nearness, "in_pixels"), (nearness, "in_latents"))
    called: list[str] = []
    for module, name in slow:
        real = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *given, _real=real, _name=name, **more: (
            called.append(_name), _real(*given, **more))[1])  # fmt: skip
    page = choose(opened(trainer.root() / "vae-digits"), "Projection", "PCA")
    query(page, "class = 4")
    choose(page, "Colour by", "error")
    assert called == ["differences"]
    query(page, "class = 5")
    assert called == ["differences"] * 2
    query(page, "")
    head = header(page)
    for number, row in enumerate((7, 8)):
        called.clear()
        message = {"revision": head["revision"], "kind": "point", "number": number, "point": row}
        page.session_state[head["key"]] = {"chosen": message}
        page.run()
        assert called == ["in_latents", "in_latents", "in_pixels"]
        choose(page, "Colour by", ("class", "error")[number])
        assert len(called) == 3 and f"Neighbours of train image {row}" in text_of(page)


def test_the_plane_is_kept_until_the_points_lie_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[np.ndarray] = []
    monkeypatch.setattr(atlas, "Plane", lambda points, places, axes: made.append(places) or Plane(points, places, axes))
    run._shelf.clear()
    run._large.clear()
    page = choose(opened(trainer.root() / "vae-digits"), "Projection", "PCA")

    def look(x: float) -> None:
        revision = header(page)["revision"]
        asked = {"revision": revision, "point": 0, "place": (x, 0.0), "view": (x, -1.0, 1.0, 1.0)}
        page.session_state[header(page)["key"]] = {"asked": asked}
        page.run()
        assert not page.exception

    look(0.1)
    look(0.2)
    assert len(made) == 1
    choose(page, "Projection", "Two dimensions")
    look(0.3)
    assert len(made) == 2 and not np.array_equal(made[0], made[1])
    choose(page, "Projection", "PCA")
    look(0.4)
    assert len(made) == 2


@pytest.mark.parametrize("count", [0, 1, 3])
def test_maps_of_few_images(count: int, few: Callable[..., None]) -> None:
    pixels = torch.randint(0, 256, (count, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    few(pixels, torch.arange(count) % 2)
    page = choose(opened(trainer.root() / "vae-digits"), "Projection", "PCA")
    head = header(page)
    assert head["places"]["shape"] == [8 * count] and len(head["labels"]) == min(count, 2)
    assert "no images in this split" in head["empty"]
    choose(page, "Projection", "UMAP")
    assert "UMAP needs 4 points or more" in text_of(page)
    choose(page, "Projection", "Two dimensions")


def test_constant_images_without_labels(few: Callable[..., None]) -> None:
    few(torch.zeros(5, 1, 8, 8, dtype=torch.uint8))
    page = opened(trainer.root() / "vae-digits")
    head = header(page)
    assert head["classes"] is None and head["labels"] == [] and head["amount"]["title"].startswith("Reconstruction")
    assert head["extent"] == pytest.approx(0, abs=1e-4)
    query(page, "KL >= 0")
    assert "5 of 5 selected" in text_of(page) and "leave at least two others" in text_of(page)


def test_a_checkpoint_of_another_kind_in_its_place_never_shows_an_old_map(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(trainer.root() / "vae-digits", folder)
    page = opened(folder)
    before, packet = header(page), page.session_state["map/packet"][1]
    other = trainer.root() / "pca-digits"
    shutil.rmtree(folder)
    shutil.copytree(other, folder)
    page.run()
    assert not page.exception
    after = header(page)
    assert after["points"] != before["points"] and after["revision"] != before["revision"]
    assert page.session_state["map/packet"][1] != packet
    assert "KL" not in next(box for box in page.selectbox if box.label == "Colour by").options


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_checkpoint_that_learned_on_never_shows_an_old_map(tmp_path: Path, split: str) -> None:
    """The same model with other weights, and so with other latents: neither the map nor what was found on it stays."""
    folder = tmp_path / "mine"
    shutil.copytree(trainer.root() / "vae-digits", folder)
    page = choose(choose(opened(folder), "Images", split), "Projection", "PCA")
    query(page, "class = 3")
    assert " selected" in text_of(page)
    before, places = header(page), places_of(page)
    model = trainer.load(folder)
    state = model.state_dict()
    weight = next(name for name, values in state.items() if values.ndim == 2)
    state[weight] = state[weight].flip(0)
    save_file(state, folder / "model.safetensors")
    summary = trainer.load_summary(folder)
    save_summary(folder, Summary({**summary.arrays, "points": 2 * summary.arrays["points"]}))
    page.run()
    assert not page.exception
    choose(choose(page, "Images", split), "Projection", "PCA")
    after = header(page)
    assert after["points"] != before["points"] and after["revision"] != before["revision"]
    assert places_of(page).shape == places.shape and np.abs(places_of(page) - places).max() > 0.1
    images = trainer.load_data("digits", split)
    if split == "test":  # the latents of the weights that are there now
        x = images.batch(torch.arange(len(images)))
        with torch.inference_mode():
            points = trainer.load(folder).points(trainer.load(folder).encode(x)).numpy()
        np.testing.assert_allclose(places_of(page), projection.pca(points), atol=1e-3)


def test_a_picture_of_ones_own_is_placed() -> None:
    page = choose(opened(trainer.root() / "vae-digits"), "Projection", "PCA")
    next(toggle for toggle in page.toggle if toggle.label == "Place a picture").set_value(True)
    page.run()
    assert not page.exception
    assert "Placed exactly, for PCA is linear" in text_of(page)
    assert "further out than" in text_of(page) and "Neighbours of test image 0" in text_of(page)


def test_of_waveforms_a_map_says_so(tmp_path: Path) -> None:
    save_waves(tmp_path / "waves")
    page = opened(tmp_path / "waves")
    assert "Each point is a waveform" in text_of(page) and "their waveforms appear here" in text_of(page)
    head = header(page)
    said = [head["about"], head["empty"], head["noun"], head["kind"]]
    assert all("waveform" in each and "image" not in each for each in said)
    assert next(box for box in page.selectbox if box.label == "Waveforms").options == [
        "Training waveforms", "Test waveforms"
    ]  # fmt: skip
    message = {"revision": head["revision"], "kind": "point", "number": 1, "point": 5}
    page.session_state[head["key"]] = {"chosen": message}
    page.run()
    assert "Neighbours of train waveform 5" in text_of(page) and "In samples, Euclidean" in text_of(page)
    page.session_state[head["key"]] = {"chosen": {**message, "kind": "none", "number": 2}}
    page.run()
    query(page, "class = a")
    assert "Waveforms above their reconstructions" in text_of(page)
