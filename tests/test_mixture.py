"""Mixtures: expectation-maximisation against sklearn's and a step by hand, and a log p(x) that is exact."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commandline import call, refused
from sklearn.mixture import GaussianMixture
from torch import Tensor

import trainer
from trainer import checkpoint, data, report
from trainer.data import Images
from trainer.expectation import EM, LEAST_MEAN, Components
from trainer.likelihood import log_weights
from trainer.models.mixture import Mixture, MixtureOptions
from trainer.probability import log_mean_exp

SHAPE, K = (1, 2, 3), 3
KINDS: list[dict[str, Any]] = [
    {"likelihood": "gaussian", "variance": "diagonal"},
    {"likelihood": "gaussian", "variance": "shared"},
    {"likelihood": "bernoulli"},
]
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(kind.values()))


def images(count: int = 60) -> Images:
    """Of three groups that overlap."""
    generator = torch.Generator().manual_seed(0)
    middle = torch.rand(3, *SHAPE, generator=generator)[torch.arange(count) % 3]
    pixels = (middle + 0.15 * torch.randn(count, *SHAPE, generator=generator)).clamp(0, 1)
    return Images("groups", (255 * pixels).round().to(torch.uint8), torch.arange(count) % 3, ("a", "b", "c"))


def fitted(kind: dict[str, Any], **more: Any) -> Mixture:
    model = Mixture(SHAPE, MixtureOptions.read({"components": K, **kind, **more}))
    assert model.begin(images())
    return model.eval()


def all_of_them() -> Tensor:
    return images().batch(torch.arange(60))


# ---- expectation-maximisation


@each_kind
def test_no_pass_lowers_the_likelihood(kind: dict[str, Any]) -> None:
    """Nor where a least std, or a least distance from 0 and 1, is in force."""
    for least in (0.01, 0.2):
        em = EM(images(), torch.device("cpu"), K, kind.get("variance"), least)
        course = [log_p for _, log_p in itertools.islice(em.passes(0), 25)]
        assert all(after >= before - 1e-9 for before, after in itertools.pairwise(course))
        assert course[-1] > course[0] + 0.01


@pytest.mark.parametrize("variance", ["diagonal", "shared"])
def test_a_pass_is_the_step_by_hand(variance: str) -> None:
    x = all_of_them().flatten(1).double().numpy()
    rng = np.random.default_rng(0)
    weight, mean = np.array([0.2, 0.3, 0.5]), rng.random((K, 6))
    var = rng.uniform(0.01, 0.2, (K, 6)) if variance == "diagonal" else np.full((K, 6), 0.07)
    likelihood = np.array([
        [weight[c] * math.prod(math.exp(-((row[i] - mean[c, i]) ** 2) / (2 * var[c, i])) / math.sqrt(
            2 * math.pi * var[c, i]) for i in range(6)) for c in range(K)] for row in x
    ])  # fmt: skip
    r = likelihood / likelihood.sum(1, keepdims=True)  # (n, k)
    new_mean = np.array([sum(r[n, c] * x[n] for n in range(60)) / r[:, c].sum() for c in range(K)])
    new_var = np.array([sum(r[n, c] * (x[n] - new_mean[c]) ** 2 for n in range(60)) / r[:, c].sum() for c in range(K)])
    if variance == "shared":
        new_var = np.full((1, 1), (r.sum(0) @ new_var).sum() / (60 * 6))
    em = EM(images(), torch.device("cpu"), K, variance, 1e-3)  # type: ignore[arg-type]
    here = Components(*map(torch.from_numpy, (weight, mean, var if variance == "diagonal" else var[:1, :1])))
    found, log_p = em.improved(here.log_joint)
    assert log_p == pytest.approx(np.log(likelihood.sum(1)).mean(), rel=1e-10)
    assert found.variance is not None
    np.testing.assert_allclose(found.weight, r.mean(0), rtol=1e-10)
    np.testing.assert_allclose(found.mean, new_mean, rtol=1e-10)
    np.testing.assert_allclose(found.variance, new_var, rtol=1e-8)


def test_a_bernoulli_pass_is_the_step_by_hand() -> None:
    x = all_of_them().flatten(1).double().numpy()
    weight, mean = np.array([0.2, 0.3, 0.5]), np.random.default_rng(0).uniform(0.1, 0.9, (K, 6))
    likelihood = np.array(
        [[weight[c] * np.prod(mean[c] ** row * (1 - mean[c]) ** (1 - row)) for c in range(K)] for row in x]
    )
    r = likelihood / likelihood.sum(1, keepdims=True)
    em = EM(images(), torch.device("cpu"), K, None, 1.0)
    here = Components(torch.from_numpy(weight), torch.from_numpy(mean), None)
    found, log_p = em.improved(here.log_joint)
    assert log_p == pytest.approx(np.log(likelihood.sum(1)).mean(), rel=1e-10)
    np.testing.assert_allclose(found.weight, r.mean(0), rtol=1e-10)
    np.testing.assert_allclose(found.mean, (r.T @ x) / r.sum(0)[:, None], rtol=1e-10)


def test_sklearn_goes_on_to_the_same_point() -> None:
    """From where this one ends, with no floor in force, sklearn's EM moves no further."""
    model = fitted(KINDS[0], least_std=1e-3)
    x = all_of_them().flatten(1).double().numpy()
    found = model.components
    assert found.variance is not None
    there = GaussianMixture(
        K, covariance_type="diag", reg_covar=0, tol=1e-3, weights_init=found.weight.numpy(),
        means_init=found.mean.numpy(), precisions_init=1 / found.variance.numpy(),
    ).fit(x)  # fmt: skip
    here = float(model.log_evidence(all_of_them()).double().mean())
    assert here == pytest.approx(there.score_samples(x).mean(), abs=0.01)


