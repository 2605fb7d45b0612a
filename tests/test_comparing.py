"""What the page Compare shows: tables that say their settings, the plane of rate and distortion, two side by side."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from classed import save_conditional, save_semi_supervised
from coded import run_of
from commandline import call

import trainer
from explorer import comparing, distortion, sides
from explorer.comparing import BOUNDS, DECODES, DIMENSIONS, TERMS, Measured
from explorer.distortion import NATS, SQUARED
from trainer import evaluation
from trainer.data import Images
from trainer.linear import rate_distortion

EIGENVALUES = np.array([9, 4, 1, 0.5, 0.25, 0.25])
TINY = ("--data", "digits", "--latents", 3, "--device", "cpu")


def measured_of(folder: Path) -> Measured:
    return comparing.measured(trainer.describe(folder), trainer.load(folder), trainer.load_summary(folder))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two of exact likelihood, of which one was evaluated twice as long, one of grey and one of binarised pixels."""
    place = tmp_path_factory.mktemp("checkpoints")
    for name, latents in (("few", 3), ("more", 8)):
        assert call("train", "ppca", "--data", "digits", "--latents", latents, "--out", place / name) == 0
    short = (*TINY, "--hidden", 16, "--steps", 20)
    assert call("train", "vae", *short, "--out", place / "grey") == 0
    assert call("train", "iwae", *short, "--binarise", "dynamic", "--out", place / "black-white") == 0
    assert call("train", "autoencoder", *short, "--out", place / "plain") == 0
    for name, samples, images in (("few", 20, 30), ("more", 20, 30), ("grey", 60, 30), ("black-white", 20, 40)):
        assert call("evaluate", place / name, "--samples", samples, "--images", images) == 0
    assert call("evaluate", place / "plain", "--images", 30) == 0
    return place


@pytest.fixture(scope="module")
def known(folder: Path) -> list[Measured]:
    return [measured_of(found.path) for found in trainer.checkpoints(folder)]


# -- tables ------------------------------------------------------------------------------------------------------------


def test_lines_compare_only_within_data_quantity_and_likelihood(known: Sequence[Measured]) -> None:
    settings = comparing.settings(comparing.rows(TERMS, known))
    assert settings == {
        "digits: log p(x), Gaussian": 2,
        "digits: log p(x), Bernoulli, binarised": 1,
        "digits: log p(x), Bernoulli, pixels as they are": 1,
        "digits: reconstruction in squared distance": 1,
    }
    assert next(iter(settings)) == "digits: log p(x), Gaussian"  # the one with most to compare


def test_bounds_of_other_draws_and_images_share_no_column_or_say_so(known: Sequence[Measured]) -> None:
    lines = comparing.rows(BOUNDS, known)
    table = comparing.columns(lines)
    names = list(table)
    assert names[names.index("L_5") : names.index("L_60") + 2] == ["L_5", "L_20", "± L_20", "L_50", "L_60", "± L_60"]
    by_name = dict(zip(table["checkpoint"], table["L_60"], strict=True))
    assert by_name["grey"] is not None and by_name["few"] is None
    assert dict(zip(table["checkpoint"], table["images"], strict=True)) == {
        "few": "30 of 179 images, seed 0", "more": "30 of 179 images, seed 0", "grey": "30 of 179 images, seed 0",
        "black-white": "40 of 179 images, seed 0",
    }  # fmt: skip
    assert len(comparing.settings(lines)) == 3
    with_exact = [name for name, value in zip(table["checkpoint"], table["exact"], strict=True) if value is not None]
    assert sorted(with_exact) == ["few", "more"]


def test_figures_are_numbers_in_a_column_of_their_unit(known: Sequence[Measured]) -> None:
    table = comparing.columns(comparing.rows(TERMS, known))
    for name in ("ELBO", "± ELBO", "reconstruction", "KL", "squared distance", "parameters", "active"):
        assert all(value is None or isinstance(value, int | float) for value in table[name])
    row = table["checkpoint"].index("plain")
    assert table["ELBO"][row] is None and table["reconstruction"][row] is None
    assert isinstance(table["squared distance"][row], float)
    few = table["checkpoint"].index("few")
    summary = trainer.load_summary(known[few].checkpoint.path).arrays
    assert table["ELBO"][few] == pytest.approx(-float(summary["mean/loss"]))


