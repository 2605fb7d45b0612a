"""Pages of models with classes: their states by script, the sheet of classes in a real browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from canvas import READY, drag, shown
from classed import save_conditional, save_mixture, save_semi_supervised, save_stacked
from conftest import served
from playwright.sync_api import Page, expect
from scripts import open_at
from streamlit.delta_generator import DeltaGenerator
from streamlit.testing.v1 import AppTest

import trainer
from explorer import class_figures, classification, live, progress
from explorer.class_sheet import BY_CLASS, STOPS, TEMPERATURE, Sheet
from explorer.opened import Run
from explorer.pages import classification as classification_page

PAGES = ("traversals", "samples", "reconstruct", "map", "paths", "classes", "swap", "classification", "codebook")
FIRST = {"traversals", "samples", "reconstruct", "map", "paths"}
OF_CLASSES = FIRST | {"classes", "swap"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("checkpoints")
    save_conditional(place / "conditional")
    save_mixture(place / "mixture")
    save_semi_supervised(place / "told", 40)
    save_stacked(place / "stacked", 50)
    return place


# -- states ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def opened(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("CHECKPOINTS", str(folder))
    return open_at


@pytest.mark.parametrize(("name", "there"), [
    ("conditional", OF_CLASSES), ("mixture", FIRST), ("told", OF_CLASSES | {"classification"}),
    ("stacked", FIRST | {"classification"}),
])  # fmt: skip
def test_every_page_opens_that_shows_such_a_model(name: str, there: set[str], opened: Any) -> None:
    pages = {page: opened(page, name) for page in PAGES}
    found = {page for page, app in pages.items() if not any(text.value == "does not fit" for text in app.text)}
    assert found - {"classification"} == there - {"classification"}
    assert there <= found
    assert not any(app.error for app in pages.values())


def test_a_link_says_the_class(opened: Any) -> None:
    app = opened("traversals", "conditional", y="3", z="0.5,0,0,-1")
    assert app.query_params["y"] == "3" and app.query_params["z"] == "0.5,0,0,-1"
    app.selectbox[1].set_value(7).run()  # the class
    assert app.query_params["y"] == "7" and app.query_params["z"] == "0.5,0,0,-1"
    app.selectbox[2].set_value(2).run()  # blend towards
    start = app.session_state[f"start/{trainer.describe(trainer.root() / 'conditional').digest}"]
    assert start.blends == {"y": (7, 2)} and start.latent["y"][7] == 1
    mixed = ",".join(["0", "0.25", "0", "0.75", *["0"] * 6])
    app = opened("traversals", "conditional", y=mixed)
    assert app.query_params["y"] == mixed
    assert [box.value for box in app.selectbox[1:3]] == [1, 3]


def test_the_mean_is_that_of_the_class_that_a_link_names(opened: Any, folder: Path) -> None:
    app = opened("traversals", "conditional", y="4")
    mean = trainer.load(folder / "conditional").prior_mean[4].tolist()
    assert [float(value) for value in app.query_params["z"].split(",")] == pytest.approx(mean, abs=1e-4)


@pytest.mark.parametrize("asked", ["10", "-1", "1,2", "0.5,0.6,0,0,0,0,0,0,0,0", "nan,1,0,0,0,0,0,0,0,0", "٣"])
def test_a_link_with_a_wrong_class_is_a_sentence(asked: str, opened: Any) -> None:
    app = opened("traversals", "conditional", y=asked)
    assert "expected a class 0 … 9 or 10 probabilities" in app.error[0].value
    assert app.query_params["y"] == "0"


def test_samples_of_a_class(opened: Any) -> None:
    app = opened("samples", "conditional")
    app.selectbox[2].set_value(6).run()
    assert not app.exception
    samples = app.session_state["samples"][1]
    assert samples.label == 6 and samples.latent(1.0, 0)["y"][6] == 1
    app.selectbox[2].set_value(-1).run()
    assert app.session_state["samples"][1].label is None


def test_a_link_says_the_class_of_samples(opened: Any) -> None:
    app = opened("samples", "conditional")
    assert app.query_params["class"] == "all"
    app.selectbox[2].set_value(6).run()
    assert app.query_params["class"] == "6"
    again = opened("samples", "conditional", **dict(app.query_params))
    assert again.selectbox[2].value == 6 and again.session_state["samples"][1].label == 6
    wrong = opened("samples", "conditional", **{"class": "10"})
    assert len(wrong.error) == 1 and "class came as “10”, expected all or 0 or 1" in wrong.error[0].value


def test_a_link_brings_back_a_sheet_of_classes(opened: Any) -> None:
    app = opened("classes", "conditional")
    assert app.query_params == {"checkpoint": "conditional", "seed": "0", "towards": "0", "from": "class"}
    app.number_input[0].set_value(5).run()
    app.selectbox[0].set_value("p(z)").run()
    app.selectbox[1].set_value(3).run()
    assert app.query_params == {"checkpoint": "conditional", "seed": "5", "towards": "3", "from": "any"}
    again = opened("classes", "conditional", **dict(app.query_params))
    assert not again.warning and again.query_params == app.query_params
    assert again.number_input[0].value == 5 and [box.value for box in again.selectbox[:2]] == ["p(z)", 3]
    wrong = opened("classes", "conditional", seed="x", towards="10", **{"from": "y"})
    assert len(wrong.error) == 3 and "expected class or any or both" in wrong.error[2].value


def test_a_link_brings_back_a_swap(opened: Any) -> None:
    app = opened("swap", "conditional")
    box = next(box for box in app.selectbox if box.label == "As class")
    other = (box.value + 2) % 10
    box.set_value(other).run()
    app.radio[-1].set_value("z itself").run()
    said = {"class": str(other), "kept": "z"}
    assert app.query_params == {"checkpoint": "conditional", **said}
    again = opened("swap", "conditional", **said)
    assert not again.warning and again.radio[-1].value == "z itself"
    assert next(box for box in again.selectbox if box.label == "As class").value == other
    wrong = opened("swap", "conditional", **{"class": "ten"})
    assert len(wrong.error) == 1 and "class came as “ten”, expected a whole number 0 … 9" in wrong.error[0].value
    assert "handwriting" not in app.caption[0].value


def test_a_prior_that_all_classes_share_is_called_so(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    units: list[str] = []
    monkeypatch.setattr(live, "canvas", lambda *given, unit, **more: units.append(unit))
    for name, prior in (("conditional", "p(z | y)"), ("told", "p(z)")):
        said = [caption.value.replace("\\", "") for caption in opened("classes", name).caption]
        assert any(each.endswith(f"each at the mean of {prior}") for each in said)
        assert f"standard deviation of the {prior} that" in units.pop()


def test_the_first_sheet_says_how_long_it_takes(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    monkeypatch.setattr(DeltaGenerator, "progress", lambda self, share, text: said.append(text))
    assert not opened("classes", "conditional").exception
    assert len(said) == STOPS - 1 and said[0].startswith(f"Decoding the classes: 1 of {STOPS} stops, ")


def test_a_swap_is_of_the_class_beside_it(opened: Any) -> None:
    app = opened("swap", "conditional")
    box = next(box for box in app.selectbox if box.label == "As class")
    box.set_value(5).run()
    assert not app.exception and len(app.get("plotly_chart")) == 1
    assert app.radio[-1].value == "its place in p(z | y)"
    app.radio[-1].set_value("z itself").run()
    assert not app.exception


def test_the_classification_says_its_error(opened: Any, folder: Path) -> None:
    app = opened("classification", "told")
    errors = trainer.load_summary(folder / "told").errors["y"]
    assert app.metric[0].value == f"{errors.rate:.2f} %"
    assert any(f"{errors.total} test images, told 40 labels" in caption.value for caption in app.caption)


def test_the_classification_of_a_stage_is_that_of_its_checkpoint(opened: Any, folder: Path) -> None:
    app = opened("classification", "stacked")
    summary = trainer.load_summary(folder / "stacked/semi_supervised")
    assert app.metric[0].value == f"{summary.errors['y'].rate:.2f} %"
    assert any("told 50 labels" in caption.value for caption in app.caption)
    assert "stacked/semi" in app.subheader[0].value
    (matrix,) = (json.loads(chart.proto.spec)["data"][0] for chart in app.get("plotly_chart"))
    assert matrix["text"] == [[str(n) if n else "" for n in row] for row in summary.confusion["y"]]


def test_a_class_without_test_images_is_an_empty_row_and_is_named(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = np.array([[0, 0, 0], [1, 8, 1], [0, 2, 3]])
    (heat,) = class_figures.confusion(counts, "abc").data
    np.testing.assert_array_equal(heat.z, np.float32([[np.nan] * 3, [10, 80, 10], [0, 40, 60]]))
    assert heat.text.tolist() == [["", "", ""], ["1", "8", "1"], ["", "2", "3"]]
    assert not heat.showscale  # the counts are there to be read
    (many,) = class_figures.confusion(np.eye(21), [str(n) for n in range(21)]).data
    assert many.showscale and many.text is None and (heat.xgap, many.xgap, many.ygap) == (1, 0, 0)
    page = opened("classification", "told")
    assert not any("no test images" in caption.value for caption in page.caption)
    assert all(chart.proto.alt for chart in page.get("plotly_chart"))
    of_run = classification.of_run

    def without(run: Run) -> classification.Told | None:
        own = of_run(run)
        assert own
        own.confusion[[0, 1, 6]] = 0
        return own

    monkeypatch.setattr(classification, "of_run", without)
    said = [caption.value for caption in opened("classification", "told").caption]
    assert "There are no test images of 0, 1, 6, whose rows are empty." in said


def test_of_many_classes_a_sentence_names_a_few() -> None:
    names = [f"class {number}" for number in range(1300)]
    assert classification_page._listed(names[:5]) == "class 0, class 1, class 2, class 3, class 4"
    assert classification_page._listed(names) == "class 0, class 1, class 2, class 3, class 4 and 1,295 more"


# -- the form of a training --------------------------------------------------------------------------------------------


def form() -> None:
    from explorer import training_form

    training_form.show()


def refusal(model: str, **held: Any) -> tuple[AppTest, str]:
    """What the form says of a model of some data, where its button is off."""
    app = AppTest.from_function(form, default_timeout=90)
    for name, value in {"model": model, **held}.items():
        app.session_state[f"train/{name}"] = value
    app.run()
    assert not app.exception
    assert next(button for button in app.button if button.label == "Start training").disabled
    (error,) = app.error
    return app, error.value


@pytest.mark.usefixtures("places")
def test_the_form_refuses_data_without_classes(tmp_path: Path) -> None:
    np.savez(tmp_path / "plain.npz", images=np.zeros((40, 8, 8), np.uint8))
    app, said = refusal("cvae", data="a folder or file of yours", path=str(tmp_path / "plain.npz"))
    assert "has no labels" in said
    app.selectbox[0].set_value("vae").run()
    assert not app.error
    assert not next(button for button in app.button if button.label == "Start training").disabled


@pytest.mark.usefixtures("places")
@pytest.mark.parametrize(("held", "said"), [
    ({"cvae/classes": 7}, "classes came as 7, but data set “digits” has 10"),
    ({"cvae/labels": 100}, "this model needs one for each"),
    ({"cvae/labels": 3}, "fewer than the 10 classes"),
])  # fmt: skip
def test_the_form_refuses_a_number_of_classes_or_labels_that_does_not_fit(held: dict[str, int], said: str) -> None:
    found = refusal("cvae", data="digits", **held)[1].replace("\\", "")
    assert said.replace("“", '"').replace("”", '"') in found


# -- the sheet in a browser --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def classes_app(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(tmp_path_factory.mktemp("home"), CHECKPOINTS=str(folder)) as url:
        yield url


def sheet_of(folder: Path) -> Sheet:
    path = folder / "conditional"
    run = Run(trainer.describe(path), trainer.load(path), trainer.load_summary(path))
    return Sheet(run, range(10), BY_CLASS)


def assert_true(page: Page, sheet: Sheet) -> tuple[dict[str, float], np.ndarray]:
    """What the canvas shows is the decode of every cell where the sliders stand."""
    values, grey = shown(page)
    wanted = sheet.picture(values)[..., 0]
    assert grey.shape == wanted.shape and np.abs(grey.astype(int) - wanted).max() <= 1  # a batch rounds differently
    return values, grey.astype(int)


def cells(grey: np.ndarray) -> np.ndarray:
    """(10, 10) largest difference in each cell of 8 × 8."""
    return np.abs(grey).reshape(10, 8, 10, 8).max((1, 3))


def test_every_cell_follows_a_slider_before_it_is_let_go(page: Page, classes_app: str, folder: Path) -> None:
    sheet = sheet_of(folder)
    page.goto(f"{classes_app}/classes?checkpoint=conditional")
    page.wait_for_selector(READY, timeout=90_000)  # the server may still be importing torch
    _, before = assert_true(page, sheet)
    expect(page.locator(".row-names span")).to_have_text([str(each) for each in range(10)])
    place = page.locator(READY).bounding_box()
    during = drag(page, 2, 0.95)  # after temperature and blend: the most important dimension
    assert len(set(during)) >= 5
    values, held = assert_true(page, sheet)
    assert values[sheet.first] > 2
    assert (cells(held - before) > 1).all()  # every cell, and the pointer still holds the slider
    page.mouse.up()
    assert page.locator(".picture").bounding_box() == place  # nothing jumped

    page.locator(".track input").first.focus()  # temperature: its frames are asked for
    page.keyboard.press("Home")
    page.wait_for_selector(READY)
    cold, same = assert_true(page, sheet)
    assert cold[TEMPERATURE] == 0 and cold[sheet.first] == values[sheet.first]
    columns = same.reshape(10, 8, 10, 8)
    assert np.abs(columns - columns[:, :, :1]).max() <= 1  # no noise: all columns are one


def test_a_cell_leads_to_its_latent(page: Page, classes_app: str, folder: Path) -> None:
    page.goto(f"{classes_app}/classes?checkpoint=conditional")
    page.wait_for_selector(READY, timeout=90_000)
    box = page.locator(READY).bounding_box()
    assert box
    page.mouse.click(box["x"] + 0.35 * box["width"], box["y"] + 0.65 * box["height"])  # row 6, column 3
    expect(page.get_by_role("heading", name="Traversals of conditional")).to_be_visible()
    page.wait_for_selector(READY)
    values, grey = shown(page)
    assert values["y"] == 6
    wanted = sheet_of(folder).latent({}, 63)
    assert [values[f"z/{dim}"] for dim in range(4)] == pytest.approx(wanted["z"], abs=1e-4)
    assert np.abs(grey.astype(int) - sheet_of(folder).pictures({})[6, 3, :, :, 0]).max() <= 1


def test_a_class_is_dragged_through_on_traversals(page: Page, classes_app: str, folder: Path) -> None:
    page.goto(f"{classes_app}/traversals?checkpoint=conditional&y=2")
    page.wait_for_selector(READY, timeout=90_000)
    expect(page.locator("output.named")).to_have_text("2")
    drag(page, 0, 1.0)
    values, grey = shown(page)
    assert values["y"] == 9
    model = trainer.load(folder / "conditional")
    z = torch.tensor([[values[f"z/{dim}"] for dim in range(4)]])
    with torch.no_grad():
        wanted = trainer.to_bytes(model.decode({"y": torch.eye(10)[[9]], "z": z}))[0, ..., 0]
    assert np.abs(grey.astype(int) - wanted).max() <= 1
    page.mouse.up()
    page.wait_for_url(lambda url: "y=9" in url)
    assert json.loads(page.locator(READY).get_attribute("data-values") or "{}")["y"] == 9


def test_samples_stay_when_the_page_is_loaded_again(page: Page, classes_app: str) -> None:
    page.goto(f"{classes_app}/samples?checkpoint=conditional&seed=7&class=4&show=all")
    page.wait_for_selector(READY, timeout=90_000)
    page.wait_for_url(lambda url: "temperature=1" in url)
    expect(page.get_by_text("Decoding for the slider")).to_have_count(0)
    expect(page.get_by_test_id("stAlert")).to_contain_text("show came as “all”, expected mean or draw")
    drag(page, 0, 0.25)
    page.mouse.up()
    page.wait_for_url(lambda url: "temperature=0." in url)
    page.wait_for_selector(READY)
    values, grey = shown(page)
    assert 0 < values[TEMPERATURE] < 1
    page.reload()
    page.wait_for_selector(READY)
    expect(page.get_by_role("spinbutton", name="Seed")).to_have_value("7")
    expect(page.get_by_role("combobox", name="Class")).to_have_value("4")
    again, same = shown(page)
    assert again == values and np.array_equal(same, grey)
    page.go_back()
    page.wait_for_function(
        "[...document.querySelectorAll('*')].some(node => node.shadowRoot?.querySelector('.picture')"
        "?.dataset.values === '{\"temperature\":1}')"
    )
