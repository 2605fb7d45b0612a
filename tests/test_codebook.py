"""The page Codebook: its states by script."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from coded import save_folder
from scripts import open_at

import trainer
from explorer import code_looks
from explorer import run as runs


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_folder(tmp_path_factory.mktemp("checkpoints"))


# -- states ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def opened(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Opens a page of the folder's checkpoints at an address; the script that ran."""
    monkeypatch.setenv("CHECKPOINTS", str(folder))
    return open_at


def test_the_address_says_the_codes_and_leads_back(opened: Any, folder: Path) -> None:
    app = opened("codebook", "coded")
    asked = app.query_params["codes"]
    model = trainer.load(folder / "coded")
    with torch.no_grad():
        own = model.encode(trainer.load_data("digits", "test", size=300).batch(torch.tensor([0])))["codes"]
    assert asked == ",".join(map(str, own.flatten().tolist()))
    other = ",".join(["7"] * 16)
    again = opened("codebook", "coded", codes=other)
    assert not again.error and again.query_params["codes"] == other
    assert again.selectbox[0].value == "Link"


@pytest.mark.parametrize(("asked", "said"), [
    ("1,2", "codes has 2 values, expected 16 whole numbers from 0 to 23"),
    (",".join(["24"] * 16), "whole numbers from 0 to 23"),
    (",".join(["-1"] * 16), "whole numbers from 0 to 23"),
    (",".join(["٣"] * 16), "whole numbers from 0 to 23"),
])  # fmt: skip
def test_a_link_with_wrong_codes_is_a_sentence(asked: str, said: str, opened: Any) -> None:
    app = opened("codebook", "coded", codes=asked)
    assert [error.value for error in app.error if said in error.value]
    assert (
        app.query_params["codes"].count(",") == 15 and app.query_params["codes"] != asked
    )  # the page goes on with codes that are


def test_every_look_says_what_it_shows(opened: Any) -> None:
    app = opened("codebook", "coded")
    look = app.button_group[0]
    assert len(app.get("plotly_chart")) == 4
    look.set_value("Dictionary").run()
    assert not app.exception and len(app.get("plotly_chart")) == 1
    assert any("nearest neighbours" in text.value for text in app.markdown)
    look.set_value("Rate").run()
    assert not app.exception
    table = app.dataframe[0].value
    assert {"PNG", "JPEG", "codes, by frequency"} <= set(table["way"])
    assert "python -m trainer stage code_prior" in app.code[0].value and "coded" in app.code[0].value


def test_a_sick_codebook_is_a_warning(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = np.full(24, 9)
    monkeypatch.setattr(trainer.CodeCounts, "usage", property(lambda self: usage))
    assert not opened("codebook", "coded").warning
    usage[10:] = 0
    app = opened("codebook", "coded")
    assert "10 of 24 codes are in use, 14 are dead" in app.warning[0].value and not app.error


def test_where_the_data_are_not_here_one_draws(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs.Run, "images_are_here", False)
    monkeypatch.setattr(runs.Run, "images_were_fetched", False)
    app = opened("codebook", "coded")
    assert app.selectbox[0].value == "Draw" and "codes" in app.query_params
    before = app.query_params["codes"]
    app.number_input[0].set_value(5).run()
    assert app.query_params["codes"] != before
    app.selectbox[0].set_value("Picture").run()
    assert not app.exception
    assert any("python -m trainer fetch digits" in info.value for info in app.info)
    look = app.button_group[0]
    for name in ("Dictionary", "Rate"):
        look.set_value(name).run()
        assert not app.exception
        assert any("fetch digits" in caption.value for caption in app.caption)


def test_a_waveform_can_be_heard(opened: Any) -> None:
    app = opened("codebook", "waves")
    assert [caption.value for caption in app.caption if caption.value in ("Original", "Decode")] == [
        "Original",
        "Decode",
    ]
    assert len(app.get("audio")) == 2


def test_waveforms_are_called_by_their_name(opened: Any) -> None:
    app = opened("codebook", "waves")
    look = app.button_group[0]
    look.set_value("Dictionary").run()
    assert any("the samples around its cell, in test waveforms" in text.value for text in app.markdown)
    labels = [label for image in app.get("image") for label in image.captions]
    assert "waveform 0" in labels and not any("image" in label for label in labels)
    look.set_value("Rate").run()
    assert "bits per waveform" in app.dataframe[0].value


@pytest.mark.parametrize("samples", [1, 16, 48, 64, 3000])
def test_a_waveform_of_any_length_has_room_for_its_label(samples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[np.ndarray, int]] = []
    monkeypatch.setattr(code_looks.st, "image", lambda image, width, **more: shown.append((image, width)))
    wave = np.arange(samples) % 2 * 255
    code_looks._strip([wave.astype(np.uint8)[None, :, None], None], ["94 · 0.02", "95 · 0.03"])
    ((image, width),) = shown
    assert width == 96 and image.shape == (96, 192, 1)
    assert (image.max(0) == 255).all()


def test_bits_are_written_with_their_thousands_apart(opened: Any) -> None:
    app = opened("codebook", "coded")
    app.button_group[0].set_value("Rate").run()
    columns = json.loads(app.dataframe[0].proto.columns)
    assert columns["bits per image"]["type_config"]["format"] == "localized"


def test_samples_of_codes_say_what_they_are(opened: Any, folder: Path) -> None:
    app = opened("samples", "coded")
    assert "no sample of the" in app.info[0].value and "code\\_prior" in app.info[0].value
    z, images = app.session_state["code samples"][1]
    assert z["codes"].shape == (64, 4, 4) and images.shape == (64, 8, 8, 1)
    model = trainer.load(folder / "coded")
    with torch.no_grad():
        assert np.abs(trainer.to_bytes(model.decode(z)).astype(int) - images).max() <= 1
    app.number_input[0].set_value(9).run()
    assert not torch.equal(app.session_state["code samples"][1][0]["codes"], z["codes"])


def test_reconstruct_opens_for_codes(opened: Any) -> None:
    app = opened("reconstruct", "coded")
    table = next(text.value for text in app.markdown if "| Reconstruction |" in text.value)
    assert "commitment" in table and "squared distance" in table and "ELBO" not in table
    assert app.button(key="explore/coded").label == "Explore its latent"
