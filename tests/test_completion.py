"""Completion: exact where the model has a closed form, weighted as it should be, and only where it can be."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from trainer import models
from trainer.completion import complete, moved, weighted
from trainer.data import Images
from trainer.latent import LatentModel
from trainer.proposals import Mixture, prior_of, proposal_of

SHAPE = (1, 4, 4)


def built(name: str, **options: Any) -> LatentModel:
    torch.manual_seed(0)
    kind = models.get(name)
    return kind(SHAPE, kind.Options.read(options)).eval()


@pytest.fixture(scope="module")
def ppca() -> LatentModel:
    """Probabilistic PCA of images in the middle of the grey range, so that no decode is cut off at 0 or 1."""
    generator = torch.Generator().manual_seed(0)
    mixed = torch.randn(400, 3, generator=generator) @ (0.04 * torch.randn(3, 16, generator=generator))
    pixels = 0.5 + mixed + 0.03 * torch.randn(400, 16, generator=generator)
    model = built("ppca", latents=3)
    model.begin(Images("grey", pixels.view(-1, *SHAPE)))
    return model


def scene() -> tuple[Tensor, Tensor]:
    """Two images and two masks, one of them a quadrant."""
    x = 0.5 + 0.1 * torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(5))
    visible = torch.zeros(2, *SHAPE, dtype=torch.bool)
    visible[0, :, 2:, :2] = True
    visible[1, :, ::2] = True
    return x, visible


def conditional(model: Any, x: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance of p(hidden|visible), from the joint Gaussian of all pixels: the Schur complement."""
    seen = visible.flatten()
    joint = (model.weight @ model.weight.T + model.noise * torch.eye(16)).double()
    gain = joint[~seen][:, seen] @ joint[seen][:, seen].inverse()
    centred = (x.flatten() - model.mean).double()[seen]
    return model.mean[~seen] + gain @ centred, joint[~seen][:, ~seen] - gain @ joint[seen][:, ~seen]


@pytest.mark.parametrize("moves", [0, 60], ids=["weights", "Langevin"])
def test_completions_are_those_of_the_joint_gaussian(ppca: Any, moves: int) -> None:
    x, visible = scene()
    found = complete(ppca, x, visible, 20_000, moves, chains=8_000, generator=torch.Generator().manual_seed(1))
    for i in range(2):
        hidden = ~visible[i].flatten()
        mean, covariance = conditional(ppca, x[i], visible[i])
        images = ppca.mean_image(found.z["z"][:, i])[:, hidden].double()  # (s, hidden)
        weights = found.weights[:, i].double()
        centre = weights @ images
        spread = (images - centre).T @ (weights[:, None] * (images - centre))
        spread += float(ppca.noise) * torch.eye(int(hidden.sum()))
        std = covariance.diagonal().sqrt()
        error = 5 / math.sqrt(min(float(found.ess[i]), len(images)))  # five standard errors, in standard deviations
        assert ((centre - mean).abs() < error * std).all()
        assert ((spread - covariance).abs() < 2 * error * torch.outer(std, std)).all()
        torch.testing.assert_close(found.mean[i].flatten()[hidden].double(), centre, rtol=0, atol=1e-5)
        inner = (spread.diagonal() - float(ppca.noise)).sqrt()
        torch.testing.assert_close(found.std[i].flatten()[hidden].double(), inner, rtol=1e-3, atol=1e-5)


def test_langevin_moves_find_the_posterior_from_anywhere(ppca: Any) -> None:
    """All chains start at one wrong place; the weights have no part in where they end."""
    x, visible = scene()
    start = weighted(ppca, x, visible, prior_of(ppca, 2), 2_000, torch.Generator().manual_seed(2))
    start.z["z"].fill_(2.0)
    found = moved(ppca, x, visible, start, 200, 2_000, torch.Generator().manual_seed(3))
    assert found.accepted is not None and 0.4 < found.accepted < 0.75
    for i in range(2):
        seen = visible[i].flatten()
        w = ppca.weight[seen].double()
        precision = torch.eye(3) + w.T @ w / ppca.noise
        mean = torch.linalg.solve(precision, w.T @ (x[i].flatten() - ppca.mean).double()[seen] / float(ppca.noise))
        z = found.z["z"][:, i].double()
        std = precision.inverse().diagonal().sqrt()
        assert ((z.mean(0) - mean).abs() < 0.15 * std).all()
        assert ((torch.cov(z.T) - precision.inverse()).abs() < 0.2 * torch.outer(std, std)).all()


