"""The address of a view: the same view everywhere, whatever is here; what it gets wrong is a sentence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from scripts import open_at, page_of
from streamlit.testing.v1 import AppTest

import trainer
from explorer import address, run
from explorer.controls import literal
from explorer.opened import Run
from explorer.starts import Start, begin

DIMS = 10  # of vae-digits


def page_of_traversals(name: str) -> None:
    import trainer
    from explorer.pages import traversals
    from explorer.run import open_run

    traversals.show(open_run(trainer.describe(trainer.root() / name)))


def opened(name: str, **asked: str) -> tuple[AppTest, Start]:
    """The traversals at an address, and the view that they show."""
    page = AppTest.from_function(page_of_traversals, args=(name,), default_timeout=60)
    for key, value in {"checkpoint": name, **asked}.items():
        page.query_params[key] = value
    page.run()
    assert not page.exception
    return page, page.session_state[f"start/{trainer.describe(trainer.root() / name).digest}"]


@pytest.fixture
def copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of checkpoints with a vae-digits that was trained on an .npz file which is not there."""
    shutil.copytree(ROOT / "checkpoints/vae-digits", tmp_path / "vae-digits")
    config = tmp_path / "vae-digits/config.json"
    values = json.loads(config.read_text())
    values["data"]["name"] = str(tmp_path / "pictures/own.npz")
    config.write_text(json.dumps(values))
    monkeypatch.setenv("CHECKPOINTS", str(tmp_path))
    run._open.clear()  # the original has the same weights
    yield tmp_path
    run._open.clear()


def run_of(folder: Path) -> Run:
    return Run(trainer.describe(folder), trainer.load(folder), trainer.load_summary(folder))


Z = [round(0.1 * dim, 1) for dim in range(DIMS)]
LINK = ",".join(f"{value:g}" for value in Z)


@pytest.mark.usefixtures("copies")
def test_a_latent_is_shown_whose_image_cannot_be_had() -> None:
    page, start = opened("vae-digits", z=LINK, image="5000")
    assert start.latent == {"z": Z}
    assert start.original is None
    assert len(page.error) == 1 and "without what it began with" in page.error[0].value
    page, start = opened("vae-digits", image="5")  # no latent beside it: there is nothing else to show
    assert start.latent == {"z": [0.0] * DIMS}
    assert "so this is the start of the checkpoint" in page.error[0].value


def test_an_image_number_that_does_not_fit_costs_the_picture_alone() -> None:
    page, start = opened("vae-digits", z=LINK, image="5000")
    assert start.latent == {"z": Z} and start.kind == "mean"
    assert "expected a whole number 0 … 178" in page.error[0].value


def test_an_image_and_a_point_are_two_things_where_both_are_here() -> None:
    page, image = opened("vae-digits", image="5")
    assert image.original is not None and page.query_params["image"] == "5"
    page, point = opened("vae-digits", point="5")
    assert not page.error and page.query_params["point"] == "5"
    stored = trainer.load_summary(ROOT / "checkpoints/vae-digits").arrays["points"][5]
    assert np.allclose(point.latent["z"], stored, atol=1e-4)
    assert point.original is None and point.latent != image.latent


@pytest.mark.usefixtures("copies")
def test_a_point_is_the_same_where_the_images_are_not_here() -> None:
    page, point = opened("vae-digits", point="5")
    stored = trainer.load_summary(ROOT / "checkpoints/vae-digits").arrays["points"][5]
    assert not page.error and np.allclose(point.latent["z"], stored, atol=1e-4)


@pytest.mark.parametrize("z", ["1e308", "-101", "nan", "<b>", "", "9" * 5000, "1_0x"])
def test_a_latent_that_no_decoder_takes_is_refused(z: str) -> None:
    page, start = opened("vae-digits", z=",".join([z] + ["0"] * (DIMS - 1)))
    assert f"expected {DIMS} numbers from −100 to 100" in page.error[0].value
    assert start.latent == {"z": [0.0] * DIMS}


