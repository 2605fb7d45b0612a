"""python -m trainer evaluate: figures that are known beforehand, and clear answers where there are none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from commandline import call

from trainer import checkpoint, evaluation, likelihood
from trainer.data import Images
from trainer.evaluation import Asked, Evaluation
from trainer.models.vae import VAE, VAEOptions


@pytest.fixture
def ppca(tmp_path: Path) -> Path:
    folder = tmp_path / "ppca"
    assert call("train", "ppca", "--data", "digits", "--latents", 3, "--out", folder) == 0
    return folder


def read(folder: Path) -> Evaluation:
    return Evaluation.model_validate_json((folder / evaluation.FILE).read_text())


def test_of_an_exact_posterior_every_bound_is_the_evidence(ppca: Path, capsys: Any) -> None:
    assert call("evaluate", ppca, "--samples", 60, "--images", 40) == 0
    found = read(ppca)
    assert list(found.bounds) == ["ELBO", "L_5", "L_50", "L_60", "naive Monte Carlo", "exact"]
    exact = found.bounds["exact"].value
    for name in ("ELBO", "L_5", "L_50", "L_60"):
        assert found.bounds[name].value == pytest.approx(exact, abs=1e-2)
    assert found.bounds["naive Monte Carlo"].value < exact - 0.3
    assert found.ess is not None and found.ess.value == pytest.approx(60, rel=1e-3)
    assert found.digest == checkpoint.describe(ppca).digest and found.images == 40 and found.active == {"z": 3}
    parts = found.surgery
    whole = parts["mutual_information"] + parts["total_correlation"] + parts["dimension_wise"]
    assert whole == pytest.approx(parts["kl"], rel=0.2)
    said = capsys.readouterr().out
    assert "40 test images of digits" in said and "L_60" in said and "nats" in said


def test_a_seed_repeats_it(ppca: Path) -> None:
    assert call("evaluate", ppca, "--samples", 7, "--images", 10, "--seed", 3) == 0
    first = (ppca / evaluation.FILE).read_text()
    assert call("evaluate", ppca, "--samples", 7, "--images", 10, "--seed", 3) == 0
    assert (ppca / evaluation.FILE).read_text() == first
    assert "samples" in json.loads(first)


@pytest.mark.parametrize(("words", "said"), [
    (["--samples", 0], "samples came as 0"),
    (["--images", 1], "images came as 1, expected 2 or more"),
])  # fmt: skip
def test_what_cannot_be_measured_is_a_sentence(ppca: Path, capsys: Any, words: list[Any], said: str) -> None:
    assert call("evaluate", ppca, *words) == 2
    assert said in capsys.readouterr().err
    assert not (ppca / evaluation.FILE).exists()


def test_a_model_without_a_density_and_factors_is_a_sentence(tmp_path: Path, capsys: Any) -> None:
    folder = tmp_path / "pca"
    assert call("train", "pca", "--data", "digits", "--latents", 3, "--out", folder) == 0
    assert call("evaluate", folder) == 2
    assert "no density" in capsys.readouterr().err


def test_dimensions_are_scored_where_factors_are_known() -> None:
    torch.manual_seed(0)
    levels = torch.cartesian_prod(torch.arange(4), torch.arange(5), torch.arange(3))
    pixels = torch.zeros(60, 1, 1, 3, dtype=torch.uint8)
    pixels[:, 0, 0] = (levels * 60).byte()
    images = Images("cubes", pixels, levels=levels, factor_names=("a", "b", "c"))
    model = VAE((1, 1, 3), VAEOptions(hidden=(), latents=3, likelihood="gaussian", std=0.1))
    with torch.no_grad():
        model.encoder[1].weight.copy_(torch.cat([10 * torch.eye(3), torch.zeros(3, 3)]))
    found = evaluation.evaluate(model, images, Asked(samples=3, images=20, train=30, test=30), "digest")
    assert found.factors == ["a", "b", "c"] and found.scored_on == [30, 30]
    assert found.scores["modularity"] == pytest.approx(1, abs=0.01) and found.scores["MIG"] > 0.8


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
    found = likelihood._streamed(draws, x, 40)
    w = whole.exp()
    torch.testing.assert_close(found.value, w.mean(0).log())
    torch.testing.assert_close(found.ess, w.sum(0).square() / w.square().sum(0))
    torch.testing.assert_close(found.error, (w.var(0) / 40).sqrt() / w.mean(0))
    torch.testing.assert_close(found.mean_log, whole.mean(0))
