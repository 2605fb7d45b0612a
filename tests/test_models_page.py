"""The page Models: what it shows of many checkpoints, and what it says of folders that are none."""

from __future__ import annotations

from pathlib import Path

import pytest
from configured import save_config
from conftest import ROOT
from PIL import Image
from streamlit.testing.v1 import AppTest

from explorer import controls
from trainer import Checkpoint, checkpoints


def models() -> None:
    """The page over every checkpoint of the folder."""
    import streamlit as st

    import trainer
    from explorer.pages import start

    def nothing() -> None:
        pass

    pages = {name: st.Page(nothing, title=name, url_path=name) for name in ("tour", "traversals")}
    st.navigation(list(pages.values()))
    start.show(trainer.checkpoints(), pages)


def opened() -> AppTest:
    page = AppTest.from_function(models, default_timeout=60).run()
    assert not page.exception
    return page


def cards(page: AppTest) -> list[str]:
    return [each.value for each in page.subheader]


def fill(folder: Path, count: int) -> None:
    for number in range(count):
        kind, name = ("beta_vae", "photos") if number % 2 else ("vae", "digits")
        save_config(folder / f"run{number:02}", kind, {}, name=name)


def test_a_few_are_all_there_without_a_search(places: Path) -> None:
    fill(places / "checkpoints", 24)
    page = opened()
    assert len(cards(page)) == 24 and not page.text_input
    assert not [button for button in page.button if button.label == "Show more"]


def test_many_are_found_by_words_and_shown_in_parts(places: Path) -> None:
    fill(places / "checkpoints", 50)
    page = opened()
    assert cards(page) == [f"run{number:02}" for number in range(24)]
    page.button(key="models/more").click().run()
    assert len(cards(page)) == 48
    page.button(key="models/more").click().run()
    assert len(cards(page)) == 50 and not [button for button in page.button if button.label == "Show more"]
    page.text_input(key="models/find").set_value("Beta_VAE photos run2").run()
    assert cards(page) == ["run21", "run23", "run25", "run27", "run29"]
    page.text_input(key="models/find").set_value("sprites").run()
    assert not cards(page) and "sprites" in page.info[0].value
    assert not page.exception


def test_a_name_is_shown_as_it_is(places: Path) -> None:
    save_config(places / "checkpoints" / "of *two* [words]", "vae", {})
    assert cards(opened()) == [r"of \*two\* \[words\]"]


def test_a_preview_is_opened_once_a_card(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_config(places / "checkpoints" / "one", "vae", {})
    Image.new("L", (8, 8)).save(places / "checkpoints" / "one" / "preview.png")
    asked: list[str] = []
    preview = Checkpoint.preview.fget
    assert preview
    monkeypatch.setattr(Checkpoint, "preview", property(lambda self: asked.append(self.name) or preview(self)))
    monkeypatch.setattr(controls.st, "image", lambda *arguments, **more: None)
    controls.preview(checkpoints()[0])
    assert asked == ["one"]


def test_folders_that_cannot_be_read_are_said(places: Path) -> None:
    folder = places / "checkpoints"
    for name, text in (("empty", ""), ("list", "[]"), ("types", '{"model": 3}')):
        save_config(folder / name, "vae", {})
        (folder / name / "config.json").write_text(text)
    save_config(folder / "whole", "vae", {})
    save_config(folder / "young", "vae", {})
    (folder / "young" / "model.safetensors").unlink()  # its training may go on
    page = opened()
    assert cards(page) == ["whole"]
    assert [warning.value for warning in page.warning] == ["3 folders cannot be read."]
    lines = page.expander[0].markdown[0].value.splitlines()
    assert [line.partition("\\:")[0] for line in lines] == ["* empty", "* list", "* types"]
    assert all("config.json" in line for line in lines)
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    for asked, said in (("types", "cannot be read"), ("../other", "There is no checkpoint"), ("no", "There is no")):
        app.query_params["checkpoint"] = asked
        app.run()
        assert not app.exception and said in app.error[0].value and "Choose one in the sidebar" in app.error[0].value
