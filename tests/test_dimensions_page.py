"""The page Dimensions: its computations against what is known beforehand, its states by script, and in a browser."""

from __future__ import annotations

import math
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from classed import save_conditional
from coded import run_of, save_coded
from commandline import call
from conftest import ROOT, served
from playwright.sync_api import Page, expect
from scripts import open_at
from streamlit.testing.v1 import AppTest
from trainings import until

import trainer
from explorer import dimension_figures, dimension_looks, dimension_scores, dimensions
from explorer.dimension_scores import ABOUT, Scoring
from explorer.dimensions import Encoded, Known
from explorer.opened import Run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints with known factors, without them, with many dimensions, of waveforms, without its images, and with
    none.
    """
    place = tmp_path_factory.mktemp("checkpoints")
    tiny = ("--hidden", 16, "--steps", 40, "--batch", 32, "--device", "cpu")
    for name, data, latents in (("sprites", "sprites", 3), ("digits", "digits", 4), ("wide", "digits", 15)):
        size = 1000 if data == "sprites" else 300
        assert call("train", "vae", "--data", data, "--size", size, "--latents", latents, *tiny,
                    "--out", place / name) == 0  # fmt: skip
    assert call("train", "vae", "--data", "vowels", "--size", 60, "--latents", 2, *tiny, "--out", place / "waves") == 0
    save_conditional(place / "conditional", steps=30)
    save_coded(place / "coded")
    for name in ("vae-mnist", "ladder-mnist"):
        shutil.copytree(ROOT / "checkpoints" / name, place / name)
    return place


@pytest.fixture(scope="module")
def digits(folder: Path) -> Run:
    return run_of(folder / "digits")


@pytest.fixture
def opened(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.setenv("CHECKPOINTS", str(folder))
    monkeypatch.setenv("LATENT_EXPLORER_HOME", str(tmp_path))
    return open_at


# -- functions ---------------------------------------------------------------------------------------------------------


def test_what_is_measured_is_that_of_the_test_images(digits: Run) -> None:
    found = dimensions.from_images(digits, "z")
    x = digits.images.batch(torch.arange(len(digits.images)))
    with torch.no_grad():
        mean, log_var = digits.model.posterior(x)
        kl = torch.distributions.kl_divergence(
            torch.distributions.Normal(mean, (0.5 * log_var).exp()), torch.distributions.Normal(0.0, 1.0)
        )
    np.testing.assert_allclose(found.means, mean.numpy(), atol=1e-5)
    assert found.kl is not None
    np.testing.assert_allclose(found.kl, kl.mean(0).numpy(), rtol=1e-4)
    assert found.order == np.argsort(-kl.mean(0).numpy()).tolist()
    assert found.whole is not None and found.whole.kl == pytest.approx(float(kl.sum(1).mean()), rel=1e-4)
    assert found.count == len(digits.images) and f"{found.count} test images" in found.source


def test_a_histogram_is_a_density_over_all_codes() -> None:
    means = np.random.default_rng(0).normal(0, [1.0, 3.0], (5000, 2))
    found = Encoded("z", means, None, means.var(0), means.var(0), "nats", None, "", "")
    assert found.edges[0] <= means.min() and found.edges[-1] >= means.max()
    for dim in range(2):
        assert found.density(dim).sum() * np.diff(found.edges)[0] == pytest.approx(1)
    assert found.order == [1, 0]
    assert found.density(0).max() == pytest.approx(1 / math.sqrt(2 * math.pi), abs=0.08)


def test_the_prior_is_standard_or_that_of_the_classes(digits: Run, folder: Path) -> None:
    x = np.linspace(-8, 8, 801)
    normal = torch.distributions.Normal(0.0, 1.0).log_prob(torch.tensor(x)).exp().numpy()
    np.testing.assert_allclose(dimensions.prior_density(digits, "z", x)[:, 0], normal, atol=1e-6)
    run = run_of(folder / "conditional")
    found = dimensions.prior_density(run, "z", x)
    assert found.shape == (801, 4)
    np.testing.assert_allclose(found.sum(0) * (x[1] - x[0]), 1, atol=1e-3)
    with torch.no_grad():
        drawn = run.model.sample(20_000, generator=torch.Generator().manual_seed(0))["z"].numpy()
    np.testing.assert_allclose((x[:, None] * found).sum(0) * (x[1] - x[0]), drawn.mean(0), atol=0.05)


def test_a_summary_stands_in_for_images(folder: Path) -> None:
    run = run_of(folder / "ladder-mnist")
    for part, kind in run.gaussian.items():
        found = dimensions.from_summary(run, part)
        assert found.means.shape == (run.points, kind.dims) and found.whole is None
        np.testing.assert_array_equal(found.importance, run.summary.arrays[f"kl/{part}"])
        place = [run.dims.index(trainer.dimension_name(part, dim)) for dim in range(kind.dims)]
        np.testing.assert_allclose(found.means, run.summary.arrays["points"][:, place].astype(np.float32))


def test_a_strip_is_what_the_dimension_does(digits: Run) -> None:
    (strip,) = dimensions.strips(digits, "z", [2])
    z = torch.zeros(1, 4)
    z[0, 2] = 3.0
    assert strip.shape == (8, dimensions.STOPS * 9 - 1, 1)
    np.testing.assert_array_equal(strip[:, -8:], digits.decode({"z": z})[0])


def known_of(codes: np.ndarray, factors: np.ndarray) -> Known:
    table = trainer.FactorTable(codes, factors, ("across", "down"))
    rotation = trainer.rotation_of(codes, factors)
    return Known(table, ["z2", "z5"], trainer.factor_information(table), [0, 1], rotation, "")


def test_the_rotation_check_says_the_angle_in_words() -> None:
    factors = np.repeat(np.stack(np.meshgrid(range(10), range(10)), -1).reshape(-1, 2), 40, axis=0)
    codes = (factors - 4.5) / 2.9 + np.random.default_rng(0).normal(0, 0.05, factors.shape)
    turn = np.deg2rad(30)
    turned = codes @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    found = known_of(turned, factors)
    said = dimensions.turns_said(found)
    assert said[0].startswith("z2 and z5 turned by ")
    assert int(said[0].split("by ")[1].split("°")[0].replace("−", "-")) == pytest.approx(30, abs=2)
    assert "nats more of across" in said[0] and "nats more of down" in said[0]
    assert found.turned.max(0).min() > 2.1 > found.information.max()  # nearly ln 10 of both, once turned
    figure = dimension_figures.information(found.turned, ["z2′", "z5′"], found.table.names, 4000, found.most)
    assert figure.data[0].zmax == pytest.approx(found.turned.max())
    assert figure.data[1].text[0] == f"{found.turned[0, 0]:.2f}"
    (nothing,) = dimensions.turns_said(known_of(codes, factors))
    assert nothing.startswith("No turn of two active dimensions is worth 0.05 nats")


def test_scores_come_from_a_thread_with_the_time_left(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dimension_scores, "TRAIN", 60)
    monkeypatch.setattr(dimension_scores, "TEST", 30)
    scoring = Scoring(run_of(folder / "sprites"))
    assert scoring.is_over and scoring.found is None
    scoring.start()
    assert until(lambda: scoring.found or scoring.problem) and not scoring.problem
    assert scoring.is_over and scoring.found is not None
    assert list(scoring.found.values) == list(ABOUT)
    assert "Learned on 60 images" in scoring.found.how and "10 rounds" in scoring.found.how
    table = dimension_looks._table(scoring.found)
    assert "chance 0.20" in table and f"| MIG | {scoring.found.values['MIG']:.2f} |" in table


def test_factors_are_there_once_the_images_are(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here: list[bool] = []
    monkeypatch.setattr(Run, "images_are_here", property(lambda self: bool(here)))
    run = run_of(folder / "sprites")
    assert run.factors is None
    here.append(True)
    assert run.factors is not None and len(run.factors[0]) == run.factors[1].shape[1]


def test_scores_that_nobody_wants_end(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(run: Run, track: Any) -> None:
        for _ in track([1, 2]):
            begun.set()
            go_on.wait(60)
        raise AssertionError("a step came after the end")

    monkeypatch.setattr(dimension_scores, "compute", slow)
    scoring = Scoring(run_of(folder / "sprites"))
    scoring.start()
    thread = scoring._thread
    assert thread is not None and begun.wait(60) and not scoring.is_over
    scoring.close()
    go_on.set()
    thread.join(60)
    assert scoring.is_over and scoring.found is None and not scoring.problem
    monkeypatch.setattr(dimension_scores, "compute", lambda run, track: dimension_scores.Scores({}, "", 1.0, ()))
    scoring.start()
    assert until(lambda: scoring.found)


def test_the_time_left_goes_by_how_much_work_a_step_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, *[10.0 * second for second in range(60)]])
    monkeypatch.setattr(dimension_scores.time, "monotonic", lambda: next(clock))
    scoring = Scoring(run_of(folder / "sprites"))
    scoring._thread = threading.current_thread()
    said = []
    for _ in scoring._track([trainer.ScoreStep(name, work, int) for name, work in (("MIG", 1.0), ("SAP of x", 3.0))]):
        said.append((scoring._share, scoring._doing, scoring._left))
    assert said[0][:2] == (0, "MIG") and math.isnan(said[0][2])
    assert said[1] == (0.25, "SAP of x", 30.0)  # a quarter of the work took 10 s


# -- states ------------------------------------------------------------------------------------------------------------


def words(app: Any) -> str:
    return "\n".join(each.value for kind in (app.caption, app.markdown) for each in kind).replace("\\", "")


def test_a_model_of_images_with_factors(opened: Any) -> None:
    app = opened("dimensions", "sprites")
    assert not app.error
    said = words(app)
    assert "100 test images of sprites" in said and "Rotation check" in said
    assert "orientation is not identifiable from one image" in said
    assert [metric.label for metric in app.metric] == [
        "KL", "mutual information", "total correlation", "dimension-wise KL",
    ]  # fmt: skip
    assert any(button.label == "Compute all six metrics" for button in app.button)


def test_data_without_factors_are_told_so(opened: Any) -> None:
    app = opened("dimensions", "digits")
    assert "come without known factors" in words(app) and not app.button
    assert 1 <= len(app.get("plotly_chart")) <= 4
    assert len(app.metric) == 4 and not app.error


def test_of_waveforms_there_are_dimensions_called_by_their_name_and_no_pictures_that_move(opened: Any) -> None:
    app = opened("dimensions", "waves")
    said = words(app) + "".join(metric.help or "" for metric in app.metric)
    assert "test waveforms of vowels" in said and "The waveforms of vowels come" in said
    assert " images" not in said and len(app.metric) == 4 and not app.error
    assert [opened(page, "waves").text[0].value for page in ("traversals", "paths")] == ["does not fit"] * 2


def parts_of(**whole: float) -> None:
    from types import SimpleNamespace

    from explorer import dimension_looks

    run: Any = SimpleNamespace(kind="image", has_density=True)
    found: Any = SimpleNamespace(count=9 if whole else 1, whole=SimpleNamespace(**whole) if whole else None)
    dimension_looks.parts(run, found)


def test_of_one_image_the_kl_cannot_be_taken_apart(digits: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dimensions, "IMAGES", 1)
    assert dimensions.from_images(digits, "z").whole is None
    app = AppTest.from_function(parts_of).run()
    assert "where two test images or more are here" in words(app) and not app.metric and not app.exception


def test_a_part_that_is_rounded_to_zero_has_no_sign() -> None:
    whole = {"kl": 0.0, "mutual_information": 0.0, "total_correlation": -0.0004, "dimension_wise": -0.02}
    app = AppTest.from_function(parts_of, kwargs=whole).run()
    assert not app.exception
    assert [metric.value for metric in app.metric] == ["0.00 nats", "0.00 nats", "0.00 nats", "−0.02 nats"]


def test_of_many_dimensions_a_person_says_how_many(opened: Any) -> None:
    app = opened("dimensions", "wide")
    before = len(app.get("plotly_chart"))
    assert before <= 12 and before == app.slider[0].value
    app.slider[0].set_value(15).run()
    assert len(app.get("plotly_chart")) == 15 and not app.exception


def test_without_its_images_a_checkpoint_shows_what_it_came_with(opened: Any) -> None:
    app = opened("dimensions", "vae-mnist")
    assert "python -m trainer fetch mnist" in words(app) and "as the checkpoint came" in words(app)
    assert len(app.get("plotly_chart")) == 12 and not app.metric and not app.error


def test_a_level_of_several_is_chosen(opened: Any) -> None:
    app = opened("dimensions", "ladder-mnist")
    space = trainer.load(trainer.root() / "ladder-mnist").space
    assert app.selectbox[0].options == list(space)
    for part, kind in space.items():
        app.selectbox[0].set_value(part).run()
        assert not app.exception and f"of {kind.dims} dimensions are shown" in words(app)


def test_a_class_prior_is_drawn_and_codes_do_not_fit(opened: Any) -> None:
    app = opened("dimensions", "conditional")
    assert len(app.get("plotly_chart")) >= 1 and not app.error
    assert opened("dimensions", "coded").text[0].value == "does not fit"


# -- in a browser ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dimensions_app(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(tmp_path_factory.mktemp("home"), CHECKPOINTS=str(folder)) as url:
        yield url


def test_factors_are_seen_and_scores_come_at_a_click(page: Page, dimensions_app: str) -> None:
    page.goto(f"{dimensions_app}/dimensions?checkpoint=sprites")
    expect(page.get_by_text("Mutual information in nats, over 100 test images")).to_be_visible(timeout=90_000)
    assert page.locator(".heatmaplayer image").count() == 1
    button = page.get_by_role("button", name="Compute all six metrics")
    button.click()
    table = page.get_by_role("cell", name="DCI completeness")
    expect(table.or_(page.get_by_role("button", name="Cancel"))).to_be_visible()
    expect(table).to_be_visible(timeout=90_000)
    expect(page.get_by_text("rounds of gradient boosting")).to_be_visible()
    wide = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert wide[0] <= wide[1]
