"""The page Compare: its states by script, and its parts in a real browser."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from commandline import call
from configured import save_config
from playwright.sync_api import Page, expect
from streamlit.testing.v1 import AppTest

import trainer
from explorer import compare_curves
from trainer import evaluation


def compare() -> None:
    """The page over every checkpoint of the folder."""
    import streamlit as st

    import trainer
    from explorer.pages import compare

    def nothing() -> None:
        pass

    page = st.Page(nothing, title="Train", url_path="train")
    st.navigation([page])
    compare.show(trainer.checkpoints(), {"train": page})


def opened(**asked: str) -> AppTest:
    app = AppTest.from_function(compare, default_timeout=90)
    for key, value in asked.items():
        app.query_params[key] = value
    app.run()
    assert not app.exception
    return app


def save_options(folder: Path, model: str, **options: Any) -> None:
    save_config(folder, model, {})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "options": options}))


def said(app: AppTest) -> str:
    return " ".join(each.value for each in [*app.caption, *app.info, *app.error]).replace("\\", "")


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("checkpoints")
    for name, latents in (("few", 3), ("more", 8)):
        assert call("train", "ppca", "--data", "digits", "--latents", latents, "--out", place / name) == 0
    short = ("--data", "digits", "--hidden", 16, "--latents", 3, "--steps", 20, "--device", "cpu")
    assert call("train", "vae", *short, "--out", place / "net") == 0
    assert call("evaluate", place / "few", "--samples", 20, "--images", 30) == 0
    return place


@pytest.fixture
def folder(three: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CHECKPOINTS", str(three))
    return three


@pytest.mark.usefixtures("places")
@pytest.mark.parametrize("part", ["Figures", "Rate and distortion", "Side by side", "Curves"])
def test_an_empty_folder_says_what_to_do(part: str) -> None:
    app = opened(by=part)
    assert "Train one" in said(app) and not app.error


@pytest.mark.usefixtures("folder")
def test_figures_of_one_setting() -> None:
    app = opened()
    assert list(app.dataframe[0].value["checkpoint"]) == ["few", "more", "net"]
    assert app.dataframe[0].value["ELBO"].dtype.kind == "f"  # which sorts as numbers do
    assert "of 2 settings" in said(app)
    app.selectbox(key="setting").set_value("digits: log p(x), Gaussian").run()
    assert list(app.dataframe[0].value["checkpoint"]) == ["few", "more"]
    assert "of 2 settings" not in said(app)
    app.multiselect(key="of").set_value(["more"]).run()
    assert list(app.dataframe[0].value["checkpoint"]) == ["more"]


@pytest.mark.usefixtures("folder")
def test_a_setting_that_the_other_table_lacks_is_left() -> None:
    app = opened(setting="digits: log p(x), Bernoulli, pixels as they are")
    assert list(app.dataframe[0].value["checkpoint"]) == ["net"]
    app.segmented_control(key="table").set_value("Bounds").run()
    assert not app.exception and list(app.dataframe[0].value["checkpoint"]) == ["few"]


@pytest.mark.usefixtures("folder")
def test_what_was_not_evaluated_has_its_command() -> None:
    app = opened(table="Bounds")
    assert list(app.dataframe[0].value["checkpoint"]) == ["few"]
    assert "Not evaluated: more, net" in said(app)
    assert app.code[0].value.startswith("python -m trainer evaluate ") and app.code[0].value.endswith("more")
    app.multiselect(key="of").set_value(["net"]).run()
    assert not app.dataframe and "None of these checkpoints was evaluated yet" in said(app)


def test_a_model_without_a_density_is_told_from_one_that_was_not_evaluated(tmp_path: Path, monkeypatch: Any) -> None:
    assert call("train", "pca", "--data", "digits", "--latents", 3, "--out", tmp_path / "plain") == 0
    monkeypatch.setenv("CHECKPOINTS", str(tmp_path))
    assert "Not evaluated: plain" in said(opened(table="Decodes"))
    assert call("evaluate", tmp_path / "plain", "--images", 30) == 0
    app = opened(table="Decodes")
    assert list(app.dataframe[0].value["checkpoint"]) == ["plain"] and "Not evaluated" not in said(app)
    app = opened(table="Bounds")
    assert "nothing bounds its likelihood: plain." in said(app) and "Not evaluated" not in said(app)


def test_a_damaged_evaluation_is_a_sentence_and_leaves_the_rest(folder: Path, tmp_path: Path, monkeypatch: Any) -> None:
    assert call("train", "ppca", "--data", "digits", "--latents", 2, "--out", tmp_path / "c" / "broken") == 0
    (tmp_path / "c" / "broken" / evaluation.FILE).write_bytes((folder / "few" / evaluation.FILE).read_bytes())
    monkeypatch.setenv("CHECKPOINTS", str(tmp_path / "c"))
    app = opened(table="Bounds")
    assert [warning.value for warning in app.warning] == ["1 evaluation cannot be shown."]
    why = app.expander[0].markdown[0].value.replace("\\", "")
    assert "* broken: " in why and "is about other weights" in why and "python -m trainer evaluate" in why
    assert list(opened().dataframe[0].value["checkpoint"]) == ["broken"]


@pytest.mark.parametrize("part", ["Figures", "Rate and distortion"])
def test_checkpoints_that_do_not_open_are_one_line(part: str, folder: Path, tmp_path: Path, monkeypatch: Any) -> None:
    shutil.copytree(folder, tmp_path / "c")
    for name in ("few", "net"):
        (tmp_path / "c" / name / "model.safetensors").write_bytes(b"no weights")
    monkeypatch.setenv("CHECKPOINTS", str(tmp_path / "c"))
    app = opened(by=part)
    assert not app.error and [warning.value for warning in app.warning] == ["2 checkpoints do not open."]
    assert [line.startswith("* ") for line in app.expander[0].markdown[0].value.splitlines()] == [True, True]
    assert "* few" in app.expander[0].markdown[0].value and "cannot be read" in app.expander[0].markdown[0].value
    assert part != "Figures" or list(app.dataframe[0].value["checkpoint"]) == ["more"]


def test_only_the_histories_that_are_chosen_are_read(places: Path, monkeypatch: Any) -> None:
    line = {"step": 1, "loss": 1.0, "kl": 2.0}
    for name, text in (("a", line), ("b", line), ("c", line), ("odd", {"step": "x"})):
        save_config(places / "checkpoints" / name, "vae", {})
        (places / "checkpoints" / name / "history.jsonl").write_text(json.dumps(text) + "\n")
    save_config(places / "checkpoints" / "none", "vae", {})
    (places / "checkpoints" / "none" / "history.jsonl").touch()
    read: list[str] = []
    whole = trainer.Checkpoint.history
    monkeypatch.setattr(trainer.Checkpoint, "history", lambda self: read.append(self.name) or whole(self))
    app = opened(by="Curves")
    assert not app.error and set(read) == {"a", "b"}
    assert app.multiselect(key="runs").options == ["a", "b", "c", "odd"]
    assert app.multiselect(key="runs").value == ["a", "b"]
    read.clear()
    app.multiselect(key="runs").set_value(["c", "odd"]).run()
    assert not app.exception and read == ["c", "odd"]
    assert "odd/history.jsonl, line 1" in said(app) and len(app.get("plotly_chart")) == 1


def test_a_training_that_was_steered_says_to_what(places: Path) -> None:
    for name in ("one", "two", "three"):
        save_options(places / "checkpoints" / name, "beta_vae", beta=4.0)
        lines: list[dict[str, Any]] = [{"step": 1, "loss": 1.0, "beta": 4.0}]
        lines += [{"step": 2, "changed": {"beta": 3.0}}, {"step": 3, "loss": 1.0, "beta": 3.0}] * (name == "two")
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (places / "checkpoints" / name / "history.jsonl").write_text(text)
    app = opened(by="Curves")
    app.multiselect(key="runs").set_value(["one", "two"]).run()
    (table,) = app.dataframe
    assert table.value.to_dict("records") == [{"option": "beta", "one": "4", "two": "4, then 3"}]
    assert "different objectives" in said(app) and "two, after step 2: beta = 3" in said(app)
    figure = json.loads(app.get("plotly_chart")[0].proto.spec)
    assert figure["layout"]["yaxis"]["title"]["text"] == "nats" and len(figure["layout"]["shapes"]) == 1
    app.selectbox(key="measure").set_value("beta").run()
    assert "different objectives" not in said(app)
    assert json.loads(app.get("plotly_chart")[0].proto.spec)["layout"]["yaxis"]["title"]["text"] == "value"
    app.multiselect(key="runs").set_value(["one", "three"]).run()
    app.selectbox(key="measure").set_value("loss").run()
    assert "different objectives" not in said(app)


@pytest.mark.parametrize(("model", "option", "one", "other", "differ"), [
    ("beta_vae", "beta", 4.0, 2.0, True), ("vq_vae", "commitment", 0.25, 2.0, True),
    ("hierarchical_vae", "free_bits", 0.0, 4.0, True), ("iwae", "samples", 1, 50, True),
    ("vae", "samples", 1, 50, False), ("vae", "latents", 2, 9, False),
])  # fmt: skip
def test_objectives_differ_by_what_weighs_their_terms(
    model: str, option: str, one: float, other: float, differ: bool, tmp_path: Path
) -> None:
    found = []
    for value in (one, other):
        save_options(tmp_path / f"{value}", model, **{option: value})
        found.append(compare_curves._objective(trainer.describe_running(tmp_path / f"{value}"), []))
    assert (found[0] != found[1]) == differ


@pytest.mark.parametrize(("model", "options", "name", "unit"), [
    ("autoencoder", {}, "loss", "squared distance"),
    ("vq_vae", {}, "reconstruction", "squared distance"),
    ("vq_vae", {"likelihood": "bernoulli"}, "loss", "nats"),
    ("vq_vae", {}, "perplexity", "codes"),
    ("tc_vae", {}, "extra/total_correlation", "nats"),
])  # fmt: skip
def test_a_measure_has_its_unit(model: str, options: dict[str, Any], name: str, unit: str, tmp_path: Path) -> None:
    save_options(tmp_path / "some", model, **options)
    assert compare_curves._unit(trainer.describe_running(tmp_path / "some"), name) == unit


@pytest.mark.usefixtures("folder")
def test_the_plane_is_of_one_likelihood() -> None:
    app = opened(by="Rate and distortion")
    assert app.selectbox(key="plane").options == [
        "digits: log p(x), Gaussian", "digits: log p(x), Bernoulli, pixels as they are",
    ]  # fmt: skip
    assert "The curve is the least that a linear decoder" in said(app)
    app.selectbox(key="plane").set_value("digits: log p(x), Bernoulli, pixels as they are").run()
    assert not app.exception and "The curve is" not in said(app) and "dashed line" in said(app)


@pytest.mark.usefixtures("folder")
def test_an_address_names_the_two_sides() -> None:
    app = opened(by="Side by side", one="net", other="few", seed="5")
    assert [app.selectbox(key=key).value for key in ("one", "other")] == ["net", "few"]
    assert app.number_input(key="seed").value == 5
    assert list(app.dataframe[0].value)[1:3] == ["ELBO, net", "ELBO, few"]
    assert "do not compare" in said(app) and "Samples of few" in said(app)


def test_a_link_to_what_cannot_be_shown_says_so(folder: Path, tmp_path: Path, monkeypatch: Any) -> None:
    shutil.copytree(folder, tmp_path / "c")
    save_config(tmp_path / "c" / "begun", "vae", {})
    (tmp_path / "c" / "begun" / "model.safetensors").unlink()
    monkeypatch.setenv("CHECKPOINTS", str(tmp_path / "c"))
    app = opened(by="Side by side", one="no_such", other="begun")
    first, second = (warning.value.replace("\\", "") for warning in app.warning)
    assert first.startswith("There is no training “no_such”") and second.startswith("“begun” has no weights yet")
    assert not opened(by="Side by side", one="few", other="more").warning


@pytest.mark.usefixtures("folder")
def test_curves_and_what_differs() -> None:
    app = opened(by="Curves")
    app.multiselect(key="runs").set_value(["net"]).run()
    assert len(app.get("plotly_chart")) == 1
    app.multiselect(key="runs").set_value([]).run()
    assert "Choose trainings" in said(app)


def test_from_figures_to_two_side_by_side(page: Page, app: str) -> None:
    page.goto(f"{app}/compare")
    expect(page.get_by_text("Test terms")).to_be_visible(timeout=90_000)  # the server may still be importing torch
    expect(page.get_by_test_id("stDataFrame").first).to_be_visible()
    page.get_by_role("radio", name="Side by side").click()
    names = [found.name for found in trainer.checkpoints()]
    assert {"ppca-digits", "vae-digits"} <= set(names)
    page.goto(f"{app}/compare?by=Side+by+side&one=ppca-digits&other=vae-digits")
    for name in ("ppca-digits", "vae-digits"):
        expect(page.get_by_text(f"Reconstructions by {name}")).to_be_visible(timeout=90_000)
        expect(page.get_by_text(f"Samples of {name}, from the prior")).to_be_visible()
    expect(page.locator("[data-testid=stImage] img")).to_have_count(6)  # the sidebar's preview is one
    page.get_by_role("radio", name="Curves").click()
    expect(page.get_by_text("loss, mean per image").first).to_be_visible()
    expect(page.get_by_text("Options that differ")).to_be_visible()
    page.get_by_role("link", name="Traversals").click()  # which writes an address of its own
    expect(page.get_by_role("heading", name="Traversals of")).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)