def test_a_component_without_images_is_all_of_them() -> None:
    """And the others go on as if it was not there."""
    same = Images("same", torch.full((20, *SHAPE), 200, dtype=torch.uint8))
    em = EM(same, torch.device("cpu"), 2, "diagonal", 0.1)
    apart = torch.tensor([0.0, -1e4], dtype=torch.float64)
    found, _ = em.improved(lambda x: apart.expand(len(x), -1))
    assert found.variance is not None
    torch.testing.assert_close(found.mean, torch.full((2, 6), 200 / 255, dtype=torch.float64))
    assert 0 < float(found.weight[1].half()) < 1e-6 and found.log_joint(torch.zeros(1, 6).double()).isfinite().all()


def test_bounds_hold() -> None:
    flat = Images("flat", torch.zeros(20, *SHAPE, dtype=torch.uint8))
    for kind in KINDS:
        model = Mixture(SHAPE, MixtureOptions.read({"components": 2, "least_std": 0.2, **kind}))
        model.begin(flat)
        assert model.log_evidence(flat.batch(torch.arange(3))).isfinite().all()
        if kind["likelihood"] == "gaussian":
            torch.testing.assert_close(model.variance, torch.full_like(model.variance, 0.04))
        else:
            torch.testing.assert_close(model.mean, torch.full_like(model.mean, LEAST_MEAN))


@each_kind
def test_a_fit_is_ever_the_same_and_restarts_only_help(kind: dict[str, Any]) -> None:
    one, again, best = fitted(kind), fitted(kind), fitted(kind, restarts=6)
    assert all(torch.equal(a, b) for a, b in zip(one.buffers(), again.buffers(), strict=True))
    x = all_of_them()
    assert float(best.log_evidence(x).mean()) >= float(one.log_evidence(x).mean()) - 1e-6
    em = EM(images(), torch.device("cpu"), K, kind.get("variance"), 0.05)
    highest = max(em.converged(seed)[1] for seed in range(6))
    assert float(best.log_evidence(x).mean()) == pytest.approx(highest, abs=1e-4)


def test_more_components_than_images_are_refused() -> None:
    with pytest.raises(ValueError, match="components=70 needs at least that many images; the data set has 60"):
        Mixture(SHAPE, MixtureOptions.read({"components": 70})).begin(images())


# ---- the density


@pytest.mark.parametrize("kind", KINDS[:2], ids=lambda kind: kind["variance"])
def test_log_p_is_that_of_sklearn(kind: dict[str, Any]) -> None:
    model, x = fitted(kind), all_of_them()
    found = model.components
    assert found.variance is not None
    there = GaussianMixture(K, covariance_type="diag")
    there.weights_, there.means_ = found.weight.numpy(), found.mean.numpy()
    there.precisions_cholesky_ = (1 / found.variance.expand(K, 6).sqrt()).numpy()
    expected = there.score_samples(x.flatten(1).double().numpy())
    np.testing.assert_allclose(model.log_evidence(x), expected, rtol=1e-6, atol=1e-5)
    posterior = there.predict_proba(x.flatten(1).double().numpy())
    np.testing.assert_allclose(model.encode(x)["component"], posterior, rtol=1e-5, atol=1e-6)


