"""The formulas and bounds against closed-form values."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor

from trainer import likelihood
from trainer import probability as p
from trainer.latent import Density, Latent
from trainer.trainable import NOTHING, total

LOG_EVIDENCE = -0.5 * math.log(4 * math.pi) - 0.25  # of x = 1 under N(0, 2)


class Toy(Density):
    """z ~ N(0, 1), x|z ~ N(z, 1); the proposal is the prior, or N(x/2, 1/2), which is the posterior."""

    def __init__(self, exact: bool = False) -> None:
        self.exact = exact

    def infer(
        self, x: Tensor, samples: int, given: Mapping[str, Tensor] = NOTHING, generator: torch.Generator | None = None
    ) -> tuple[Latent, Tensor]:
        mean, var = (x / 2, 0.5) if self.exact else (torch.zeros_like(x), 1.0)
        noise = torch.randn(samples, len(x), generator=generator)
        z = mean + math.sqrt(var) * noise
        return {"z": z}, torch.distributions.Normal(mean, math.sqrt(var)).log_prob(z)

    def log_prior(self, z: Latent, given: Mapping[str, Tensor] = NOTHING) -> Tensor:
        return p.gaussian_log_prob(z["z"], 0.0, 1.0)

    def log_likelihood(self, x: Tensor, z: Latent, visible: Tensor | None = None) -> Tensor:
        return p.gaussian_log_prob(x, z["z"], 1.0)


def bound(samples: int, draws: int) -> float:
    generator = torch.Generator().manual_seed(samples)
    return float(likelihood.importance_bound(Toy(), torch.ones(draws), samples, generator).value.mean())


def test_gaussian_log_prob_takes_a_variance() -> None:
    x = torch.tensor([1.5])
    assert float(p.gaussian_log_prob(x, x, 1.0)) == pytest.approx(-0.918939, abs=1e-6)
    ours = p.gaussian_log_prob(x, torch.tensor([-0.5]), torch.tensor([9.0]))
    assert float(ours) == pytest.approx(float(torch.distributions.Normal(-0.5, 3.0).log_prob(x)), abs=1e-6)


def test_bernoulli_log_prob_of_black_white_and_grey() -> None:
    logits = torch.tensor([-2.0, 0.0, 3.0])
    coin = torch.distributions.Bernoulli(logits=logits)
    black, white = coin.log_prob(torch.zeros(3)), coin.log_prob(torch.ones(3))
    torch.testing.assert_close(p.bernoulli_log_prob(torch.ones(3), logits), white)
    torch.testing.assert_close(p.bernoulli_log_prob(torch.zeros(3), logits), black)
    torch.testing.assert_close(p.bernoulli_log_prob(torch.full((3,), 0.25), logits), 0.25 * white + 0.75 * black)
    many = p.bernoulli_log_prob(torch.ones(3), logits.expand(5, 2, 3))  # a batch against (s, b, …) logits
    torch.testing.assert_close(many, white.expand(5, 2, 3))


def test_bernoulli_log_prob_stays_finite_far_out() -> None:
    logits = torch.tensor([200.0, -200.0])
    torch.testing.assert_close(p.bernoulli_log_prob(torch.tensor([0.0, 1.0]), logits), torch.tensor([-200.0, -200.0]))


@pytest.mark.parametrize("pixels", [(1, 28, 28), (3, 64, 64), (1, 5, 7), (1, 1, 1)])
@pytest.mark.parametrize("spread", [0.1, 3.0, 20.0, 500.0])  # of the last two, products of 16 pixels are no numbers
@pytest.mark.parametrize("grey", [False, True])
@torch.no_grad()
def test_bernoulli_log_likelihood_is_the_sum_over_pixels(
    pixels: tuple[int, int, int], spread: float, grey: bool
) -> None:
    torch.manual_seed(0)
    x, logits = torch.rand(2, *pixels), spread * torch.randn(5, 2, *pixels)
    x = x if grey else x.round()
    logits[:2] = (2 * x.round() - 1) * logits[:2].abs()  # draws that fit, beside some that do not
    coin = torch.distributions.Bernoulli(logits=logits.double(), validate_args=False)
    found, expected = p.bernoulli_log_likelihood(x, logits).double(), coin.log_prob(x.double()).sum((2, 3, 4))
    torch.testing.assert_close(found, expected, rtol=2e-6, atol=1e-4)  # as float32 rounds


def test_gradient_of_the_bernoulli_log_likelihood() -> None:
    torch.manual_seed(0)
    x, logits = torch.rand(2, 1, 4, 4), (3 * torch.randn(5, 2, 1, 4, 4)).requires_grad_()
    found = p.bernoulli_log_likelihood(x, logits)
    with torch.no_grad():
        torch.testing.assert_close(found, p.bernoulli_log_likelihood(x, logits))
    (gradient,) = torch.autograd.grad(found.sum(), logits)
    torch.testing.assert_close(gradient, x - logits.sigmoid())


@torch.no_grad()
def test_bernoulli_log_likelihood_of_what_is_known_by_heart() -> None:
    far = p.bernoulli_log_likelihood(torch.zeros(1, 64), torch.tensor([200.0, -200.0]).expand(64, 2).T[:, None])
    torch.testing.assert_close(far, torch.tensor([[-64 * 200.0], [0.0]]))
    torch.testing.assert_close(
        p.bernoulli_log_likelihood(torch.zeros(1, 64), torch.zeros(1, 1, 64)), torch.tensor([[-64 * math.log(2)]])
    )
    half = p.bernoulli_log_likelihood(torch.full((1, 64), 0.5), torch.full((1, 1, 64), 3.0))
    torch.testing.assert_close(half, torch.tensor([[64 * (1.5 - math.log1p(math.exp(3.0)))]]))
    nothing = p.bernoulli_log_likelihood(torch.zeros(1, 64), torch.full((1, 1, 64), math.nan))
    assert nothing.isnan().all()  # a broken net is not taken for a likely one


@pytest.mark.parametrize(("samples", "draws", "expected", "within"), [
    (1, 1_000_000, -1.918939, 0.006),
    (2, 500_000, -1.653474, 0.006),
    (5, 400_000, -1.558, 0.004),
    (50, 100_000, -1.519, 0.003),
])  # fmt: skip
def test_importance_bound_of_the_toy_model(samples: int, draws: int, expected: float, within: float) -> None:
    assert bound(samples, draws) == pytest.approx(expected, abs=within)


def test_importance_bound_rises_with_samples_and_stays_below_the_evidence() -> None:
    found = [bound(samples, 200_000) for samples in (1, 2, 5, 50)]
    assert found == sorted(found)
    assert found[-1] < LOG_EVIDENCE == pytest.approx(-1.515512, abs=1e-6)


def test_two_sample_bound_by_quadrature() -> None:
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    weights = weights / weights.sum()
    z = torch.from_numpy(nodes)
    pairs = torch.stack([z[:, None].expand(80, 80), z[None, :].expand(80, 80)])  # (s = 2, 80, 80)
    each = p.log_mean_exp(p.gaussian_log_prob(torch.ones((), dtype=torch.float64), pairs, 1.0))
    chance = torch.from_numpy(np.outer(weights, weights))
    assert float((each * chance).sum()) == pytest.approx(-1.653474, abs=1e-5)


def test_with_the_exact_posterior_every_weight_is_the_evidence() -> None:
    weights = likelihood.log_weights(Toy(exact=True), torch.ones(100), 7, torch.Generator().manual_seed(0))
    assert weights.shape == (7, 100)
    torch.testing.assert_close(weights, torch.full((7, 100), LOG_EVIDENCE), atol=1e-5, rtol=0)


def test_a_bound_of_no_samples_is_refused() -> None:
    with pytest.raises(ValueError, match="samples=0"):
        likelihood.importance_bound(Toy(), torch.ones(3), 0)


def test_the_gap_is_the_kl_to_the_posterior_not_to_the_prior() -> None:
    zero = torch.zeros(1)
    posterior_mean, posterior_log_var = torch.tensor([0.5]), torch.tensor([0.5]).log()
    gap = float(p.kl_between(zero, zero, posterior_mean, posterior_log_var))
    assert float(p.kl_to_standard(zero, zero)) == 0
    assert gap == pytest.approx(0.403426, abs=1e-6)
    assert -1.918939 + gap == pytest.approx(LOG_EVIDENCE, abs=2e-6)


MU, SIGMA = 3.0, 2.0


def toy_elbo(a: Tensor, b: Tensor, c: Tensor, d: Tensor, log_var: Tensor, decoder_var: Tensor) -> Tensor:
    """ELBO of x ~ N(3, 4), q = N(ax + b, var), p(x|z) = N(cz + d, decoder_var), averaged by exact quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(8)
    node, weight = torch.from_numpy(nodes), torch.from_numpy(weights / weights.sum())
    x = (MU + SIGMA * node)[:, None]  # (8, 1)
    mean = a * x + b
    z = p.reparameterise(mean, log_var, node)  # (8, 8)
    expected = (p.gaussian_log_prob(x.expand(8, 8), c * z + d, decoder_var) * weight).sum(1)
    return ((expected - p.kl_to_standard(mean, log_var)[:, 0]) * weight).sum()


