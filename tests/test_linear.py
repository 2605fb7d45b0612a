"""Linear models on data with known eigenvalues, where the optimum is known exactly: the trainer has to reach it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from trainer import models
from trainer.data import Images
from trainer.latent import LatentModel
from trainer.models.beta_vae import BetaVAE, BetaVAEOptions
from trainer.models.pca import PCA, PCAOptions
from trainer.models.ppca import ProbabilisticPCA
from trainer.models.vae import VAE, VAEOptions
from trainer.train import Measures, TrainOptions, train

EIGENVALUES = (9.0, 4.0, 1.0, 0.5, 0.25, 0.25)
SHAPE = (1, 2, 3)
COUNT = 256
VAR = 0.5  # of p(x|z), and the mean of the four eigenvalues that two latents leave out
LOG_EVIDENCE = -8.919096
LINEAR: dict[str, Any] = {"net": "mlp", "hidden": (), "likelihood": "gaussian", "std": math.sqrt(VAR), "samples": 8}


@cache
def linear_images() -> Images:
    """Float images whose covariance, with 1/n, has exactly these eigenvalues, in a random rotation, off centre."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(COUNT, 6, generator=generator, dtype=torch.float64)
    white = torch.linalg.svd(noise - noise.mean(0), full_matrices=False)[0] * math.sqrt(COUNT)
    rotation = torch.linalg.qr(torch.randn(6, 6, generator=generator, dtype=torch.float64))[0]
    scale = torch.tensor(EIGENVALUES, dtype=torch.float64).sqrt()
    x = (white * scale) @ rotation.T + torch.linspace(-1, 2, 6, dtype=torch.float64)
    return Images("linear", x.float().view(COUNT, *SHAPE))


def all_of_them() -> Tensor:
    return linear_images().batch(torch.arange(COUNT))


@cache
def ppca() -> ProbabilisticPCA:
    model = ProbabilisticPCA(SHAPE, PCAOptions(latents=2))
    assert model.begin(linear_images())
    return model


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


# ---- what the objectives are


def beta_vae(**options: Any) -> BetaVAE:
    return BetaVAE(SHAPE, BetaVAEOptions.read({**LINEAR, "latents": 2, **options}))


def test_warm_up_and_capacity_schedules() -> None:
    warm = beta_vae(beta=6.0, warmup=100)
    assert [warm.schedule(step)["beta"] for step in (0, 25, 50, 100, 5000)] == [0, 1.5, 3, 6, 6]
    filling = beta_vae(capacity=20.0, capacity_steps=40)
    assert [filling.schedule(step)["capacity"] for step in (0, 10, 40, 41)] == [0, 5, 20, 20]
    assert beta_vae(beta=6.0).schedule(3) == {}
    course = list(train(warm, linear_images(), TrainOptions(steps=120, batch=64, every=30)))
    assert [measures["beta"] for _, measures in course] == pytest.approx([6 * 0.29, 6 * 0.59, 6 * 0.89, 6])


TERMS = {"reconstruction": torch.tensor([1.0, 3.0]), "kl/z": torch.tensor([[1.0, 2.0], [3.0, 4.0]])}  # means 2 and 5


@pytest.mark.parametrize(("options", "expected"), [
    ({"beta": 1.0}, 7.0),
    ({"beta": 0.0}, 2.0),
    ({"beta": 4.0}, 22.0),
    ({"max_kl": 3.0}, 2.0 + (5 - 3)),
    ({"max_kl": 9.0}, 2.0 + (5 - 9)),
    ({"capacity": 3.0, "gamma": 10.0}, 2.0 + 10 * 5),  # C starts at 0
])  # fmt: skip
def test_objectives(options: dict[str, float], expected: float) -> None:
    assert float(beta_vae(**options).loss(TERMS)) == pytest.approx(expected)