def linear_classes() -> Any:
    """A conditional VAE without hidden layers: p(x|y) is one Gaussian for each of three classes."""
    model: Any = built("cvae", hidden=(), latents=2, classes=3, likelihood="gaussian", std=0.2, prior="dependent")
    with torch.no_grad():
        model.prior_mean.normal_(0, 0.5)
        model.prior_log_var.normal_(-0.5, 0.3)
        model.decoder[0].weight.normal_(0, 0.1)
    return model


@pytest.mark.parametrize("moves", [0, 40], ids=["weights", "Langevin"])
def test_completions_of_classes_are_those_of_a_mixture_of_gaussians(moves: int) -> None:
    """p(y|visible), and the mean of p(hidden|visible) before the decode is cut off at 0 and 1."""
    model = linear_classes()
    x, visible = scene()
    draws, chains = 20_000, 8_000
    found = complete(model, x, visible, draws, moves, chains, generator=torch.Generator().manual_seed(1))
    weight = model.decoder[0].weight.detach().double()  # (D, d + k)
    for i in range(2):
        seen, evidence, means = visible[i].flatten(), [], []
        for y in range(3):
            scale = weight[:, :2] * (0.5 * model.prior_log_var[y].detach().double()).exp()
            middle = weight[:, :2] @ model.prior_mean[y].detach().double() + weight[:, 2 + y]
            middle = middle + model.decoder[0].bias.detach().double()
            joint = scale @ scale.T + 0.04 * torch.eye(16)
            pixels, inner = x[i].flatten().double()[seen], joint[seen][:, seen]
            evidence.append(torch.distributions.MultivariateNormal(middle[seen], inner).log_prob(pixels))
            means.append(middle[~seen] + joint[~seen][:, seen] @ inner.inverse() @ (pixels - middle[seen]))
        classes = torch.stack(evidence).softmax(0)
        n = min(float(found.ess[i]), chains if moves else draws)
        weights = found.weights[:, i].double()
        torch.testing.assert_close(weights @ found.z["y"][:, i].double(), classes, rtol=0, atol=2.5 / math.sqrt(n))
        with torch.no_grad():
            out = model.out({name: values[:, i] for name, values in found.z.items()}).flatten(1)[:, ~seen].double()
        centre = weights @ out
        std = (weights @ (out - centre).square()).sqrt()
        assert ((centre - classes @ torch.stack(means)).abs() < 5 * std / math.sqrt(n)).all()
    assert (found.ess > 300).all()  # by an encoder that has learned nothing


def test_components_are_weighed_exactly() -> None:
    """Of a mixture of Bernoullis p(component|visible) is in closed form, and nearly every draw counts."""
    model: Any = built("mixture", components=4, likelihood="bernoulli")
    model.mean.copy_(torch.rand(4, 16, generator=torch.Generator().manual_seed(3)).clamp(0.1, 0.9))
    model.weight.copy_(torch.tensor([0.4, 0.3, 0.2, 0.1]))
    _, visible = scene()
    x = (torch.rand(2, *SHAPE, generator=torch.Generator().manual_seed(4)) < 0.5).float()
    found = complete(model, x, visible, 8_000, 5, generator=torch.Generator().manual_seed(1))
    for i in range(2):
        seen, pixels = visible[i].flatten(), x[i].flatten()
        each = torch.where(pixels.bool(), model.mean, 1 - model.mean)[:, seen].prod(1) * model.weight
        expected = each / each.sum()
        torch.testing.assert_close(found.weights[:, i] @ found.z["component"][:, i], expected, rtol=0, atol=0.03)
        completed = found.mean[i].flatten()[~seen]
        torch.testing.assert_close(completed, expected @ model.mean[:, ~seen], rtol=0, atol=0.02)
    assert (found.ess > 0.8 * 8_000).all() and found.accepted is None