def numbers(*values: float) -> list[Tensor]:
    return [torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in values]


def test_toy_vae_optimum_with_unit_posterior_variance() -> None:
    root = math.sqrt(2) * SIGMA
    a, b, c, d = numbers(1 / root, -MU / root, SIGMA / math.sqrt(2), MU)
    elbo = toy_elbo(a, b, c, d, torch.zeros(()).double(), c.square())
    log_evidence = -0.5 * math.log(2 * math.pi * math.e * SIGMA**2)
    assert log_evidence == pytest.approx(-2.112086, abs=1e-6)
    assert elbo.item() == pytest.approx(-2.265512, abs=1e-6)
    assert log_evidence - elbo.item() == pytest.approx(0.153426, abs=1e-6)
    for slope in torch.autograd.grad(elbo, (a, b, c, d)):
        assert float(slope) == pytest.approx(0, abs=1e-9)


def test_toy_vae_at_the_point_that_maximises_no_bound() -> None:
    a, b, c, d = numbers(1 / SIGMA, -MU / SIGMA, SIGMA, MU)
    assert toy_elbo(a, b, c, d, torch.zeros(()).double(), c.square()).item() == pytest.approx(-2.612086, abs=1e-6)


def test_toy_vae_has_no_gap_once_the_posterior_variance_is_right() -> None:
    root = math.sqrt(2) * SIGMA
    a, b, c, d = numbers(1 / root, -MU / root, SIGMA / math.sqrt(2), MU)
    elbo = toy_elbo(a, b, c, d, torch.tensor(0.5, dtype=torch.float64).log(), c.square())
    assert elbo.item() == pytest.approx(-2.112086, abs=1e-6)