@pytest.mark.parametrize("text", ["9" * 5000, "<b>", "-1", "1.5", "", "٣", "![x](http://host/y.png)"])
@pytest.mark.parametrize("origin", ["seed", "image", "point"])
def test_what_is_no_number_is_one_sentence(origin: str, text: str) -> None:
    page, _ = opened("vae-digits", **{origin: text})
    (error,) = page.error
    assert f"{origin} came as “{literal(text[:20])}”, expected a whole number 0 … " in error.value
    assert "int(" not in error.value and "](" not in error.value and len(error.value) < 250


def test_text_is_shown_as_it_is() -> None:
    assert literal("![x](http://h/y.png)") == r"\!\[x\]\(http\://h/y.png\)"
    assert literal("plain words, 3.5 − 2") == "plain words, 3.5 − 2"


def test_only_the_last_part_of_a_path_is_said(copies: Path) -> None:
    mine = run_of(copies / "vae-digits")
    assert "Put own.npz back" in mine.fetching
    assert str(copies) not in mine.fetching and "python -m trainer fetch" not in mine.fetching
    mnist = run_of(ROOT / "checkpoints/vae-mnist")
    assert "python -m trainer fetch mnist" in mnist.fetching or mnist.images_were_fetched


def test_damaged_data_are_a_sentence_and_the_points_stand_in(copies: Path) -> None:
    whole = copies / "pictures/own.npz"
    whole.parent.mkdir()
    np.savez(whole, images=np.zeros((100, 8, 8), np.uint8))
    assert run_of(copies / "vae-digits").images_are_here
    whole.write_bytes(whole.read_bytes()[:1000])
    mine = run_of(copies / "vae-digits")
    assert mine.images_were_fetched and not mine.images_are_here
    assert "own.npz cannot be shown: " in mine.fetching and str(copies) not in mine.fetching
    assert mine.numbers == mine.points
    assert np.array_equal(mine.picture(3), mine.decode(mine.point(3))[0])
    start = begin(mine, 0, "image", number=3)
    assert start.kind == "point" and start.number == 3
    page, start = opened("vae-digits", z=LINK, image="3")
    assert start.latent == {"z": Z} and "cannot be shown" in page.error[0].value


def test_images_of_another_shape_are_not_the_models(copies: Path) -> None:
    (copies / "pictures").mkdir()
    np.savez(copies / "pictures/own.npz", images=np.zeros((100, 9, 9), np.uint8))
    mine = run_of(copies / "vae-digits")
    assert not mine.images_are_here
    assert "(1, 9, 9), and the model takes (1, 8, 8)" in mine.fetching


def test_a_checkpoint_that_has_gone_is_a_sentence(copies: Path) -> None:
    found = trainer.describe(copies / "vae-digits")
    shutil.rmtree(copies / "vae-digits")
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        run.open_run(found)


def test_weights_are_hashed_when_they_change_only(copies: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, read = copies / "vae-digits", []
    whole = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read.append(path.name) or whole(path))  # type: ignore[func-returns-value]
    first = run.open_run(trainer.describe(folder))
    assert run.open_run(trainer.describe(folder)) is first
    assert read.count("model.safetensors") == 1
    assert first.checkpoint.digest == trainer.describe(folder).digest
    shutil.copy(ROOT / "checkpoints/ppca-digits/model.safetensors", folder)
    with pytest.raises(ValueError, match="do not fit"):
        run.open_run(trainer.describe(folder))


# -- the page Samples --------------------------------------------------------------------------------------------------


def test_a_link_brings_back_the_samples_on_screen() -> None:
    app = open_at("samples", "vae-digits")
    first = {"checkpoint": "vae-digits", "count": "64", "seed": "0", "show": "mean", "temperature": "1"}
    assert app.query_params == first
    app.number_input[0].set_value(7).run()
    app.selectbox[0].set_value(16).run()
    app.selectbox[1].set_value("draw").run()
    digest = trainer.describe(ROOT / "checkpoints/vae-digits").digest
    revision = app.session_state[f"samples/{digest}"].revision
    moved = {"values": {"temperature": 0.0}, "wanted": "temperature", "revision": revision}
    app.session_state[f"samples/canvas/{digest}"] = {"moved": moved}
    app.run()
    assert app.query_params == {**first, "count": "16", "seed": "7", "show": "draw", "temperature": "0"}
    again = open_at("samples", "vae-digits", **dict(app.query_params))
    assert again.query_params == app.query_params and not again.error and not again.warning
    assert again.number_input[0].value == 7 and [box.value for box in again.selectbox[:2]] == [16, "draw"]
    assert again.session_state[f"samples/{digest}"].temperature == 0
    shown, wanted = (each.session_state["samples"][1].images(0.0) for each in (again, app))
    assert np.array_equal(shown, wanted)
    again.number_input[0].set_value(8).run()  # and the link holds nothing fast
    assert again.query_params["seed"] == "8" and again.query_params["temperature"] == "0"
    for name, value in first.items():  # the browser's way back
        again.query_params[name] = value
    again.run()
    assert again.number_input[0].value == 0 and again.query_params == first


