"""The parts of a KL against closed forms of Gaussian data, and the estimators that the variants train on."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from trainer import surgery
from trainer.data import Images
from trainer.models.factor_vae import FactorVAE, FactorVAEOptions, shuffled
from trainer.models.iwae import IWAE, IWAEOptions
from trainer.models.tc_vae import TCVAE, TCVAEOptions, log_aggregate
from trainer.models.vae import VAE, VAEOptions
from trainer.probability import gaussian_log_prob, reparameterise

NOISE = 0.5  # std of each posterior


def linear(n: int, independent: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Posteriors N(u, NOISE²) of Gaussian u: of two dimensions that are the same number, or are independent."""
    u = torch.randn(n, 2, generator=torch.Generator().manual_seed(7))
    mean = u if independent else u[:, :1].expand(n, 2)
    return mean, torch.full_like(mean, 2 * math.log(NOISE))


def test_parts_of_gaussian_data() -> None:
    found = surgery.parts(*linear(2000, independent=True))
    assert found.mutual_information == pytest.approx(math.log(1 + 1 / NOISE**2), abs=0.05)  # ½ ln(1 + 1/s²) twice
    assert found.total_correlation == pytest.approx(0, abs=0.03)
    one = 0.5 * (1 + NOISE**2 - 1 - math.log(1 + NOISE**2))  # KL(N(0, 1 + s²) ‖ N(0, 1))
    assert found.dimension_wise == pytest.approx(2 * one, abs=0.05)
    total = found.mutual_information + found.total_correlation + found.dimension_wise
    assert total == pytest.approx(found.kl, abs=0.05)


def test_total_correlation_of_a_number_that_is_there_twice() -> None:
    found = surgery.parts(*linear(2000, independent=False))
    rho = 1 / (1 + NOISE**2)
    assert found.total_correlation == pytest.approx(-0.5 * math.log(1 - rho**2), abs=0.05)
    assert found.mutual_information == pytest.approx(0.5 * math.log(1 + 2 / NOISE**2), abs=0.05)


def test_narrow_posteriors_tell_every_image_apart() -> None:
    n = 50
    mean = 100.0 * torch.arange(n)[:, None].float()
    found = surgery.parts(mean, torch.zeros_like(mean))
    assert found.mutual_information == pytest.approx(math.log(n), abs=1e-6)
    with pytest.raises(ValueError, match="at least 2"):
        surgery.parts(mean[:1], mean[:1])


# ---- what the variants train on


def test_the_batch_estimate_of_q_has_no_bias() -> None:
    """Over all batches of 3 of 5 posteriors that hold the first one, the mean density is that of all five."""
    torch.manual_seed(0)
    mean, log_var, z = torch.randn(5, 2).double(), torch.randn(5, 2).double(), torch.randn(2).double()
    whole = gaussian_log_prob(z, mean, log_var.exp()).sum(1).exp().mean()
    each = []
    for others in itertools.combinations(range(1, 5), 2):
        rows = [0, *others]
        joint, _ = log_aggregate(z.expand(3, 2), mean[rows], log_var[rows], torch.tensor(5.0).double())
        each.append(joint[0].exp())
    assert torch.stack(each).mean().item() == pytest.approx(whole.item(), rel=1e-9)


def test_of_the_whole_set_the_estimate_is_exact() -> None:
    mean, log_var = linear(40, independent=False)
    z = mean + 0.1
    joint, single = log_aggregate(z, mean, log_var, torch.tensor(40.0))
    cross = gaussian_log_prob(z[:, None], mean, log_var.exp())
    torch.testing.assert_close(joint, cross.sum(2).logsumexp(1) - math.log(40))
    torch.testing.assert_close(single, cross.logsumexp(1) - math.log(40))


def x_and(kind: type[VAE], options: VAEOptions) -> tuple[torch.Tensor, VAE]:
    torch.manual_seed(0)
    model = kind((1, 4, 4), options)
    x = torch.rand(12, 1, 4, 4)
    model.begin(Images("noise", (255 * x).byte()))
    return x, model.eval()


def test_beta_one_is_the_vae() -> None:
    x, model = x_and(TCVAE, TCVAEOptions(hidden=(8,), latents=3, beta=1))
    terms = model.terms(x)
    torch.testing.assert_close(model.loss(terms), (terms["reconstruction"] + terms["kl/z"].sum(1)).mean())
    model.knobs["beta"].fill_(3)
    extra = 2 * terms["extra/total_correlation"].mean()
    torch.testing.assert_close(model.loss(terms), (terms["reconstruction"] + terms["kl/z"].sum(1)).mean() + extra)


def test_each_part_of_factor_vae_learns_from_its_own_term() -> None:
    x, model = x_and(FactorVAE, FactorVAEOptions(hidden=(8,), latents=3, critic=8))
    assert isinstance(model, FactorVAE)
    terms = model.terms(x)
    critic, encoder = list(model.critic.parameters()), list(model.encoder.parameters())
    correlation, told = terms["extra/total_correlation"].sum(), terms["extra/critic"].sum()
    by_correlation = torch.autograd.grad(correlation, [*critic, *encoder], allow_unused=True, retain_graph=True)
    assert all(found is None for found in by_correlation[: len(critic)])
    assert any(found is not None and found.abs().sum() > 0 for found in by_correlation[len(critic) :])
    by_critic = torch.autograd.grad(told, [*critic, *encoder], allow_unused=True)
    assert all(found is not None for found in by_critic[: len(critic)])
    assert all(found is None for found in by_critic[len(critic) :])