def test_gradients_pass_through_the_draw() -> None:
    mean, std = numbers(0.7, 1.3)
    noise = torch.tensor([-1.0, 1.0], dtype=torch.float64)  # mean 0 and variance 1, exactly
    p.reparameterise(mean, 2 * std.log(), noise).square().mean().backward()  # type: ignore[no-untyped-call]
    assert float(mean.grad) == pytest.approx(2 * 0.7)  # type: ignore[arg-type]
    assert float(std.grad) == pytest.approx(2 * 1.3)  # type: ignore[arg-type]


def test_log_density_of_a_reparameterised_draw() -> None:
    mean, log_var, noise = torch.tensor(0.5), torch.tensor(4.0).log(), torch.tensor(1.0)
    assert float(p.reparameterised_log_prob(log_var, noise)) == pytest.approx(-2.112086, abs=1e-6)
    z = p.reparameterise(mean, log_var, noise)
    assert float(z) == pytest.approx(2.5)
    assert float(torch.distributions.Normal(0.5, 2.0).log_prob(z)) == pytest.approx(-2.112086, abs=1e-6)


def test_gaussian_kls() -> None:
    one, four, quarter = torch.tensor(1.0), torch.tensor(4.0).log(), torch.tensor(0.25).log()
    assert float(p.kl_to_standard(one, four)) == pytest.approx(1.306853, abs=1e-6)
    assert float(p.kl_between(one, quarter, -one, four)) == pytest.approx(1.417544, abs=1e-6)
    assert float(p.kl_between(one, four, one, four)) == 0


def test_gaussian_kls_against_torch() -> None:
    generator = torch.Generator().manual_seed(1)
    mean, log_var, other, other_log_var = torch.randn(4, 5, 3, generator=generator)
    q = torch.distributions.Normal(mean, (log_var / 2).exp())
    r = torch.distributions.Normal(other, (other_log_var / 2).exp())
    standard = torch.distributions.Normal(torch.zeros(5, 3), torch.ones(5, 3))
    kl = torch.distributions.kl_divergence
    torch.testing.assert_close(p.kl_between(mean, log_var, other, other_log_var), kl(q, r), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(p.kl_to_standard(mean, log_var), kl(q, standard), rtol=1e-4, atol=1e-5)


def test_sums_are_over_pixels_and_dimensions_only() -> None:
    assert p.per_image(torch.ones(4, 3, 5, 2)).tolist() == [30.0] * 4
    assert p.per_image(torch.ones(2, 4, 3, 5), 2).tolist() == [[15.0] * 4] * 2
    assert p.per_image(torch.arange(3.0)).tolist() == [0.0, 1.0, 2.0]
    families = total({"reconstruction": torch.tensor([1.0, 2.0]), "kl/a": torch.ones(2, 3), "kl/b": torch.ones(2, 4)})
    assert families["kl"].tolist() == [7.0, 7.0]
    assert families["loss"].tolist() == [8.0, 9.0]


@pytest.mark.parametrize(("equal", "known"), [(likelihood.EFFECTIVE + 1, True), (likelihood.EFFECTIVE - 1, False)])
def test_too_few_effective_draws_tell_no_error(equal: int, known: bool) -> None:
    log_w = torch.full((200, 1), -60.0)
    log_w[:equal] = 0  # as many are effective
    (found,) = likelihood.ladder([log_w], [200])
    assert float(found.ess) == pytest.approx(equal)
    assert bool(found.error.isnan()) is not known
    assert not known or float(found.error) == pytest.approx(math.sqrt((1 / equal - 1 / 200) * 200 / 199))


def test_log_mean_exp_does_not_overflow() -> None:
    assert float(p.log_mean_exp(torch.tensor([math.log(1.0), math.log(3.0)]))) == pytest.approx(math.log(2))
    assert float(p.log_mean_exp(torch.tensor([1000.0, 1000.0]))) == pytest.approx(1000)
    rows = p.log_mean_exp(torch.tensor([[0.0, -800.0], [0.0, -800.0]]), axis=0)
    assert rows.tolist() == pytest.approx([0.0, -800.0])