def test_a_wrong_setting_of_the_samples_is_a_sentence() -> None:
    app = open_at("samples", "vae-digits", seed="-4", count="7", show="<b>", temperature="nan")
    said = [error.value.replace("\\", "") for error in app.error]
    assert len(said) == 4 and all(each.startswith("A setting of the link is left out: ") for each in said)
    assert "count came as “7”, expected 16 or 36 or 64 or 100" in said[0]
    assert "seed came as “-4”, expected a whole number 0 … " in said[1]
    assert "show came as “<b>”, expected mean or draw" in said[2]
    assert "temperature came as “nan”, expected a number from 0 to 2" in said[3]
    assert app.query_params["temperature"] == "1" and app.query_params["seed"] == "0"


@pytest.mark.parametrize("temperature", ["2.1", "-0", "1e0", "٣", "9" * 5000, ""])
def test_a_temperature_that_is_not_offered_is_refused(temperature: str) -> None:
    app = open_at("samples", "vae-digits", temperature=temperature)
    assert len(app.error) == 1 and "expected a number from 0 to 2" in app.error[0].value


@pytest.mark.parametrize(("name", "caption", "settings"), [
    ("vae-digits", "Samples at any temperature; click one to move on from it.", {"show", "temperature"}),
    ("mixture-digits", "Samples; click one to move on from it.", {"show", "class"}),
    ("quadrant-mnist", "Samples at any temperature.", {"show", "temperature"}),
    ("autoencoder-mnist", "Samples at any temperature; click one to move on from it.", {"temperature"}),
])  # fmt: skip
def test_samples_promise_what_the_model_has(name: str, caption: str, settings: set[str]) -> None:
    app = open_at("samples", name)
    assert app.caption[0].value == caption
    assert app.query_params.keys() == {"checkpoint", "count", "seed"} | settings


def test_an_address_from_a_page_of_links_stays_as_it_came_until_something_is_chosen() -> None:
    """And the browser's way back to it leads to what was shown there."""
    app = AppTest.from_function(page_of, args=("samples", "vae-digits"), default_timeout=60)
    app.session_state["address"] = {}  # a page of links was here
    app.query_params["checkpoint"] = "vae-digits"
    app.run().run()
    assert app.query_params == {"checkpoint": "vae-digits"} and app.number_input[0].value == 0
    app.number_input[0].set_value(7).run()
    assert app.query_params["seed"] == "7" and app.query_params["temperature"] == "1"
    for name in ("count", "seed", "show", "temperature"):
        del app.query_params[name]
    app.run()
    assert app.query_params == {"checkpoint": "vae-digits"} and app.number_input[0].value == 0


# -- numbers -----------------------------------------------------------------------------------------------------------


def test_zero_has_no_sign_in_an_address() -> None:
    mine = run_of(ROOT / "checkpoints/vae-digits")
    latent = {"z": [-0.0, -0.00004, 0.0, -0.5, 10.0, -100.0, *[0.0] * 4]}
    assert address.view_of(mine, latent)["z"] == "0,0,0,-0.5,10,-100,0,0,0,0"


def test_a_start_has_no_zero_with_a_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = run_of(ROOT / "checkpoints/vae-digits")
    monkeypatch.setattr(Run, "sample", lambda run, seed: {"z": torch.tensor([[-0.0, -0.00004, 0.5]])})
    assert [f"{value:g}" for value in begin(mine, 0, "sample").latent["z"]] == ["0", "0", "0.5"]