def test_what_is_given_the_class_stands_in_a_line_of_its_own(tmp_path: Path) -> None:
    save_conditional(tmp_path / "conditional", steps=5)
    save_semi_supervised(tmp_path / "told", 40)
    assert call("evaluate", tmp_path / "conditional", "--samples", 2, "--images", 5) == 0
    found = [measured_of(tmp_path / name) for name in ("conditional", "told")]
    told = ", Bernoulli, pixels as they are"
    assert [row.cells["measured"] for row in comparing.rows(TERMS, found)] == [
        f"log p(x|y){told}",
        f"log p(x, y){told}",
    ]
    lines = comparing.rows(BOUNDS, found)
    assert [row.cells["measured"] for row in lines] == [f"log p(x){told}", f"log p(x|y){told}"]
    assert len(comparing.settings(lines)) == 2 and len(distortion.planes(found)) == 2


def test_dimensions_of_an_evaluation(known: Sequence[Measured]) -> None:
    table = comparing.columns(comparing.rows(DIMENSIONS, known))
    assert len(table["checkpoint"]) == 5 and "total correlation, 179 images" in table


def test_decodes_of_any_model_are_in_one_table(known: Sequence[Measured]) -> None:
    lines = comparing.rows(DECODES, known)
    table = comparing.columns(lines)
    assert sorted(str(name) for name in table["checkpoint"]) == ["black-white", "few", "grey", "more", "plain"]
    assert comparing.settings(lines) == {
        "digits: 30 of 179 images, seed 0": 4, "digits: 40 of 179 images, seed 0": 1,
    }  # fmt: skip
    plain = next(each for each in known if each.name == "plain")
    assert plain.evaluation is not None and not plain.evaluation.bounds
    error = plain.evaluation.decoded["squared error"]
    row = table["checkpoint"].index("plain")
    assert table["squared error, ×10⁻³"][row] == pytest.approx(1000 * error.value)
    assert table["± squared error, ×10⁻³"][row] == pytest.approx(1000 * error.error)


def test_a_damaged_evaluation_is_a_problem_of_its_own(folder: Path, tmp_path: Path) -> None:
    assert call("train", "ppca", *TINY[:4], "--out", tmp_path / "broken") == 0
    (tmp_path / "broken" / evaluation.FILE).write_text("{")
    found = measured_of(tmp_path / "broken")
    assert found.evaluation is None and "Evaluate again" in found.problem
    assert comparing.rows(BOUNDS, [found]) == [] and comparing.rows(TERMS, [found])[0].cells["ELBO"] is not None


# -- rate and distortion -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("beta", "rate", "lost"), [(1, 2.831480, 2.5), (4, 1.098612, 6), (8, 0.405465, 10), (20, 0, 15)]
)
def test_water_filling_is_the_linear_beta_vae(beta: float, rate: float, lost: float) -> None:
    found, distorted = rate_distortion(torch.from_numpy(EIGENVALUES), torch.tensor([beta * 0.5]))
    assert float(found) == pytest.approx(rate, abs=1e-6) and float(distorted) == pytest.approx(lost)


def test_the_curve_falls_by_its_level_per_nat() -> None:
    """dD/dR = −2t: the slope at β = 1 is that at which rate and distortion / 2v trade evenly."""
    rate, lost = distortion.curve(EIGENVALUES, 5.0, 4000)
    assert rate[0] == 0 and lost[0] == pytest.approx(15) and rate[-1] == pytest.approx(5, abs=1e-6)
    assert (np.diff(rate) >= 0).all() and (np.diff(lost) <= 0).all()
    slope = np.diff(lost) / np.diff(rate)
    at = np.searchsorted(rate, 2.831480)
    assert slope[at] == pytest.approx(-2 * 0.5, rel=0.01)


