"""Linear models on data with known eigenvalues, where the optimum is known exactly: the trainer has to reach it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
import torch
from linear import COUNT, EIGENVALUES, LINEAR, LOG_EVIDENCE, SHAPE, VAR, all_of_them, linear_images, ppca
from torch import Tensor

from trainer import models
from trainer.data import Images
from trainer.models.beta_vae import BetaVAE, BetaVAEOptions
from trainer.models.pca import PCA, PCAOptions
from trainer.models.vae import VAE
from trainer.train import Measures, TrainOptions, train


@dataclass
class Trained:
    """A model at the end of its training, with the course of its measures and its exact terms."""

    model: VAE
    course: list[Measures]
    elbo: float
    kl: Tensor  # (d,)
    distortion: float  # mean squared distance of a draw's decode, summed over pixels

    @property
    def rate(self) -> float:
        return float(self.kl.sum())


def reach(name: str, steps: int = 1200, **options: Any) -> Trained:
    """Train a linear model with the project's loop."""
    torch.manual_seed(0)
    kind = models.get(name)
    model = kind(SHAPE, kind.Options.read({**LINEAR, **options}))
    assert isinstance(model, VAE)
    training = TrainOptions(steps=steps, batch=COUNT, rate=0.05, every=steps // 10)
    course = [measures for _, measures in train(model, linear_images(), training)]
    torch.manual_seed(1)
    with torch.no_grad():
        x = all_of_them()
        kl = model.terms(x)["kl/z"].mean(0)
        z, _ = model.infer(x, 1000)
        drawn = model.decoder(z["z"].flatten(0, 1)).view(1000, *x.shape)
        distortion = float((drawn - x).square().sum((2, 3, 4)).mean())
        expected = float(model.log_likelihood(x, z).mean())
    return Trained(model.eval(), course, expected - float(kl.sum()), kl, distortion)


# ---- probabilistic PCA


def test_the_data_have_the_eigenvalues() -> None:
    x = all_of_them().flatten(1).double()
    found = torch.linalg.eigvalsh(torch.cov(x.T, correction=0)).flip(0)
    assert found.tolist() == pytest.approx(EIGENVALUES, rel=1e-5)
    assert x.mean(0).abs().max() > 1


def test_ppca_reads_the_model_off_the_eigenvalues() -> None:
    model = ppca()
    assert float(model.noise) == pytest.approx(0.5, rel=1e-5)
    inner = model.weight.T @ model.weight + model.noise * torch.eye(2)
    torch.testing.assert_close(inner, torch.diag(torch.tensor([9.0, 4.0])), rtol=1e-4, atol=1e-4)
    mean, var = model.posterior(all_of_them())
    assert var.tolist() == pytest.approx([0.055556, 0.125], abs=2e-6)
    x = all_of_them().flatten(1)
    regression = torch.linalg.solve(inner, model.weight.T @ (x - x.mean(0)).T).T  # M⁻¹ Wᵀ (x − b)
    torch.testing.assert_close(mean, regression, rtol=1e-3, atol=1e-4)


def test_ppca_evidence() -> None:
    found = ppca().log_evidence(all_of_them())
    assert found.shape == (COUNT,)
    assert float(found.double().mean()) == pytest.approx(LOG_EVIDENCE, abs=1e-5)


def test_ppca_evidence_against_the_full_gaussian() -> None:
    model = ppca()
    covariance = (model.weight @ model.weight.T).double() + model.noise.double() * torch.eye(6, dtype=torch.float64)
    full = torch.distributions.MultivariateNormal(model.mean.double(), covariance)
    x = torch.cat([all_of_them(), 5 * torch.randn(50, *SHAPE, generator=torch.Generator().manual_seed(3))])
    expected = full.log_prob(x.flatten(1).double())
    torch.testing.assert_close(model.log_evidence(x).double(), expected, rtol=1e-5, atol=1e-4)


def test_ppca_evidence_against_sklearn() -> None:
    from sklearn.decomposition import PCA as Peer

    x = all_of_them().flatten(1).double().numpy()
    shrunk = x.mean(0) + (x - x.mean(0)) * math.sqrt((COUNT - 1) / COUNT)  # the peer's covariance is with 1/(n − 1)
    expected = Peer(n_components=2).fit(shrunk).score_samples(x)
    torch.testing.assert_close(
        ppca().log_evidence(all_of_them()).double(), torch.from_numpy(expected), rtol=1e-5, atol=1e-4
    )


def test_ppca_terms_sum_to_minus_the_evidence() -> None:
    terms = ppca().terms(all_of_them())
    torch.testing.assert_close(
        terms["reconstruction"] + terms["kl/z"].sum(1), -ppca().log_evidence(all_of_them()), rtol=1e-5, atol=1e-4
    )
    assert float(terms["kl/z"].sum(1).mean()) == pytest.approx(2.484907, abs=1e-4)


def test_pca_projects_onto_unit_variance_and_discards_the_rest() -> None:
    model = PCA(SHAPE, PCAOptions(latents=2))
    assert model.begin(linear_images())
    z = model.encode(all_of_them())["z"]
    torch.testing.assert_close(torch.cov(z.T, correction=0), torch.eye(2), rtol=1e-4, atol=1e-4)
    assert model.variance.tolist() == pytest.approx([9, 4], rel=1e-5)
    error = model.terms(all_of_them())["reconstruction"].mean()
    assert float(error) == pytest.approx(1 + 0.5 + 0.25 + 0.25, rel=1e-4)
    assert model.facts()["variance kept"] == "86.7 %"  # 13 of 15
    assert list(train(model, linear_images(), TrainOptions(steps=0))) == []


def test_pca_above_the_exact_size_finds_the_same() -> None:
    """The streamed subspace iteration, on data wider than the covariance that is held."""
    generator = torch.Generator().manual_seed(2)
    codes = torch.randn(60, 3, generator=generator) * torch.tensor([9.0, 4.0, 2.0])
    x = codes @ torch.linalg.qr(torch.randn(4900, 3, generator=generator))[0].T + 0.5
    model = PCA((1, 70, 70), PCAOptions(latents=2))
    model.begin(Images("wide", x.view(60, 1, 70, 70)))
    centred = (x - x.mean(0)).double()
    values = torch.linalg.svdvals(centred).square() / 60
    assert model.variance.tolist() == pytest.approx(values[:2].tolist(), rel=1e-4)
    assert float(model.discarded) == pytest.approx(float(values[2:].sum()) / 4898, rel=1e-3)
    torch.testing.assert_close(model.basis.T @ model.basis, torch.eye(2), rtol=1e-4, atol=1e-4)


def test_pca_refuses_more_components_than_there_is_data() -> None:
    with pytest.raises(ValueError, match="latents=6, but an image has 6 values"):
        PCA(SHAPE, PCAOptions(latents=6))
    with pytest.raises(ValueError, match="latents=4 needs more than that many images; the data set has 4"):
        PCA(SHAPE, PCAOptions(latents=4)).begin(Images("few", torch.rand(4, *SHAPE)))


# ---- trained models


def test_a_linear_vae_reaches_the_evidence() -> None:
    found = reach("vae", latents=2)
    assert found.elbo == pytest.approx(LOG_EVIDENCE, abs=0.03)
    assert found.rate == pytest.approx(2.484907, abs=0.05)
    losses = [measures["loss"] for measures in found.course]
    assert losses[-1] < losses[0]  # type: ignore[operator]
    assert -float(losses[-1]) == pytest.approx(LOG_EVIDENCE, abs=0.06)  # type: ignore[arg-type]


def test_the_learned_variance_is_the_mean_squared_error() -> None:
    found = reach("vae", latents=2, likelihood="learned", std=1.0)
    variance = float(found.model.log_var.detach().exp())
    assert variance == pytest.approx(found.distortion / 6, rel=0.02)
    assert variance == pytest.approx(VAR, rel=0.03)
    assert found.elbo == pytest.approx(LOG_EVIDENCE, abs=0.03)
    assert found.model.facts()["σ of p(x|z)"] == f"{math.sqrt(variance):.4f} of the grey range"


@cache
def weighed(beta: float) -> Trained:
    return reach("beta_vae", latents=4, beta=beta)


@pytest.mark.parametrize(("beta", "active", "objective", "rate", "distortion"), [
    (1.0, 3, -8.765670, 2.831480, 2.5),
    (4.0, 2, -13.828639, 1.098612, 6.0),
    (8.0, 1, -16.677911, 0.405465, 10.0),
    (20.0, 0, -18.434190, 0.0, 15.0),
])  # fmt: skip
def test_beta_fills_the_water(beta: float, active: int, objective: float, rate: float, distortion: float) -> None:
    found = weighed(beta)
    assert int((found.kl > 0.05).sum()) == active
    assert found.rate == pytest.approx(rate, rel=0.02, abs=0.02)
    assert found.distortion == pytest.approx(distortion, rel=0.02)
    assert found.elbo - (beta - 1) * found.rate == pytest.approx(objective, abs=0.03)


def test_kl_falls_as_beta_rises() -> None:
    rates = [weighed(beta).rate for beta in (1.0, 4.0, 8.0, 20.0)]
    assert rates == sorted(rates, reverse=True)


def rate_at(level: float) -> float:
    return sum(0.5 * math.log(value / level) for value in EIGENVALUES if value > level)


def test_capacity_is_what_the_kl_comes_to() -> None:
    found = reach("beta_vae", latents=4, capacity=1.5, capacity_steps=600, gamma=10.0)
    assert found.rate == pytest.approx(1.5, abs=0.05)
    level = math.sqrt(36 / math.exp(3))  # the water level at which the rate is 1.5
    assert rate_at(level) == pytest.approx(1.5)
    assert found.distortion == pytest.approx(2 * level + 2, rel=0.03)  # the least there is at that rate
    capacities = [measures["capacity"] for measures in found.course]
    assert capacities == sorted(capacities)
    assert capacities[0] == pytest.approx(1.5 * 119 / 600)
    assert capacities[-1] == 1.5


def test_a_kl_constraint_is_held_and_finds_its_multiplier() -> None:
    found = reach("beta_vae", latents=4, max_kl=1.5, multiplier_rate=0.02)
    assert found.rate <= 1.5 * 1.05
    multipliers = [float(measures["multiplier"]) for measures in found.course]  # type: ignore[arg-type]
    assert len(set(multipliers)) > 3 and min(multipliers) >= 0
    assert multipliers[-1] == pytest.approx(math.sqrt(36 / math.exp(3)) / VAR, rel=0.05)  # the β of that rate
    assert found.course[-1]["max_kl"] == 1.5


def test_a_slack_constraint_lets_the_multiplier_go() -> None:
    model = BetaVAE(SHAPE, BetaVAEOptions(**LINEAR, latents=2, max_kl=3.0, multiplier_rate=0.5))
    under = {"reconstruction": torch.ones(4), "kl/z": torch.full((4, 2), 0.5)}  # 1 nat each
    model.after_step(under)
    assert float(model.knobs["multiplier"]) == 0  # 1 + .5 (1 − 3)
    model.after_step(under)
    assert float(model.knobs["multiplier"]) == 0
    model.after_step({"reconstruction": torch.ones(4), "kl/z": torch.full((4, 2), 2.0)})
    assert float(model.knobs["multiplier"]) == pytest.approx(0.5)  # .5 (4 − 3)