def test_shuffling_keeps_each_dimension_and_parts_them() -> None:
    torch.manual_seed(0)
    z = torch.arange(1000.0)[:, None].expand(1000, 2)
    found = shuffled(z)
    torch.testing.assert_close(found.sort(0).values, z)
    assert abs(float(torch.corrcoef(found.T)[0, 1])) < 0.15


def test_the_critic_learns_the_total_correlation() -> None:
    """Of two Gaussian numbers with correlation ρ it is −½ ln(1 − ρ²)."""
    rho, n = 0.8, 1000
    _, model = x_and(FactorVAE, FactorVAEOptions(hidden=(8,), latents=2, critic=32))
    assert isinstance(model, FactorVAE)
    generator = torch.Generator().manual_seed(3)

    def draws() -> torch.Tensor:
        u = torch.randn(n, 2, generator=generator)
        return torch.stack([u[:, 0], rho * u[:, 0] + math.sqrt(1 - rho**2) * u[:, 1]], 1)

    def drawn(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x.flatten(1)[:, :2], torch.full((len(x), 2), -20.0)  # posteriors so narrow that their means are z

    model.posterior = drawn  # type: ignore[method-assign]
    optimiser = torch.optim.Adam(model.critic.parameters(), 3e-3)
    for _ in range(200):
        x = torch.zeros(n, 1, 4, 4)
        x[:, 0, 0, :2] = draws()
        optimiser.zero_grad()
        model.terms(x)["extra/critic"].mean().backward()
        optimiser.step()
    x[:, 0, 0, :2] = draws()  # that it has not learned from
    found = model.terms(x)["extra/total_correlation"].mean().item()
    assert found == pytest.approx(-0.5 * math.log(1 - rho**2), abs=0.08)


def test_training_on_the_total_correlation_lowers_it() -> None:
    """Two causes of eight pixels that come together: a VAE's dimensions share them, and β = 8 pulls them apart."""
    found = {}
    for beta in (1.0, 8.0):
        torch.manual_seed(0)
        causes = torch.randn(120, 2)
        causes[:, 1] = 0.8 * causes[:, 0] + 0.6 * causes[:, 1]
        pixels = (0.5 + 0.15 * causes @ torch.randn(2, 16)).clamp(0, 1).view(-1, 1, 4, 4)
        images = Images("causes", (255 * pixels).byte())
        options = TCVAEOptions(hidden=(), latents=4, beta=beta, likelihood="gaussian", std=0.1)
        model = TCVAE((1, 4, 4), options)
        model.begin(images)
        optimiser, everything = torch.optim.Adam(model.parameters(), 0.02), torch.arange(120)
        for _ in range(150):
            x = images.batch(everything)
            optimiser.zero_grad()
            model.loss(model.terms(x)).backward()
            optimiser.step()
        with torch.no_grad():
            found[beta] = surgery.parts(*model.posterior(images.batch(everything))).total_correlation
    assert found[1.0] > 0.1
    assert found[8.0] < 0.5 * found[1.0]


def test_iwae_of_one_draw_is_the_vae_with_that_draw() -> None:
    x, model = x_and(IWAE, IWAEOptions(hidden=(8,), latents=3, samples=1))
    torch.manual_seed(5)
    loss = model.loss(model.terms(x))
    torch.manual_seed(5)
    plain = VAE((1, 4, 4), VAEOptions(hidden=(8,), latents=3))
    plain.load_state_dict(model.state_dict())
    torch.manual_seed(5)
    terms = plain.eval().terms(x)
    torch.manual_seed(5)
    mean, log_var = model.posterior(x)
    z = reparameterise(mean, log_var, model.draw_noise(1, *mean.shape))[0]
    std = (0.5 * log_var).exp()
    kl = torch.distributions.Normal(mean, std).log_prob(z) - torch.distributions.Normal(0.0, 1.0).log_prob(z)
    torch.testing.assert_close(loss, (terms["reconstruction"] + kl.sum(1)).mean())


def test_iwae_of_many_draws_is_the_bound() -> None:
    x, model = x_and(IWAE, IWAEOptions(hidden=(8,), latents=3, samples=7))
    torch.manual_seed(5)
    terms = model.terms(x)
    torch.manual_seed(5)
    mean, log_var = model.posterior(x)
    z = reparameterise(mean, log_var, model.draw_noise(7, *mean.shape))
    q = torch.distributions.Normal(mean, (0.5 * log_var).exp()).log_prob(z).sum(2)
    p = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(2)
    bound = (model.log_likelihood(x, {"z": z}) + p - q).logsumexp(0) - math.log(7)
    torch.testing.assert_close(model.loss(terms), -bound.mean())
    assert (terms["extra/tightening"] <= 0).all()