@each_kind
@torch.no_grad()
def test_importance_weights_are_log_p_for_any_number_of_draws(kind: dict[str, Any]) -> None:
    """The responsibilities are the posterior, so that every draw says the same."""
    model, x = fitted(kind), all_of_them()
    exact = model.log_evidence(x)
    for samples in (1, 7):
        weights = log_weights(model, x, samples, torch.Generator().manual_seed(samples))
        torch.testing.assert_close(weights, exact.expand(samples, -1), rtol=1e-5, atol=1e-4)
        torch.testing.assert_close(log_mean_exp(weights), exact, rtol=1e-5, atol=1e-4)
    terms = model.terms(x)
    torch.testing.assert_close(terms["reconstruction"] + terms["kl/component"], -exact, rtol=1e-5, atol=1e-4)
    given = [log_weights(model, x, 1, None, {"component": torch.full((60,), c)})[0] for c in range(K)]
    torch.testing.assert_close((torch.stack(given) + model.weight.log()[:, None]).logsumexp(0), exact)


def test_a_bernoulli_mixture_is_a_probability() -> None:
    """Over all black and white images it sums to 1."""
    model = fitted(KINDS[2])
    every = torch.tensor(list(itertools.product((0.0, 1.0), repeat=6))).view(-1, *SHAPE)
    assert float(model.log_evidence(every).exp().sum()) == pytest.approx(1, abs=1e-5)


# ---- latents


@each_kind
@torch.no_grad()
def test_decodes_and_draws_are_of_the_components(kind: dict[str, Any]) -> None:
    model = fitted(kind)
    torch.testing.assert_close(model.decode({"component": torch.eye(K)}).flatten(1), model.mean)
    half = torch.tensor([[0.5, 0.5, 0.0]])
    torch.testing.assert_close(model.decode({"component": half}).flatten(), model.mean[:2].mean(0))
    z = model.sample(9000, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(z["component"].mean(0), model.weight, rtol=0, atol=0.02)
    torch.testing.assert_close(model.sample(2, temperature=0)["component"], model.weight.expand(2, -1))
    many = {"component": torch.eye(K)[1].expand(4000, -1)}
    drawn = model.draw(many, torch.Generator().manual_seed(0)).flatten(1)
    inside = (model.mean[1] - 0.5).abs() < 0.2  # where little is cut off
    assert inside.any()
    torch.testing.assert_close(drawn.mean(0)[inside], model.mean[1, inside], rtol=0, atol=0.03)
    if model.is_gaussian:
        std = model.variance_of(many["component"][:1]).sqrt().expand(1, 6)[0]
        torch.testing.assert_close(drawn.std(0)[inside], std[inside], rtol=0.1, atol=0)
    with pytest.raises(ValueError, match='"component" came with classes'):
        model.sample(1, {"component": torch.tensor([K])})


def test_from_fit_to_card(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "mine"
    plain = ["train", "mixture", "--data", "digits", "--components", 12, "--device", "cpu", "--half"]
    assert call(*plain, "--out", folder) == 0
    card = (folder / "README.md").read_text()
    assert "| kl |" in card and "exact: the posterior is, so the ELBO is log p(x)" in card
    model, summary = trainer.load(folder), trainer.load_summary(folder)
    assert isinstance(model, Mixture)
    summary.check(model.space)
    assert summary.arrays["class_means"].shape == (10, 12)
    test = data.load("digits", "test")
    expected = float(model.log_evidence(test.batch(torch.arange(len(test)))).mean())
    assert -float(summary.arrays["mean/loss"]) == pytest.approx(expected, abs=1e-3)
    assert checkpoint.describe(folder).config.measured["ELBO"].endswith("(Gaussian)")
    assert call("measure", folder) == 0
    assert call("sample", folder, "--count", 4, "--out", tmp_path / "drawn.png") == 0
    assert "no effect without likelihood gaussian" in refused(
        capsys, *plain, "--likelihood", "bernoulli", "--variance", "shared", "--out", tmp_path / "other"
    )
    assert "takes no steps" in refused(capsys, *plain, "--steps", 5, "--out", tmp_path / "other")


@torch.no_grad()
def test_rounded_weights_are_probabilities() -> None:
    """Also of a component that no image is near to."""
    model = fitted(KINDS[0])
    model.weight.copy_(torch.tensor([1e-7, 1 / 3, 2 / 3]))
    report.round_to_half(model)
    x = all_of_them()
    assert float(model.weight.sum()) != 1
    assert float(model.components.weight.sum()) == pytest.approx(1, abs=1e-7)
    assert all(values.isfinite().all() for values in model.terms(x).values())
    torch.testing.assert_close(log_weights(model, x, 1)[0], model.log_evidence(x), rtol=1e-5, atol=1e-4)


def test_labels_change_nothing() -> None:
    unlabelled = Images("groups", images()._pixels)
    models = [Mixture(SHAPE, MixtureOptions.read({"components": K})) for _ in range(2)]
    for model, some in zip(models, (images(), unlabelled), strict=True):
        model.begin(some)
    assert all(torch.equal(a, b) for a, b in zip(models[0].buffers(), models[1].buffers(), strict=True))
