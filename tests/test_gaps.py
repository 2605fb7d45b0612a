"""The two gaps of an ELBO against closed forms of linear models, and bounds that share their draws."""

from __future__ import annotations

import math

import pytest
import torch
from linear import EIGENVALUES, LINEAR, LOG_EVIDENCE, SHAPE, VAR, all_of_them, linear_images, ppca
from test_probability import Toy
from torch import Tensor

from trainer import gaps, likelihood, linear
from trainer.models.mixture import Mixture, MixtureOptions
from trainer.models.ppca import ProbabilisticPCA
from trainer.models.vae import VAE, VAEOptions


class Shifted(ProbabilisticPCA):
    """Exact but for its encoder, whose means are off by a number of standard deviations, and which is too sure."""

    off, narrower = 1.5, 0.25  # std, and the share of the posterior's variance

    def diagonal(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_var = super().diagonal(x)
        return mean + self.off * (0.5 * log_var).exp(), log_var + math.log(self.narrower)


def linear_vae(latents: int = 2) -> VAE:
    """A linear VAE whose posterior is correlated, with an encoder that knows nothing."""
    torch.manual_seed(4)
    model = VAE(SHAPE, VAEOptions.read({**LINEAR, "latents": latents}))
    with torch.no_grad():
        model.encoder[1].weight.zero_()
        model.encoder[1].bias.zero_()
        model.decoder[0].weight[:, 1:] += model.decoder[0].weight[:, :1]  # columns that are far from orthogonal
    return model.eval()


# ---- gaps


def test_an_exact_posterior_has_no_gaps() -> None:
    found = gaps.measure(ppca(), all_of_them()[:6], 400)
    assert found.exact and found.evidence_error.tolist() == [0] * 6
    zero = torch.zeros(6, dtype=torch.float64)
    for gap in (found.amortisation, found.approximation):
        torch.testing.assert_close(gap, zero, rtol=0, atol=2e-3)


@pytest.mark.parametrize(
    ("off", "narrower"), [(1.5, 0.25), (12.0, 0.25), (20.0, 0.25), (1.5, 1e4), (1.5, 1e-4)], ids=str
)  # the posterior may be far narrower than the encoder says, or far wider
def test_what_an_encoder_is_off_is_the_amortisation_gap(off: float, narrower: float) -> None:
    model = Shifted(SHAPE, ppca().options)
    model.load_state_dict(ppca().state_dict())
    model.off, model.narrower = off, narrower
    found = gaps.measure(model, all_of_them()[:6], 4000)
    log_narrower = math.log(model.narrower)
    each = 0.5 * (model.off**2 + model.narrower - log_narrower - 1)  # KL per dimension, in the posterior's own units
    torch.testing.assert_close(found.amortisation, torch.full((6,), 2 * each).double(), rtol=0.05, atol=0)
    assert (found.amortisation - 2 * each).abs().max() < 4 * found.amortisation_error.max() + 2e-3
    torch.testing.assert_close(found.approximation, torch.zeros(6).double(), rtol=0, atol=2e-3)
    assert found.settled.all()


def test_steps_that_do_not_suffice_leave_it_unsettled() -> None:
    model = Shifted(SHAPE, ppca().options)
    model.load_state_dict(ppca().state_dict())
    model.off = 50.0
    assert not gaps.measure(model, all_of_them()[:3], 400, steps=3).settled.any()
    model.off, model.narrower = 0.0, 1.0
    assert gaps.measure(model, all_of_them()[:3], 400).settled.all()


@torch.no_grad()
def test_what_no_diagonal_gaussian_can_say_is_the_approximation_gap() -> None:
    model, x = linear_vae(), all_of_them()[:4]
    weight = model.decoder[0].weight.double()
    precision = torch.eye(2, dtype=torch.float64) + weight.T @ weight / VAR
    closed = 0.5 * (precision.diagonal().log().sum() - precision.logdet())  # of q* = Π N(m_i, 1 / Λ_ii)
    assert closed > 0.1
    found = gaps.measure(model, x, 4000)
    assert found.exact
    torch.testing.assert_close(found.approximation, closed.expand(4), rtol=0, atol=0.02)
    mean = torch.linalg.solve(precision, weight.T @ (x.flatten(1) - model.decoder[0].bias).double().T / VAR).T
    start = model.diagonal(x)
    assert start
    best_mean, best_log_var = gaps.optimise(model, x, start, gaps.STEPS, torch.Generator().manual_seed(0))
    torch.testing.assert_close(best_mean.double(), mean, rtol=0, atol=0.05)
    torch.testing.assert_close(best_log_var.double(), -precision.diagonal().log().expand(4, 2), rtol=0, atol=0.05)
    square = torch.einsum(
        "bi,ij,bj->b", mean, precision, mean
    )  # KL(N(0, I) ‖ p(z|x)) is ½ (tr Λ + mᵀΛm − d − ln det Λ)
    off = 0.5 * (precision.trace() + square - 2 - precision.logdet())
    assert ((found.amortisation - (off - closed)).abs() < 4 * found.amortisation_error).all()
    assert (found.amortisation > 10 * found.amortisation_error).all()


def test_gaps_without_an_exact_value_are_under_a_bound() -> None:
    torch.manual_seed(0)
    model, x = VAE((1, 4, 4), VAEOptions(hidden=(8,), latents=2)).eval(), torch.rand(3, 1, 4, 4)
    found = gaps.measure(model, x, 200, steps=5)
    assert not found.exact and (found.evidence_error > 0).all()
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_error_of_the_approximation_gap_is_its_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gaps, "ROUNDS", 2)
    torch.manual_seed(0)
    model, x = VAE((1, 4, 4), VAEOptions(hidden=(8,), latents=2, std=0.3)).eval(), torch.rand(3, 1, 4, 4)
    with torch.no_grad():
        for layer in (model.encoder[1], model.decoder[0], model.decoder[2]):
            layer.weight.mul_(3)
    found = [gaps.measure(model, x, 300, steps=100, seed=10 * seed) for seed in range(20)]
    spread = torch.stack([each.approximation for each in found]).std(0)
    told = torch.stack([each.approximation_error for each in found]).mean(0)
    torch.testing.assert_close(told, spread, rtol=0.5, atol=0)


