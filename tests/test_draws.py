"""Draws from p(x|z): their mean and standard deviation against the closed forms of each likelihood."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from trainer.latent import Density, Latent
from trainer.models.pca import PCAOptions
from trainer.models.ppca import ProbabilisticPCA
from trainer.models.vae import VAE, VAEOptions

SHAPE = (1, 2, 3)
COUNT = 20_000
STD = 0.05


def many(model: Density) -> Tensor:
    """COUNT draws at one latent, (COUNT, 1, 2, 3)."""
    z: Latent = {"z": torch.tensor([[0.5, -1.0]]).expand(COUNT, 2)}
    return model.draw(z, torch.Generator().manual_seed(0))


def assert_moments(drawn: Tensor, mean: Tensor, std: Tensor | float) -> None:
    """Within five standard errors: std / √n of a mean, at most about as much of a standard deviation."""
    std = torch.as_tensor(std).expand_as(mean)
    assert drawn.shape == (COUNT, *SHAPE)
    assert ((drawn.mean(0) - mean).abs() < 5 * std / math.sqrt(COUNT)).all()
    assert ((drawn.std(0) - std).abs() < 5 * std / math.sqrt(COUNT)).all()


def vae(likelihood: str) -> VAE:
    torch.manual_seed(0)
    model = VAE(
        SHAPE, VAEOptions.read({"latents": 2, "net": "mlp", "hidden": (4,), "likelihood": likelihood, "std": STD})
    )
    if likelihood != "bernoulli":
        with torch.no_grad():  # means between 0.25 and 0.75, so that no draw is cut
            last = list(model.decoder.parameters())[-2:]
            last[0].mul_(0.1)
            last[1].mul_(0.1).add_(0.5)
    return model


@torch.no_grad()
@pytest.mark.parametrize("likelihood", ["gaussian", "learned"])
def test_gaussian_draws(likelihood: str) -> None:
    model = vae(likelihood)
    mean = model.decode({"z": torch.tensor([[0.5, -1.0]])})[0]
    assert ((mean > 0.25) & (mean < 0.75)).all()
    assert_moments(many(model), mean, STD)


@torch.no_grad()
def test_bernoulli_draws_are_black_or_white() -> None:
    model = vae("bernoulli")
    drawn = many(model)
    p = model.decode({"z": torch.tensor([[0.5, -1.0]])})[0]
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    assert_moments(drawn, p, (p * (1 - p)).sqrt())


@torch.no_grad()
def test_ppca_draws_have_the_discarded_variance() -> None:
    model = ProbabilisticPCA(SHAPE, PCAOptions(latents=2))
    model.mean.fill_(0.5)
    model.variance.copy_(torch.tensor([0.02, 0.01]))
    model.discarded.fill_(STD**2)
    assert_moments(many(model), model.decode({"z": torch.tensor([[0.5, -1.0]])})[0], STD)


@torch.no_grad()
def test_draws_are_cut_to_the_screen() -> None:
    """A normal with mean m and std s, cut below at 0: its mean is m Φ(m/s) + s φ(m/s)."""
    model = ProbabilisticPCA(SHAPE, PCAOptions(latents=2))
    model.mean.fill_(0.5 * STD)
    model.variance.fill_(STD**2)  # no more than the noise, so W = 0
    model.discarded.fill_(STD**2)
    drawn = many(model)
    standard = torch.distributions.Normal(0.0, 1.0)
    half = torch.tensor(0.5)
    expected = STD * (half * standard.cdf(half) + standard.log_prob(half).exp())
    assert float(drawn.min()) == 0.0
    assert abs(float(drawn.mean() - expected)) < 5 * STD / math.sqrt(drawn.numel())
