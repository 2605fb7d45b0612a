"""The page Formulas: its numbers against the model's own, its states by script, its formulas in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from classed import DIGITS, save_conditional, save_mixture, save_semi_supervised
from coded import run_of, save_coded
from commandline import call
from conftest import served
from playwright.sync_api import Page, expect
from scripts import open_at
from streamlit.testing.v1 import AppTest

from explorer import formula_figures, formulas
from explorer.opened import Run
from trainer import Piece
from trainer.trainable import Trainable

SMALL = (*DIGITS, "--hidden", 16, "--latents", 3, "--steps", 20, "--batch", 32)
HIERARCHY = (*DIGITS, "--hidden", 16, "--latents", 4, 2, "--steps", 20, "--batch", 32, "--free-bits", 0.5)
TRAINED = {
    "capacity": ("beta_vae", *SMALL, "--capacity", 5),
    "beta": ("beta_vae", *SMALL, "--beta", 3, "--likelihood", "gaussian"),
    "correlated": ("tc_vae", *SMALL),
    "weighted": ("iwae", *SMALL),
    "levels": ("hierarchical_vae", *HIERARCHY),
    "components": ("ppca", *DIGITS, "--latents", 3),
    "hidden": ("quadrant", *DIGITS, "--hidden", 16, "--latents", 3, "--steps", 5),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("checkpoints")
    for name, command in TRAINED.items():
        assert call("train", *command, "--out", place / name) == 0
    save_conditional(place / "conditional", steps=20)
    save_semi_supervised(place / "told", 40)
    save_mixture(place / "mixture", 4)
    save_coded(place / "codes")
    return place


def image_of(run: Run, number: int = 3) -> np.ndarray:
    return np.asarray(run.picture(number), np.float32) / 255


# -- numbers -----------------------------------------------------------------------------------------------------------


def test_a_sum_with_a_weight(folder: Path) -> None:
    run = run_of(folder / "beta")
    image = image_of(run)
    reconstruction, kl = (written := formulas.write(run, image)).rows
    x = torch.from_numpy(image).permute(2, 0, 1)[None]
    with torch.no_grad():
        mean, log_var = run.model.posterior(x)
        nats = 0.5 * (mean.square() + log_var.exp() - log_var - 1)[0]
        error = (x - run.model.out({"z": mean})).square().sum() / (2 * 0.1**2)
    assert kl.symbols == {r"\beta": 3} and kl.value == pytest.approx(3 * float(nats.sum()), rel=1e-4)
    assert reconstruction.symbols == pytest.approx({r"\sigma": 0.1, "D": 64})
    normaliser = 32 * np.log(2 * np.pi * 0.01)
    assert reconstruction.value - normaliser > float(error)  # z's noise costs more than its mean
    assert written.value == pytest.approx(written.loss, rel=1e-5) and written.batch == 1 and written.unit == "nats"
    ((name, dims, values),) = formulas.by_dimension(written)
    assert name == "kl/z" and values == pytest.approx(np.sort(nats.numpy())[::-1], rel=1e-4)
    assert dims == [f"z{dim}" for dim in nats.argsort(descending=True)]
    (bars,) = formula_figures.dimensions(written).data
    assert list(bars.x) == dims


def test_the_error_of_a_sum_is_that_of_its_draws(folder: Path) -> None:
    run = run_of(folder / "beta")
    image = image_of(run)
    written = formulas.write(run, image)
    x = torch.from_numpy(image).permute(2, 0, 1)[None]
    with torch.no_grad():
        mean, log_var = run.model.posterior(x)
        noise = torch.randn(20_000, mean.shape[1], generator=torch.Generator().manual_seed(1))
        out = run.model.out({"z": mean + (log_var / 2).exp() * noise})
    costs = (x - out).square().flatten(1).sum(1).double().numpy() / (2 * 0.1**2) + 32 * np.log(2 * np.pi * 0.01)
    assert written.rows[0].value == pytest.approx(costs.mean(), abs=4 * written.error)
    assert written.error == pytest.approx(costs.std() / np.sqrt(formulas.DRAWS), rel=0.15)
    assert f" ± {formulas.digits(written.error, 'nats')} nats |" in formulas.table(written)


def test_an_exact_model_has_an_exact_sum(folder: Path) -> None:
    run = run_of(folder / "components")
    image = image_of(run)
    with torch.no_grad():
        exact = float(run.model.log_evidence(torch.from_numpy(image).permute(2, 0, 1)[None]))
    written = formulas.write(run, image)
    assert written.value == pytest.approx(-exact, rel=1e-3) and "±" not in formulas.table(written)


def test_an_image_that_depends_on_others_is_the_first_of_a_batch(folder: Path) -> None:
    run = run_of(folder / "correlated")
    written, other = (formulas.write(run, image) for image in (image_of(run), np.full((8, 8, 1), 0.3, np.float32)))
    assert written.batch == run.numbers == other.batch - 1 < formulas.TOGETHER  # no image is in the batch twice
    assert written.mean == pytest.approx(written.loss, rel=1e-5)
    assert written.value != pytest.approx(written.mean, rel=1e-5)
    assert written.rows[1].value == pytest.approx(float(written.dims["kl/z"].sum()), rel=1e-4)
    lines = formulas.table(written).splitlines()
    assert lines[0].split(" | ")[-2:] == ["this picture", f"mean over the {run.numbers} |"]
    assert lines[-1].endswith(f" | {formulas.number(written.loss, 'nats')} |")


@pytest.mark.parametrize("name", [*TRAINED, "mixture", "conditional", "told"])
def test_the_pieces_sum_to_the_loss(name: str, folder: Path) -> None:
    run = run_of(folder / name)
    image = image_of(run) if run.numbers else np.full((8, 8, 1), 0.3, np.float32)
    written = formulas.write(run, image, 2 if run.model.labelled else None)
    assert written.mean == pytest.approx(written.loss, rel=1e-4, abs=1e-4)
    assert all(np.isfinite([row.value, row.mean]).all() for row in written.rows)


def test_what_training_adds_for_a_class_that_is_told_has_its_number(folder: Path) -> None:
    run = run_of(folder / "told")
    told, untold = (formulas.write(run, image_of(run), label) for label in (2, -1))
    with torch.no_grad():
        x = torch.from_numpy(image_of(run)).permute(2, 0, 1)[None].float()
        probability = float(run.model.encode(x)["y"][0, 2])
    (row,) = told.added
    assert row.value == pytest.approx(-run.model.options.classifier_weight * np.log(probability), rel=1e-3)
    assert row.symbols == {"w": run.model.options.classifier_weight} and "q(y" in row.latex
    assert told.value == pytest.approx(told.loss, rel=1e-4)  # it is no part of the sum
    assert not untold.added and not formulas.write(run_of(folder / "conditional"), image_of(run), 2).added


def test_an_image_that_is_not_told_its_class_has_another_objective(folder: Path) -> None:
    run = run_of(folder / "told")
    told, untold = (formulas.write(run, image_of(run), label) for label in (2, -1))
    assert told.rows[1].value == pytest.approx(np.log(10), abs=1e-4)
    assert 0 <= untold.rows[1].value < told.rows[1].value


def test_units_are_named() -> None:
    row = {"name": "one", "latex": "", "about": "", "symbols": {}, "value": 1.25, "mean": 1.25}
    rows = tuple(formulas.Row(**row, unit=unit) for unit in ("nats", "squared distance", "nats"))
    written = formulas.Written(rows, 3.75, 1, {})
    assert written.unit == "nats + squared distance" and written.value == 3.75
    assert formulas.table(written).splitlines()[-1] == "| **loss** | 3.75 nats + squared distance |"
    assert formulas.number(-1234.56, "nats") == "−1,234.6 nats" and formulas.digits(-0.00004, "nats") == "0.0"
    assert formulas.digits(-0.004, "nats") == "−0.0040" and formulas.digits(0.05, "nats") == "0.1"


# -- states ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def opened(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("CHECKPOINTS", str(folder))
    return open_at


def metrics(app: AppTest) -> list[str]:
    return [metric.value for metric in app.metric]


@pytest.mark.parametrize(("name", "pieces"), [
    ("beta", 2), ("capacity", 2), ("correlated", 3), ("weighted", 3), ("levels", 3), ("components", 2), ("mixture", 2),
    ("conditional", 2), ("told", 3), ("hidden", 2),
])  # fmt: skip
def test_every_model_opens(name: str, pieces: int, opened: Any, folder: Path) -> None:
    app = opened("formulas", name)
    assert not app.error and not app.warning
    assert len(app.latex) == len(app.metric) == pieces
    run = run_of(folder / name)
    label = app.selectbox[0].value if run.model.labelled else None
    wanted = formulas.write(run, image_of(run, app.number_input(key="sources/one").value), label)
    assert metrics(app) == [formulas.digits(row.value, row.unit) for row in wanted.rows]


def test_a_class_is_told(opened: Any) -> None:
    app = opened("formulas", "told")
    assert app.selectbox[0].value == -1
    before = metrics(app)
    app.selectbox[0].set_value(4).run()
    assert not app.exception and metrics(app) != before
    app = opened("formulas", "conditional")
    assert app.selectbox[0].value >= 0 and "not told" not in app.selectbox[0].options


def test_a_picture_is_brought(opened: Any) -> None:
    app = opened("formulas", "codes")
    app.radio(key="sources/kind").set_value("Upload").run()
    assert not app.exception and "appears here" in app.info[0].value and not app.latex


def test_a_loss_with_more_in_it_is_said(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(self: Trainable, terms: Any) -> list[Piece]:
        return [self.piece(terms, "x", "the first term alone", "reconstruction")]

    monkeypatch.setattr("trainer.models.mixture.Mixture.objective", half)
    app = opened("formulas", "mixture")
    app.number_input(key="sources/one").set_value(17).run()  # which no other test has looked at
    assert "more in it" in app.warning[0].value


# -- in a browser ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def formulas_app(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(tmp_path_factory.mktemp("home"), CHECKPOINTS=str(folder)) as url:
        yield url


def test_formulas_are_read_and_not_cut(page: Page, formulas_app: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    cut = "all => all.filter(e => e.scrollWidth > e.clientWidth + 3).map(e => e.textContent)"
    for name, pieces in (("beta", 2), ("weighted", 3), ("told", 3), ("levels", 3)):
        page.goto(f"{formulas_app}/formulas?checkpoint={name}")
        found = page.locator(".katex-display")
        expect(found).to_have_count(pieces, timeout=90_000)  # the server may still be importing torch
        expect(page.get_by_role("table")).to_be_visible()
        assert page.locator(".katex-error").count() == 0 and page.get_by_role("alert").count() == 0
        assert found.evaluate_all(cut) == []