def test_the_evidence_is_the_larger_bound() -> None:
    own, found = torch.tensor([[0.0, 3.0], [0.2, 3.2]]), torch.tensor([[1.0, 1.0], [1.2, 1.2]])
    weights = [log_w.double().repeat(50, 1) for log_w in (own, found)]
    value, error, gap_error = gaps._bounded(*weights)
    assert value.tolist() == pytest.approx([1.105, 3.105], abs=1e-4)
    assert (error > 0).all() and (gap_error < 0.15).all()
    alone = torch.zeros(100, 1, dtype=torch.float64)
    alone[0] = 20  # one draw decides
    assert all(each.isnan().all() for each in gaps._bounded(alone, alone)[1:])


def test_progress_goes_through_every_loop() -> None:
    counted: list[int] = []
    gaps.measure(ppca(), all_of_them()[:1], 10, 7, track=lambda loop: (counted.append(1) or each for each in loop))
    assert len(counted) % (7 + 1) == 1 and len(counted) > 1  # rounds of steps and draws, after the encoder's own draws


def test_gaps_are_refused_in_a_sentence() -> None:
    with pytest.raises(ValueError, match="samples came as 1, expected 2 or more"):
        gaps.measure(ppca(), all_of_them()[:1], 1)
    with pytest.raises(ValueError, match="one Gaussian with a diagonal covariance"):
        gaps.measure(Toy(), torch.ones(3), 10)


# ---- exact evidence


@torch.no_grad()
@pytest.mark.parametrize("latents", [2, 5, 8])  # fewer than there are pixels, and more
def test_evidence_of_a_linear_vae_against_the_full_gaussian(latents: int) -> None:
    model, x = linear_vae(latents), all_of_them()[:50]
    weight = model.decoder[0].weight.double()
    full = torch.distributions.MultivariateNormal(
        model.decoder[0].bias.double(), weight @ weight.T + VAR * torch.eye(6, dtype=torch.float64)
    )
    found = likelihood.exact(model, x)
    assert found is not None
    torch.testing.assert_close(found.double(), full.log_prob(x.flatten(1).double()), rtol=1e-5, atol=1e-4)
    bound = likelihood.importance_bound(model, x[:5], 20_000, torch.Generator().manual_seed(0))
    told = bound.error.isfinite()  # where enough draws are effective
    assert told.sum() >= 4 and ((bound.value - found[:5]).abs() < 5 * bound.error + 1e-3)[told].all()


@pytest.mark.parametrize("options", [{"likelihood": "bernoulli", "std": 0.1}, {"hidden": (4,)}])
def test_no_evidence_where_the_decoder_is_not_linear(options: dict[str, object]) -> None:
    model = VAE(SHAPE, VAEOptions.read({**LINEAR, "latents": 2, **options}))
    assert likelihood.exact(model, torch.rand(2, *SHAPE)) is None


def test_a_mixture_knows_its_own_evidence_without_being_linear() -> None:
    model = Mixture(SHAPE, MixtureOptions(components=2))
    assert model.linear() is None and likelihood.exact(model, torch.rand(2, *SHAPE)) is not None


# ---- what the eigenvalues say