@pytest.mark.parametrize("name", ["hierarchical_vae", "vlae", "semi_supervised"])
def test_several_parts_are_weighed_as_the_prior_would(name: str) -> None:
    """Two proposals, one posterior: the encoder's and the prior's draws find the same mean of what is hidden."""
    more = {"classes": 3, "latents": 2} if name == "semi_supervised" else {"latents": (3, 2), "hidden": (8, 8)}
    model = built(name, **{"hidden": (8,), **more}, likelihood="gaussian", std=0.3)
    x, visible = scene()
    with torch.no_grad():
        prior = weighted(model, x, visible, prior_of(model, 2), 60_000, torch.Generator().manual_seed(1))
    found = complete(model, x, visible, 20_000, generator=torch.Generator().manual_seed(2))
    for part, values in found.z.items():
        ours, theirs = (found.weights[..., None] * values).sum(0), (prior.weights[..., None] * prior.z[part]).sum(0)
        error = 4 * (1 / found.ess + 1 / prior.ess).sqrt()[:, None]  # in standard deviations, which are at most about 1
        assert ((ours - theirs).abs() < error).all()
    assert (found.ess > 100).all() and (prior.ess > 100).all()


def test_effective_sample_size_is_the_closed_forms(ppca: Any) -> None:
    """One pixel seen, proposals from the prior: E[w]² / E[w²] of w = N(x; a z + b, σ²) over z ~ N(0, 1)."""
    x, visible = scene()[0][:1], torch.zeros(SHAPE, dtype=torch.bool)
    visible[0, 1, 2] = True
    a, noise = float(ppca.weight[6].norm()), float(ppca.noise)
    distance = float(x.flatten()[6] - ppca.mean[6])

    def density(var: float) -> float:
        return math.exp(-0.5 * distance**2 / var) / math.sqrt(2 * math.pi * var)

    expected = density(a * a + noise) ** 2 / (density(a * a + noise / 2) / math.sqrt(4 * math.pi * noise))
    draws = 40_000
    found = weighted(ppca, x, visible.expand_as(x), prior_of(ppca, 1), draws, torch.Generator().manual_seed(4))
    assert float(found.ess) / draws == pytest.approx(expected, rel=0.03)
    assert 0.05 < expected < 0.9  # neither trivial


def test_the_encoder_proposes_better_than_the_prior(ppca: Any) -> None:
    x, visible = scene()
    seeded = torch.Generator().manual_seed(6)
    prior = weighted(ppca, x, visible, prior_of(ppca, 2), 4_000, seeded)
    encoder = weighted(ppca, x, visible, proposal_of(ppca, x, visible, seeded), 4_000, seeded)
    assert (encoder.ess > prior.ess).all()


def test_a_mixture_draws_what_its_density_says() -> None:
    mixture = Mixture(
        torch.tensor([[0.3, 0.7]]).log(),
        torch.tensor([[[-1.0, 0.0], [2.0, 1.0]]]),
        torch.tensor([[[0.0, -1], [-2, 0]]]),
    )
    z, _ = mixture.draw(200_000, torch.Generator().manual_seed(0))
    expected = 0.3 * mixture.mean[0, 0] + 0.7 * mixture.mean[0, 1]
    torch.testing.assert_close(z.mean((0, 1)), expected, rtol=0, atol=0.02)
    both = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(logits=mixture.log_share[0]),
        torch.distributions.Independent(
            torch.distributions.Normal(mixture.mean[0], (0.5 * mixture.log_var[0]).exp()), 1
        ),
    )
    torch.testing.assert_close(mixture.log_prob(z[:50]), both.log_prob(z[:50]))
    wide = Mixture(torch.zeros(1, 1), torch.zeros(1, 1, 2), torch.zeros(1, 1, 2))
    half = mixture.beside(wide, 0.25)
    weighted_sum = 0.75 * mixture.log_prob(z[:9]).exp() + 0.25 * wide.log_prob(z[:9]).exp()
    torch.testing.assert_close(half.log_prob(z[:9]).exp(), weighted_sum)