def test_the_eigenvalues_are_those_of_the_covariance() -> None:
    for n in (40, 6):  # more images than pixels, and fewer
        pixels = torch.randint(0, 255, (n, 1, 3, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
        found = distortion.spectrum(Images("some", pixels))
        assert found is not None
        wanted = np.linalg.eigvalsh(np.cov(pixels.flatten(1).numpy() / 255, rowvar=False, bias=True))[::-1]
        np.testing.assert_allclose(found, wanted[: len(found)], atol=1e-9)
        assert (np.abs(wanted[len(found) :]) < 1e-9).all()


def test_no_linear_model_is_below_the_curve_and_ppca_is_near(known: Sequence[Measured]) -> None:
    some = distortion.planes(known)["digits: log p(x), Gaussian"]
    placed = {point.name: point for point in distortion.points(some, SQUARED)}
    eigenvalues = distortion.spectrum(some[0].checkpoint.config.data.load("test"))
    assert eigenvalues is not None
    for each in some:
        point = placed[each.name]
        rate, lost = distortion.curve(eigenvalues, 2 * point.rate, 2000)
        least = float(np.interp(point.rate, rate, lost))
        assert least < point.distortion < 1.5 * least


@torch.no_grad()
def test_squared_error_is_that_of_draws(folder: Path, known: Sequence[Measured]) -> None:
    """−log p(x|z) by the model's σ, turned back, is E‖x − g(z)‖² measured directly."""
    (point,) = distortion.points([each for each in known if each.name == "few"], SQUARED)
    model = trainer.load(folder / "few")
    x = trainer.describe(folder / "few").config.data.load("test").batch(torch.arange(179))
    z, _ = model.infer(x, 400, generator=torch.Generator().manual_seed(0))
    error = (x.flatten(1) - model.mean_image(z["z"])).square().sum(2).mean()
    assert point.distortion == pytest.approx(float(error), rel=0.01)


def test_a_plane_in_nats_keeps_the_terms(known: Sequence[Measured]) -> None:
    some = [each for each in known if each.name in ("grey", "plain")]
    planes = distortion.planes(some)
    assert [[each.name for each in shared] for shared in planes.values()] == [["grey"]]  # no KL, no rate
    (point,) = distortion.points(planes.popitem()[1], NATS)
    grey = next(each for each in some if each.name == "grey")
    assert point.rate + point.distortion == pytest.approx(grey.terms["loss"][0], rel=1e-5)
    assert distortion.points([grey], SQUARED) == []
    drawn = distortion.figure([point], NATS, None)
    dashed = drawn.data[0]
    assert dashed.x[1] + dashed.y[1] == pytest.approx(point.rate + point.distortion)


def test_a_plane_of_many_points_has_no_legend_of_them(known: Sequence[Measured]) -> None:
    grey = next(each for each in known if each.name == "grey")
    renamed = [
        dataclasses.replace(grey, checkpoint=dataclasses.replace(grey.checkpoint, path=Path(f"beta{beta}")))
        for beta in sorted(range(1, 14), key=str)
    ]
    placed = distortion.points(renamed, NATS)
    assert [point.name for point in placed] == [f"beta{beta}" for beta in range(1, 14)]
    for count, named in ((12, True), (13, False)):
        line, *marks = distortion.figure(placed[:count], NATS, None).data
        assert line.showlegend is None and [mark.showlegend for mark in marks] == count * [named]


# -- side by side ------------------------------------------------------------------------------------------------------


def test_both_sides_see_the_same_images(folder: Path) -> None:
    runs = [run_of(folder / name) for name in ("few", "grey")]
    images = runs[0].images
    numbers = sides.drawn(images, 3)
    assert len(set(numbers.tolist())) == 8 and (numbers == sides.drawn(images, 3)).all()
    assert (numbers != sides.drawn(images, 4)).any()
    x = images.batch(torch.from_numpy(numbers))
    both = [sides.side(run, x, 3) for run in runs]
    for run, each in zip(runs, both, strict=True):
        assert each.reconstructions is not None and each.error is not None and each.elbo is not None
        with torch.no_grad():
            back = run.model.decode(run.model.encode(x))
        np.testing.assert_array_equal(each.reconstructions, trainer.to_bytes(back))
        np.testing.assert_allclose(each.error, (back - x).square().sum((1, 2, 3)), rtol=1e-5)
        np.testing.assert_array_equal(each.samples, run.decode(run.sample(3, 8)))
    with torch.no_grad():  # of an exact posterior the ELBO is the evidence
        np.testing.assert_allclose(both[0].elbo, runs[0].model.log_evidence(x), atol=1e-2)
    table = sides.columns(numbers, both)
    assert list(table) == ["test image", "ELBO, few", "ELBO, grey", "error, few", "error, grey"]
    assert "do not compare" in sides.caution(both)


def test_what_has_no_elbo_is_said(folder: Path) -> None:
    images = run_of(folder / "few").images
    x = images.batch(torch.from_numpy(sides.drawn(images, 0)))
    few, plain = (sides.side(run_of(folder / name), x, 0) for name in ("few", "plain"))
    assert plain.elbo is None and plain.prior == "a Gaussian fitted to the codes"
    assert sides.caution([few, plain]) == "plain has no ELBO; errors compare."
    more = sides.side(run_of(folder / "more"), x, 0)
    assert sides.caution([few, more]) == "Both ELBOs bound log p(x), Gaussian."


def test_only_pictures_of_one_size_stand_side_by_side(folder: Path) -> None:
    found = trainer.checkpoints(folder)
    assert sides.comparable(found) == found
    assert sides.comparable(found[:1]) == []


def test_a_mean_over_images_has_a_finite_error(known: Sequence[Measured]) -> None:
    for point in distortion.points([each for each in known if each.bounded], NATS):
        assert 0 < point.rate_error < math.inf and 0 < point.distortion_error < math.inf