def spectrum(latents: int) -> linear.Spectrum:
    return linear.principal_components(linear_images(), latents, torch.device("cpu"))


def test_water_filling() -> None:
    found = linear.water_filling(spectrum(4), VAR, (1, 4, 8, 20))
    expected = [
        (1, 3, 2.831480, 2.5, -8.765670), (4, 2, 1.098612, 6, -13.828639),
        (8, 1, 0.405465, 10, -16.677911), (20, 0, 0, 15, -18.434190),
    ]  # fmt: skip
    for one, row in zip(found, expected, strict=True):
        assert (one.beta, one.active) == row[:2]
        assert (one.rate, one.distortion, one.objective) == pytest.approx(row[2:], abs=1e-4)


def test_water_filling_with_as_many_latents_as_ppca_is_its_evidence() -> None:
    (found,) = linear.water_filling(spectrum(2), VAR, [1])
    assert found.objective == pytest.approx(LOG_EVIDENCE, abs=1e-5)
    assert (found.active, found.rate) == (2, pytest.approx(2.484907, abs=1e-5))
    assert found.distortion == pytest.approx(2 * VAR + sum(EIGENVALUES[2:]), abs=1e-5)


def test_angles_to_the_principal_subspace() -> None:
    basis = spectrum(2).basis
    assert ppca().linear().angles(basis).max() < 0.01
    tilt, third = math.radians(30), spectrum(3).basis[:, 2]
    turned = torch.stack([3 * basis[:, 0] + basis[:, 1], math.cos(tilt) * basis[:, 1] + math.sin(tilt) * third], 1)
    straight = torch.stack([basis[:, 0], turned[:, 1]], 1)  # the plane itself is turned about one of its axes
    for columns, angle in ((straight, 30.0), (turned, None)):
        found = linear.LinearGaussian(columns, torch.zeros(6), torch.tensor(VAR)).angles(basis)
        cosines = torch.linalg.svdvals(torch.linalg.qr(columns)[0].T @ basis).clamp(-1, 1)
        torch.testing.assert_close(found, cosines.acos().rad2deg().flip(0), rtol=0, atol=1e-4)
        assert angle is None or float(found[0]) == pytest.approx(angle, abs=1e-4)


# ---- bounds that share their draws


def test_a_ladder_of_the_toy_model() -> None:
    log_w = likelihood.log_weights(Toy(), torch.ones(40), 20_000, torch.Generator().manual_seed(3))
    found = likelihood.ladder([log_w], [1, 2, 50, 20_000])
    for estimate, expected in zip(found, (-1.918939, -1.653474, -1.519, -1.515512), strict=True):
        assert float(estimate.value.mean()) == pytest.approx(expected, abs=0.005)
        spread = float(estimate.value.std())  # over 40 ladders of their own
        assert float(estimate.error.mean()) == pytest.approx(spread, rel=0.35)
    assert (torch.stack([estimate.value for estimate in found]).diff(dim=0) >= 0).all()
    assert float(found[0].ess.mean()) == 1
    whole = likelihood.importance_bound(Toy(), torch.ones(40), 20_000, torch.Generator().manual_seed(3))
    torch.testing.assert_close(found[-1].ess, whole.ess, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found[-1].error, whole.error, rtol=1e-3, atol=1e-5)


def test_a_ladder_needs_as_many_draws_as_its_last_rung() -> None:
    with pytest.raises(ValueError, match="a bound of 5 samples needs as many weights, got 4"):
        likelihood.ladder([torch.zeros(3, 2), torch.zeros(1, 2)], [1, 5])


@pytest.mark.parametrize("portion", [1, 3, 5, 7, 50, 120])
def test_a_ladder_is_the_same_however_its_draws_come(portion: int) -> None:
    log_w = 3 * torch.randn(103, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = likelihood.ladder(log_w.split(portion), [1, 5, 50, 100])
    for estimate in found:
        groups = log_w[: 103 // estimate.samples * estimate.samples].unflatten(0, (-1, estimate.samples))
        each = groups.exp().mean(1).log()  # (groups, b)
        torch.testing.assert_close(estimate.value, each.mean(0))
        torch.testing.assert_close(estimate.mean_log, groups.mean((0, 1)))
        ess = groups.exp().sum(1).square() / groups.exp().square().sum(1)
        torch.testing.assert_close(estimate.ess, ess.mean(0))
        if len(each) > 1:
            torch.testing.assert_close(estimate.error, each.std(0) / math.sqrt(len(each)))


def test_what_is_held_of_draws_does_not_grow() -> None:
    rung = likelihood._Rung(1000)
    for _ in range(5):
        rung.add(torch.randn(300, 2).double())
        assert rung.open.numel() <= 6 and rung.closed.numel() <= 8
    assert (rung.groups, rung.filled) == (1, 500)
