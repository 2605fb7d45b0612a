"""python -m trainer evaluate: figures that are known beforehand, and clear answers where there are none."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from classed import save_conditional, save_semi_supervised
from coded import save_coded
from commandline import call, refused
from cubes import cubes

from trainer import checkpoint, evaluating, evaluation, likelihood
from trainer.data import shuffled
from trainer.evaluating import Asked
from trainer.evaluation import Bounds, Evaluation
from trainer.models.semi_supervised import SemiSupervised
from trainer.models.vae import VAE, VAEOptions


@pytest.fixture
def ppca(tmp_path: Path) -> Path:
    folder = tmp_path / "ppca"
    assert call("train", "ppca", "--data", "digits", "--latents", 3, "--out", folder) == 0
    return folder


def read(folder: Path) -> Evaluation:
    found = evaluation.load(folder)
    assert found
    return found


def by_quantity(found: Evaluation) -> dict[str, Bounds]:
    return {bounds.of: bounds for bounds in found.bounds}


def test_of_an_exact_posterior_every_bound_is_the_evidence(ppca: Path, capsys: Any) -> None:
    assert call("evaluate", ppca, "--samples", 60, "--images", 40) == 0
    found = read(ppca)
    (bounds,) = found.bounds
    assert bounds.of == "log p(x)" and bounds.likelihood == "Gaussian" and bounds.images == 40
    assert list(bounds.figures) == ["ELBO", "L_5", "L_50", "L_60", "naive Monte Carlo", "exact"]
    assert found.not_scored == '"digits" has no known factors, which the scores compare latents with'
    exact = bounds.figures["exact"].value
    for name in ("ELBO", "L_5", "L_50", "L_60"):
        assert bounds.figures[name].value == pytest.approx(exact, abs=1e-2)
    assert bounds.figures["naive Monte Carlo"].value < exact - 0.3
    assert bounds.naive_ess is not None and 1 <= bounds.naive_ess.value < 30
    assert -sum(figure.value for figure in bounds.terms.values()) == pytest.approx(exact, abs=1e-2)
    assert bounds.ess is not None and bounds.ess.value == pytest.approx(60, rel=1e-3)
    assert found.digest == checkpoint.describe(ppca).digest and found.images == 40 and found.active == {"z": 3}
    parts = found.surgery
    whole = parts["mutual_information"] + parts["total_correlation"] + parts["dimension_wise"]
    assert whole == pytest.approx(parts["kl"], rel=0.2)
    said = capsys.readouterr().out
    for words in ("40 of 179 test images of digits", "L_60", "nats", "seed 0 here, 0 in training", "S = 60 here",
                  "that of naive Monte Carlo",
                  "estimator: exact", "p(x|z): Gaussian, σ fitted", "log p(x), Gaussian, 40 images"):  # fmt: skip
        assert words in said


@torch.no_grad()
def test_the_error_is_that_of_the_mean_over_images(ppca: Path) -> None:
    assert call("evaluate", ppca, "--samples", 1, "--images", 10_000) == 0
    found = read(ppca)
    x = checkpoint.describe(ppca).config.data.load("test").batch(torch.arange(179))
    each = checkpoint.load(ppca).log_evidence(x).double()  # type: ignore[operator]
    figure = found.bounds[0].figures["exact"]
    assert found.images == found.available == 179
    assert found.measured_on == "all 179 test images of digits"
    assert figure.value == pytest.approx(float(each.mean()), abs=1e-3)
    assert figure.error == pytest.approx(float(each.std()) / math.sqrt(179), rel=1e-3)


def test_a_seed_repeats_it_and_draws_the_images(ppca: Path) -> None:
    assert call("evaluate", ppca, "--samples", 7, "--images", 10, "--seed", 3) == 0
    first = (ppca / evaluation.FILE).read_text()
    assert call("evaluate", ppca, "--samples", 7, "--images", 10, "--seed", 3) == 0
    assert (ppca / evaluation.FILE).read_text() == first
    assert call("evaluate", ppca, "--samples", 7, "--images", 10, "--seed", 4) == 0
    assert json.loads(first)["bounds"][0]["figures"]["exact"] != read(ppca).bounds[0].figures["exact"].model_dump()


def test_it_says_how_pixels_came_to_be_black_or_white(tmp_path: Path, capsys: Any) -> None:
    tiny = ("--data", "digits", "--latents", 2, "--hidden", 8, "--steps", 2, "--device", "cpu", "--seed", 6)
    for kind, family, fact in (("none", "Bernoulli, pixels as they are", "on grey pixels a cross-entropy"),
                               ("dynamic", "Bernoulli, binarised", "once where measured")):  # fmt: skip
        folder = tmp_path / kind
        assert call("train", "iwae", *tiny, "--samples", 3, "--binarise", kind, "--out", folder) == 0
        assert call("evaluate", folder, "--samples", 2, "--images", 4) == 0
        found = read(folder)
        assert found.bounds[0].likelihood == family and fact in found.facts["p(x|z)"]
        assert found.training_seed == 6 and found.trained_with == 3
        said = capsys.readouterr().out
        assert fact in said and "6 in training" in said and "S = 2 here, 3 in training" in said


# -- models that are told classes --------------------------------------------------------------------------------------


def test_with_the_class_and_without_are_two_quantities(tmp_path: Path, capsys: Any) -> None:
    save_conditional(tmp_path / "conditional")
    assert call("evaluate", tmp_path / "conditional", "--samples", 60, "--images", 30) == 0
    found = by_quantity(read(tmp_path / "conditional"))
    assert list(found) == ["log p(x)", "log p(x|y)"]
    assert {bounds.likelihood for bounds in found.values()} == {"Bernoulli, pixels as they are"}
    assert not found["log p(x)"].terms and set(found["log p(x|y)"].terms) == {"reconstruction", "kl"}
    without, given = (found[of].figures["L_60"].value for of in found)
    assert without > given - math.log(10) - 0.5  # p(x) ≥ p(y) p(x|y)
    assert -sum(figure.value for figure in found["log p(x|y)"].terms.values()) == pytest.approx(
        found["log p(x|y)"].figures["ELBO"].value, abs=0.5
    )
    assert "naive Monte Carlo" not in found["log p(x|y)"].figures
    said = capsys.readouterr().out
    assert "log p(x), Bernoulli, pixels as they are, 30 images" in said
    assert "log p(x|y), Bernoulli, pixels as they are, 30 images" in said


def test_terms_that_count_the_class_bound_the_joint(tmp_path: Path) -> None:
    folder = tmp_path / "told"
    save_semi_supervised(folder, 40)
    assert isinstance(checkpoint.load(folder), SemiSupervised)
    assert call("evaluate", folder, "--samples", 50, "--images", 30) == 0
    found = by_quantity(read(folder))
    assert list(found) == ["log p(x)", "log p(x|y)", "log p(x, y)"]
    joint, given = found["log p(x, y)"], found["log p(x|y)"]
    assert joint.figures["ELBO"].value == pytest.approx(given.figures["ELBO"].value - math.log(10), abs=0.5)
    assert joint.figures["ELBO"].value == pytest.approx(-sum(figure.value for figure in joint.terms.values()), abs=1e-6)
    assert not given.terms


# -- what cannot be answered -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("words", "said"), [
    (["--samples", 0], "samples came as 0, expected 1 or more"),
    (["--images", 1], "images came as 1, expected 2 or more"),
])  # fmt: skip
def test_what_cannot_be_measured_is_a_sentence(ppca: Path, capsys: Any, words: list[Any], said: str) -> None:
    assert said in refused(capsys, "evaluate", ppca, *words)
    assert evaluation.load(ppca) is None


def test_a_model_without_a_density_is_measured_by_its_decodes(tmp_path: Path, capsys: Any) -> None:
    folder = tmp_path / "pca"
    assert call("train", "pca", "--data", "digits", "--latents", 3, "--out", folder) == 0
    assert call("evaluate", folder, "--images", 50) == 0
    found, said = read(folder), capsys.readouterr().out
    assert not found.bounds and not found.samples and found.active == {"z": 3}
    assert f"no bounds: {found.not_bounded}" in said and "no density p(x, z)" in found.not_bounded
    images = checkpoint.describe(folder).config.data.load("test")
    x = images.batch(shuffled(len(images), 0)[:50])
    each = (checkpoint.load(folder).decode(checkpoint.load(folder).encode(x)) - x).square().mean((1, 2, 3))
    error = found.decoded["squared error"]
    assert error.value == pytest.approx(float(each.mean()), rel=1e-4)
    assert error.error == pytest.approx(float(each.std()) / math.sqrt(50), rel=1e-4)
    assert f"{error.value:.5f} ± {error.error:.5f} per pixel and channel" in said
    assert found.decoded["PSNR"].value == pytest.approx(float((-10 * each.log10()).mean()), rel=1e-4)


def test_codes_are_measured_by_how_evenly_they_are_used(tmp_path: Path, capsys: Any) -> None:
    folder = tmp_path / "codes"
    model = save_coded(folder, codes=6).model
    assert call("evaluate", folder, "--images", 20) == 0
    found, said = read(folder), capsys.readouterr().out
    images = checkpoint.describe(folder).config.data.load("test")
    ((part, codes),) = found.codes.items()
    used = model.encode(images.batch(shuffled(len(images), 0)[:20]))[part].flatten().bincount(minlength=6).double()
    share = used / used.sum()
    assert codes.perplexity == pytest.approx(float((-share.xlogy(share).sum()).exp()), rel=1e-5)
    assert (codes.used, codes.of, codes.bits) == (int((used > 0).sum()), 6, pytest.approx(16 * math.log2(6)))
    assert f"{codes.used} of 6 codes used, at most 41 bits per image" in said and not found.active


def test_a_convolutional_net_is_measured_on_less(tmp_path: Path) -> None:
    folder = tmp_path / "conv"
    tiny = ("--net", "conv", "--channels", 2, "--latents", 2, "--steps", 2, "--batch", 8, "--device", "cpu")
    assert call("train", "vae", "--data", "digits", *tiny, "--out", folder) == 0
    assert call("evaluate", folder) == 0
    found = json.loads((folder / evaluation.FILE).read_text())
    assert (found["images"], found["samples"]) == (100, 500)


def test_data_that_are_gone_are_a_sentence(tmp_path: Path, capsys: Any) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (40, 8, 8), np.uint8)
    np.savez(tmp_path / "mine.npz", images=pixels)
    assert call("train", "ppca", "--data", tmp_path / "mine.npz", "--latents", 2, "--out", tmp_path / "mine") == 0
    (tmp_path / "mine.npz").unlink()
    assert "mine.npz" in refused(capsys, "evaluate", tmp_path / "mine")


@pytest.mark.parametrize(("damage", "said"), [
    (lambda text: text[:40], "cannot be read"),
    (lambda text: text.replace('"split"', '"spilt"'), "spilt: Extra inputs are not permitted"),
    (lambda text: text.replace('"images": 10', '"images": "many"', 1), "images"),
    (lambda text: "[]", "cannot be read"),
    (lambda text: "", "cannot be read"),
])  # fmt: skip
def test_a_damaged_file_is_a_sentence(ppca: Path, damage: Any, said: str) -> None:
    assert call("evaluate", ppca, "--samples", 2, "--images", 10) == 0
    file = ppca / evaluation.FILE
    file.write_text(damage(file.read_text()))
    with pytest.raises(ValueError, match="Evaluate again: python -m trainer evaluate") as error:
        evaluation.load(ppca)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_figures_of_other_weights_are_not_taken_for_these(ppca: Path, tmp_path: Path) -> None:
    assert call("evaluate", ppca, "--samples", 2, "--images", 10) == 0
    other = tmp_path / "other"
    assert call("train", "ppca", "--data", "digits", "--latents", 2, "--out", other) == 0
    assert evaluation.load(other) is None
    shutil.copy(ppca / evaluation.FILE, other)
    with pytest.raises(ValueError, match=f"about other weights .*evaluate {other}"):
        evaluation.load(other)


def test_a_figure_that_is_no_number_is_kept(tmp_path: Path, ppca: Path) -> None:
    found = Evaluation(digest=checkpoint.describe(ppca).digest, data="digits", images=2, available=2, seed=0,
                       surgery={"kl": math.inf})  # fmt: skip
    evaluation.save(ppca, found)
    assert read(ppca) == found


# -- dimensions --------------------------------------------------------------------------------------------------------


def test_naive_monte_carlo_comes_to_the_evidence(ppca: Path) -> None:
    model: Any = checkpoint.load(ppca)
    generator = torch.Generator().manual_seed(0)
    x = model.draw(model.sample(8, generator=generator), generator)
    (found,) = likelihood.prior_bounds(model, x, [100_000], generator)
    exact = likelihood.exact(model, x)
    assert exact is not None and (found.ess > 100).all()
    assert ((found.value - exact).abs() < 5 * found.error).all()


def test_dimensions_are_scored_where_factors_are_known() -> None:
    images, model = cubes()
    found = evaluating.evaluate(model, images, Asked(samples=3, images=20, train=30, test=30))
    assert found.factors == ["a", "b", "c"] and found.scored_on == [30, 30] and not found.not_scored
    assert found.scores["modularity"] == pytest.approx(1, abs=0.01) and found.scores["MIG"] > 0.8
    said = "factors a, b, c. Learned on 30 images or points of them, tested on 30, seed 0"
    assert any(line.startswith(said) for line in evaluation.lines(found))


def test_too_few_images_for_scores_leave_the_bounds() -> None:
    images, model = cubes(5)
    found = evaluating.evaluate(model, images, Asked(samples=3, images=20))
    assert not found.scores and found.not_scored == "5 images came, expected at least 10"
    assert found.bounds[0].images == 5
    assert evaluation.lines(found)[-1] == "no scores: 5 images came, expected at least 10"


def test_what_one_factor_cannot_be_scored_by_leaves_the_other_scores() -> None:
    images, model = cubes(keep=(1,))
    found = evaluating.evaluate(model, images, Asked(samples=3, images=20, train=40, test=20))
    assert found.factors == ["b"] and not found.not_scored and found.bounds
    assert "MIG" in found.scores and "SAP" in found.scores and "BetaVAE score" not in found.scores
    assert any("Left out is BetaVAE score: it says which of two" in line for line in evaluation.lines(found))


def test_constant_factors_leave_the_bounds() -> None:
    images, model = cubes(keep=())
    found = evaluating.evaluate(model, images, Asked(samples=3, images=20))
    assert not found.scores and found.not_scored.startswith('no factor varies over 60 images of "cubes"')
    assert found.bounds[0].images == 20


def test_a_negative_seed_is_refused() -> None:
    images, model = cubes()
    with pytest.raises(ValueError, match="seed came as -1, expected 0 to 2147483647"):
        evaluating.evaluate(model, images, Asked(samples=3, images=20, seed=-1))


def test_a_single_image_is_a_sentence() -> None:
    images, model = cubes(1)
    with pytest.raises(ValueError, match='"cubes" has 1 test images, expected 2 or more'):
        evaluating.evaluate(model, images, Asked(samples=3, images=20))


@torch.no_grad()
def test_a_bound_that_is_streamed_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model, x = VAE((1, 4, 4), VAEOptions(hidden=(8,), latents=2)).eval(), torch.rand(3, 1, 4, 4)
    log_w = likelihood.log_weights(model, x, 40, torch.Generator().manual_seed(1)).double()

    def draws(some: int) -> torch.Tensor:
        nonlocal log_w
        first, log_w = log_w[:some], log_w[some:]
        return first

    whole = log_w.clone()
    monkeypatch.setattr(likelihood, "AT_ONCE", 7 * x.numel())
    (found,) = likelihood.ladder(likelihood.drawn(draws, x, 40), [40])
    w = whole.exp()
    torch.testing.assert_close(found.value, w.mean(0).log())
    torch.testing.assert_close(found.ess, w.sum(0).square() / w.square().sum(0))
    torch.testing.assert_close(found.error, (w.var(0) / 40).sqrt() / w.mean(0))
    torch.testing.assert_close(found.mean_log, whole.mean(0))
