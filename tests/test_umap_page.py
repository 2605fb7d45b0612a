"""The page Map without a browser while UMAP is at work: what it shows meanwhile, and where pictures are placed."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from map_page import choose, header, opened, places_of, text_of
from trainings import until

import trainer
from explorer import layouts, projecting, run
from explorer.projection import Umap


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LATENT_EXPLORER_HOME", str(tmp_path / "home"))


class Working:
    """Stands for a UMAP at work in its process; `made` are all of them."""

    made: list[Working] = []

    def __init__(self, points: np.ndarray, options: Umap) -> None:
        self.points, self.options = points, options
        self.places: np.ndarray | None = None
        self.problem: str | None = None
        self.progress = ("layout", 40, 200, 12.0)
        self.answers = threading.Event()
        self.placed = np.array([[0.25, -0.5]], np.float32)
        self.made.append(self)

    @property
    def is_over(self) -> bool:
        return self.places is not None or self.problem is not None

    def place(self, new: np.ndarray, wait: float) -> np.ndarray | None:
        return self.placed if self.answers.wait(wait) else None

    def close(self) -> None:
        self.problem = "cancelled"
        self.answers.set()


@pytest.fixture
def working(monkeypatch: pytest.MonkeyPatch) -> list[Working]:
    monkeypatch.setattr(projecting, "Layout", Working)
    monkeypatch.setattr(layouts, "kept", lambda *_: None)
    monkeypatch.setattr(run, "while_open", lambda close: None)
    monkeypatch.setattr(Working, "made", [])
    return Working.made


def test_pca_is_shown_while_umap_works_and_then_umap(working: list[Working]) -> None:
    page = choose(opened(trainer.root() / "vae-digits"), "Projection", "UMAP")
    pca = header(page)["revision"]
    assert pca.endswith("/pca")
    (umap,) = working
    bar = page.get("progress")[0]
    assert "Laying out: epoch 40 of 200, 12 s left. The map shows PCA." in bar.proto.text
    choose(page, "Colour by", "z3")  # goes on meanwhile
    assert len(working) == 1 and header(page)["amount"]["title"] == "z3"
    umap.places = np.random.default_rng(0).normal(size=(len(umap.points), 2)).astype(np.float32)
    page.run()
    assert "/umap/" in header(page)["revision"]
    np.testing.assert_array_equal(places_of(page), umap.places)
    next(number for number in page.number_input if number.label == "Neighbours").set_value(30)
    page.run()
    assert [layout.options.n_neighbors for layout in working] == [15, 30] and umap.problem == "cancelled"
    assert header(page)["revision"].endswith("/pca")  # not the layout of other options


def test_umap_can_be_cancelled_and_started_again(working: list[Working]) -> None:
    page = choose(opened(trainer.root() / "vae-digits"), "Projection", "UMAP")
    next(button for button in page.button if button.label == "Cancel").click()
    page.run()
    assert not page.exception
    assert "UMAP was cancelled; the map shows PCA." in text_of(page) and len(working) == 1
    next(button for button in page.button if button.label == "Start UMAP").click()
    page.run()
    assert len(working) == 2 and working[1].problem is None
    working[1].problem = "no memory"
    page.run()
    assert "UMAP ended early" in page.error[0].value and "no memory" in page.error[0].value


def test_umap_places_a_picture_once_its_transform_is_ready(working: list[Working]) -> None:
    page = choose(opened(trainer.root() / "vae-digits"), "Projection", "UMAP")
    (umap,) = working
    umap.places = np.random.default_rng(0).normal(size=(len(umap.points), 2)).astype(np.float32)
    page.run()
    next(toggle for toggle in page.toggle if toggle.label == "Place a picture").set_value(True)
    page.run()
    assert not page.exception
    assert "Placed among its nearest neighbours, until UMAP's transform is ready." in text_of(page)
    assert "UMAP is placing the picture" in text_of(page)
    umap.answers.set()
    _, placing = page.session_state["map/placing"]
    until(lambda: placing.places is not None)
    page.run()
    assert "Placed by UMAP's transform." in text_of(page) and "UMAP is placing" not in text_of(page)
    assert placing.points.shape == (1, 10) and np.array_equal(placing.places, umap.placed)


def test_a_picture_is_placed_by_the_next_process_where_one_died(working: list[Working]) -> None:
    page = choose(opened(trainer.root() / "vae-digits"), "Projection", "UMAP")
    places = np.random.default_rng(0).normal(size=(len(working[0].points), 2)).astype(np.float32)
    working[0].places = places
    page.run()
    next(toggle for toggle in page.toggle if toggle.label == "Place a picture").set_value(True)
    page.run()
    _, first = page.session_state["map/placing"]
    working[0].placed, working[0].problem = None, "no memory"
    working[0].answers.set()
    until(lambda: first.failed)
    page.run()
    next(button for button in page.button if button.label in ("Start UMAP", "Place by UMAP")).click()
    page.run()
    assert len(working) == 2
    working[1].answers.set()
    working[1].places = places
    page.run()
    until(lambda: page.session_state["map/placing"][1].places is not None)
    page.run()
    assert not page.exception and "Placed by UMAP's transform." in text_of(page)


def test_options_that_give_the_same_places_are_not_laid_out_in_turn(working: list[Working]) -> None:
    """As numbers of neighbours do that are more than there are points."""
    page = choose(opened(trainer.root() / "vae-digits"), "Projection", "UMAP")
    places = np.random.default_rng(0).normal(size=(len(working[0].points), 2)).astype(np.float32)
    working[0].places = places
    page.run()
    next(box for box in page.number_input if box.label == "Neighbours").set_value(40)
    page.run()
    working[1].places = places
    page.run()
    next(toggle for toggle in page.toggle if toggle.label == "Place a picture").set_value(True)
    page.run()
    assert not page.exception
    assert len(working) == 2 and working[1].problem is None


def test_pictures_are_placed_on_the_layout_that_places_them(
    working: list[Working], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another machine's layout of the same points may be another one: the map shows it until its own is there."""
    kept = np.random.default_rng(1).normal(size=(1_618, 2)).astype(np.float32)
    monkeypatch.setattr(layouts, "kept", lambda *_: kept)
    page = opened(trainer.root() / "vae-digits")
    np.testing.assert_array_equal(places_of(page), kept)
    before = header(page)
    next(toggle for toggle in page.toggle if toggle.label == "Place a picture").set_value(True)
    page.run()
    (umap,) = working
    umap.places = np.random.default_rng(0).normal(size=kept.shape).astype(np.float32)
    page.run()
    np.testing.assert_array_equal(places_of(page), umap.places)
    after = header(page)
    assert after["revision"] != before["revision"] and after["points"] == before["points"]