def test_capacity_is_a_distance_to_both_sides() -> None:
    model = beta_vae(capacity=9.0, gamma=10.0)
    model.knobs["capacity"].fill_(9.0)
    assert float(model.loss(TERMS)) == pytest.approx(2 + 10 * 4)
    model.knobs["capacity"].fill_(3.0)
    assert float(model.loss(TERMS)) == pytest.approx(2 + 10 * 2)


@pytest.mark.parametrize("options", [
    {"beta": 2.0, "capacity": 5.0},
    {"beta": 2.0, "max_kl": 5.0},
    {"capacity": 2.0, "max_kl": 5.0},
    {"warmup": 10, "capacity": 5.0},
    {"beta": 2.0, "warmup": 10, "max_kl": 5.0},
])  # fmt: skip
def test_two_ways_to_weigh_at_once_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="exclude each other") as refusal:
        beta_vae(**options)
    assert all(name in str(refusal.value) for name in options)


def test_normalised_beta() -> None:
    options = {"latents": 10, "beta": 4.0, "hidden": (), "channels": 1}
    facts = BetaVAE((1, 64, 64), BetaVAEOptions.read(options)).facts()
    assert float(facts["β_norm = β M / D"]) == pytest.approx(0.00976563, abs=1.1e-8)
    assert beta_vae(capacity=3.0).facts()["σ of p(x|z)"] == "0.7071 of the grey range"
    assert "β_norm = β M / D" not in beta_vae(capacity=3.0).facts()


def test_the_loss_falls_as_the_decode_nears_the_image() -> None:
    model = VAE(SHAPE, VAEOptions.read({**LINEAR, "latents": 2}))
    x = all_of_them()[:1]
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)  # q = prior, and g is the decoder's bias
    found = []
    for distance in (3.0, 2.0, 1.0, 0.5, 0.0):
        model.decoder[0].bias.data = (x + distance).flatten()
        found.append(model.loss(model.terms(x)).item())
    assert found == sorted(found, reverse=True)
    normaliser = 3 * math.log(2 * math.pi * VAR)
    assert found == pytest.approx([normaliser + 6 * d * d / (2 * VAR) for d in (3.0, 2.0, 1.0, 0.5, 0.0)], rel=1e-5)


# ---- the loop


def test_every_epoch_has_each_image_once_in_a_new_order() -> None:
    from trainer.train import batches

    options = TrainOptions(steps=9, batch=4, seed=3)
    whole = list(batches(12, options))
    epochs = [torch.cat(whole[start : start + 3]) for start in (0, 3, 6)]
    assert all(torch.equal(epoch.sort().values, torch.arange(12)) for epoch in epochs)
    assert not torch.equal(epochs[0], epochs[1])
    for resumed, expected in zip(batches(12, options, 4), whole[4:], strict=True):
        assert torch.equal(resumed, expected)
    assert len(next(iter(batches(3, options)))) == 3


def test_measures_are_means_over_the_steps_between() -> None:
    def course(every: int) -> list[tuple[int, Measures]]:
        torch.manual_seed(0)
        model: LatentModel = VAE(SHAPE, VAEOptions.read({**LINEAR, "latents": 2}))
        return list(train(model, linear_images(), TrainOptions(steps=10, batch=32, every=every)))

    fine, coarse = course(1), course(4)
    assert [step for step, _ in fine] == list(range(1, 11))
    assert [step for step, _ in coarse] == [4, 8, 10]
    for (_, measures), part in zip(coarse, (fine[:4], fine[4:8], fine[8:]), strict=True):
        losses = [float(one["loss"]) for _, one in part]  # type: ignore[arg-type]
        assert measures["loss"] == pytest.approx(sum(losses) / len(losses), rel=1e-5)
        kls = measures["kl/z"]
        assert isinstance(kls, list) and len(kls) == 2
        assert measures["loss"] == pytest.approx(float(measures["reconstruction"]) + sum(kls), rel=1e-5)  # type: ignore[arg-type]
    rates = [float(measures["rate"]) for _, measures in fine]  # type: ignore[arg-type]
    assert rates[0] == 1e-3 and rates == sorted(rates, reverse=True)
    assert rates[5] == pytest.approx(0.5e-3)