def test_a_mixture_with_classes_has_a_density_over_both() -> None:
    mixture = Mixture(
        torch.tensor([[0.2, 0.3, 0.5]]).log(), torch.tensor([[[-1.0], [0.0], [2.0]]]), torch.zeros(1, 3, 1),
        torch.tensor([1, 0, 1]),
    )  # fmt: skip
    z, classes = mixture.draw(50_000, torch.Generator().manual_seed(0))
    assert float(classes.float().mean()) == pytest.approx(0.7, abs=0.01)
    grid = torch.linspace(-9, 9, 2001)[:, None, None]
    whole = [mixture.log_prob(grid, torch.full((2001, 1), y)).exp().sum() * 18 / 2000 for y in (0, 1)]
    torch.testing.assert_close(torch.stack(whole), torch.tensor([0.3, 0.7]), rtol=0, atol=1e-4)
    of_one = z[classes == 1]
    assert float(of_one.mean()) == pytest.approx((0.2 * -1 + 0.5 * 2) / 0.7, abs=0.03)


@pytest.mark.parametrize(
    ("name", "moves"), [("vae", 0), ("vae", 3), ("hierarchical_vae", 3), ("quadrant", 0), ("quadrant_baseline", 0)]
)
def test_visible_pixels_stay(name: str, moves: int) -> None:
    model = built(name, hidden=(8,), **({"latents": (2,)} if name == "hierarchical_vae" else {}))
    x, visible = scene()
    x = x.clamp(0, 1)
    with torch.inference_mode():  # as the explorer asks
        found = complete(model, x, visible, 40, moves, chains=6, shown=3, generator=torch.Generator().manual_seed(1))
        again = complete(model, x, visible, 40, moves, chains=6, shown=3, generator=torch.Generator().manual_seed(1))
    assert found.images.shape == (3, 2, *SHAPE) and torch.equal(found.images, again.images)
    for images in (*found.images, found.mean):
        torch.testing.assert_close(images[visible], x[visible], rtol=0, atol=1e-6)
    assert float(found.std[visible].max()) < 1e-3
    assert (float(found.std[~visible].max()) > 1e-3) == (name != "quadrant_baseline")
    torch.testing.assert_close(found.weights.sum(0), torch.ones(2))
    assert ((found.ess >= 1) & (found.ess <= 40.01)).all()
    assert (found.accepted is not None) == bool(moves)


@pytest.mark.parametrize("name", ["vae", "quadrant"])
def test_what_is_hidden_has_no_say(name: str) -> None:
    model = built(name, hidden=(8,), **({"binarise": "dynamic"} if name == "vae" else {}))
    x, visible = scene()
    x = x.clamp(0, 1)
    one, other = (complete(model, image, visible, 30, 2, 4, generator=torch.Generator().manual_seed(1)).images
                  for image in (x, torch.where(visible, x, 1 - x)))  # fmt: skip
    assert torch.equal(one, other)


def test_with_all_or_nothing_visible(ppca: Any) -> None:
    x, visible = scene()
    nothing = complete(ppca, x, torch.zeros_like(visible), 4_000, generator=torch.Generator().manual_seed(1))
    middle = ppca.decode({"z": torch.zeros(1, 3)})
    torch.testing.assert_close(nothing.mean, middle.expand(2, *SHAPE), rtol=0, atol=0.02)
    whole = complete(ppca, x, torch.ones_like(visible), 100)
    torch.testing.assert_close(whole.mean, x)


def test_what_cannot_be_completed_is_a_sentence(ppca: Any) -> None:
    x, visible = scene()
    with pytest.raises(ValueError, match=r"this model has z \(Gaussian\)"):
        complete(built("autoencoder", hidden=(8,)), x, visible)
    with pytest.raises(ValueError, match=r"visible came as \(4, 4\) bool, expected bool \(1, 4, 4\) or \(2, 1, 4, 4\)"):
        complete(ppca, x, visible[0, 0])
    for name in ("draws", "moves", "chains", "shown"):
        with pytest.raises(ValueError, match=f"{name} came as -1, expected"):
            complete(ppca, x, visible, **{name: -1})
    with pytest.raises(ValueError, match="visible came as .* float32"):
        complete(ppca, x, visible.float())
    kind = models.get("vae")
    colour = kind((3, 8, 8), kind.Options.read({}))
    some = torch.ones(3, 8, 8, dtype=torch.bool)
    some[0, 2, 2] = False
    with pytest.raises(ValueError, match="some channels of a pixel only"):
        complete(colour, torch.rand(1, 3, 8, 8), some)
