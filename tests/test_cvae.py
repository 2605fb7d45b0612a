"""The conditional VAE: its loss against closed forms, and the class that it infers against a loop over classes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import trainer
from trainer.data import Images
from trainer.likelihood import log_weights
from trainer.measuring import effect
from trainer.models.cvae import CVAE, CVAEOptions
from trainer.probability import kl_between, log_mean_exp
from trainer.train import evaluate

SHAPE, K, D = (1, 4, 4), 3, 2
TINY: dict[str, Any] = {"latents": D, "hidden": (8,), "classes": K}


def tiny(scale: float = 2, **more: Any) -> CVAE:
    """A model whose distributions are far from those that it starts with."""
    torch.manual_seed(0)
    model = CVAE(SHAPE, CVAEOptions.read({**TINY, **more})).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape) if name.startswith("prior") else scale * parameter)
    return model


def pixels(count: int = 6) -> Tensor:
    return torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(1))


def one_hot(label: int, count: int) -> Tensor:
    return torch.eye(K)[label].expand(count, -1)


# ---- the loss


@torch.no_grad()
def test_a_posterior_that_is_the_class_prior_costs_nothing() -> None:
    """The KL is to p(z|c); to a joint p(z, c) of ten classes it would be ln 10 larger."""
    model = CVAE(SHAPE, CVAEOptions.read({**TINY, "classes": 10, "prior": "dependent", "hidden": ()})).eval()
    labels = torch.arange(10)
    mean, log_var = torch.randn(10, D), torch.randn(10, D)
    model.prior_mean.copy_(mean)
    model.prior_log_var.copy_(log_var)
    (layer,) = model.encoder
    layer.weight.zero_()
    layer.weight[:, -10:] = torch.cat([mean, log_var], 1).T  # of the image nothing, of the class all
    layer.bias.zero_()
    kl = model.terms(pixels(10), {"y": labels})["kl/z"]
    torch.testing.assert_close(kl, torch.zeros(10, D), rtol=0, atol=1e-6)
    z, log_q = model.infer(pixels(10), 4, {"y": labels}, torch.Generator().manual_seed(0))
    torch.testing.assert_close(model.log_prior(z, {"y": labels}), log_q)  # log p(z|y) − log q(z|x,y) = 0
    torch.testing.assert_close(model.log_prior(z), log_q - math.log(10))


def test_row_19_of_two_gaussians() -> None:
    found = kl_between(torch.tensor(1.0), torch.tensor(0.25).log(), torch.tensor(-1.0), torch.tensor(4.0).log())
    assert float(found) == pytest.approx(1.417544, abs=1e-6)


@pytest.mark.parametrize("net", ["mlp", "conv"])
def test_both_priors_have_one_loss_where_they_are_one(net: str) -> None:
    """A new dependent prior is N(0, I) in each class, so that the same weights and noise give the same gradients."""
    losses, gradients = [], []
    for prior in ("independent", "dependent"):
        torch.manual_seed(0)
        model = CVAE((1, 8, 8), CVAEOptions.read({**TINY, "prior": prior, "net": net, "channels": 4}))
        terms = model.terms(torch.rand(6, 1, 8, 8), {"y": torch.arange(6) % K})
        model.loss(terms).backward()  # type: ignore[no-untyped-call]
        losses.append(torch.cat([terms["reconstruction"], terms["kl/z"].flatten()]))
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    torch.testing.assert_close(losses[1], losses[0], rtol=0, atol=0)
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=0, atol=1e-7, msg=name)
    for name in ("prior_mean", "prior_log_var"):  # which the loss reaches, in every class
        assert (gradients[1][name] != 0).any(1).all(), name


@torch.no_grad()
def test_what_is_summed_over_pixels_and_dimensions() -> None:
    """The terms once more, an image at a time, from torch's own distributions."""
    model, x, labels = tiny(prior="dependent", samples=3), pixels(), torch.tensor([0, 1, 2, 2, 1, 0])
    torch.manual_seed(5)
    terms = model.terms(x, {"y": labels})
    torch.manual_seed(5)
    noise = torch.randn(3, 6, D)
    for at, label in enumerate(labels):
        y = one_hot(int(label), 1)
        mean, log_var = model.encoder(torch.cat([x[at].flatten()[None], y], 1)).chunk(2, 1)
        q = torch.distributions.Normal(mean, (0.5 * log_var).exp())
        p = torch.distributions.Normal(model.prior_mean[label], (0.5 * model.prior_log_var[label]).exp())
        torch.testing.assert_close(terms["kl/z"][at], torch.distributions.kl_divergence(q, p)[0])
        z = q.mean + q.stddev * noise[:, at]  # (s, d)
        logits = model.decoder(torch.cat([z, y.expand(3, -1)], 1)).flatten(1)
        log_p = x[at].flatten() * logits.sigmoid().log() + (1 - x[at].flatten()) * (1 - logits.sigmoid()).log()
        torch.testing.assert_close(terms["reconstruction"][at], -log_p.sum(1).mean())


@torch.no_grad()
def test_the_effect_of_a_dimension_is_the_mean_over_classes_where_each_lies() -> None:
    model = tiny(prior="dependent")
    changes = torch.zeros(K, D)
    for label in range(K):
        for dim in range(D):
            ends = model.prior_mean[label].repeat(2, 1)
            ends[0, dim] -= 1
            ends[1, dim] += 1
            low, high = model.decode({"y": one_hot(label, 2), "z": ends})
            changes[label, dim] = (high - low).square().sum()
    torch.testing.assert_close(effect(model, "z"), changes.mean(0))
    assert changes.std(0).min() > 0.05 * changes.mean()  # so that it matters which class, and where


# ---- the class that is not given


def bounds(model: CVAE, x: Tensor) -> tuple[Tensor, Tensor]:
    """For each image and class in turn: the bound at the posterior mean (b, k), and that mean (b, k, d)."""
    found, means = torch.zeros(len(x), K), torch.zeros(len(x), K, D)
    for at in range(len(x)):
        for label in range(K):
            y, image = one_hot(label, 1), x[at : at + 1]
            means[at, label] = model.encode(image, {"y": torch.tensor([label])})["z"][0]
            mean, log_var = model.posterior(image.flatten(1), y)
            kl = kl_between(mean, log_var, *model.class_prior(y)).sum()
            found[at, label] = model.log_likelihood(image, {"y": y[None], "z": mean[None]})[0, 0] - kl
    return found, means


@pytest.mark.parametrize("prior", ["independent", "dependent"])
@torch.no_grad()
def test_a_class_is_inferred_as_a_loop_over_classes_does(prior: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny(scale=3, prior=prior)
    x = model.draw(model.sample(9, {"y": torch.arange(9) % K}, generator=torch.Generator().manual_seed(0)))
    found, means = bounds(model, x)
    expected = (found - math.log(K)).exp() / (found - math.log(K)).exp().sum(1, keepdim=True)
    best = found.argmax(1)
    assert len(best.unique()) > 1  # images that differ in their class
    for at_once in (8192, 1):  # all classes in a batch, and one after another
        monkeypatch.setattr("trainer.models.cvae.AT_ONCE", at_once)
        z = model.encode(x)
        torch.testing.assert_close(z["y"], expected, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(z["z"], means[torch.arange(len(x)), best])


@torch.no_grad()
def test_a_class_is_told_by_the_z_that_is_given() -> None:
    """p(y|x,z) ∝ p(x|z,y) p(z|y), class by class."""
    model, x = tiny(prior="dependent", likelihood="gaussian", std=0.5), pixels(4)
    model.prior_mean.normal_(generator=torch.Generator().manual_seed(1))
    given = torch.randn(4, D, generator=torch.Generator().manual_seed(2))
    found = model.encode(x, {"z": given})
    assert torch.equal(found["z"], given)
    joint = torch.zeros(4, K)
    for label in range(K):
        y = one_hot(label, 4)
        pixel = torch.distributions.Normal(model.out({"y": y, "z": given}), 0.5)
        style = torch.distributions.Normal(model.prior_mean[label], (model.prior_log_var[label] / 2).exp())
        joint[:, label] = pixel.log_prob(x).flatten(1).sum(1) + style.log_prob(given).sum(1)
    torch.testing.assert_close(found["y"], joint.softmax(1), rtol=1e-3, atol=1e-5)


def test_images_without_a_class_are_left_out_of_its_measures() -> None:
    """A test set with some labels is measured on these; one with none is refused, as are terms without a class."""
    model, x = tiny(), pixels(6)
    some = Images("some", (255 * x).to(torch.uint8), torch.tensor([0, -1, 1, -1, -1, 2]), ("a", "b", "c"))
    assert len(evaluate(model, some)["loss"]) == 3
    none = Images("none", (255 * x).to(torch.uint8), torch.full((6,), -1), ("a", "b", "c"))
    with pytest.raises(ValueError, match='none of the 6 images of "none" has a label'):
        evaluate(model, none)
    with pytest.raises(ValueError, match='CVAE learns from classes.*"y"'):
        model.terms(x)


@torch.no_grad()
def test_importance_weights_bound_log_p_as_a_sum_over_classes_does() -> None:
    """log p(x) = log Σ_y p(y) p(x|y), each p(x|y) by numerical integration over the plane of z."""
    model, x = tiny(prior="dependent", likelihood="gaussian", std=0.5), pixels(3)
    line = torch.linspace(-9, 9, 181)
    grid = torch.cartesian_prod(line, line)  # (s, d)
    cell = float(line[1] - line[0]) ** 2
    log_p_given = torch.zeros(3, K)
    for label in range(K):
        z = {"y": one_hot(label, 1).expand(len(grid), 3, -1), "z": grid[:, None].expand(-1, 3, -1)}
        joint = model.log_likelihood(x, z) + model.log_prior(z, {"y": torch.full((3,), label)})
        log_p_given[:, label] = joint.logsumexp(0) + math.log(cell)
    exact = log_p_given.logsumexp(1) - math.log(K)
    generator = torch.Generator().manual_seed(0)
    weights = torch.cat([log_weights(model, x, 2000, generator) for _ in range(10)])
    torch.testing.assert_close(log_mean_exp(weights), exact, rtol=0, atol=0.08)
    assert (weights.mean(0) < exact).all()
    for label in range(K):
        given = {"y": torch.full((3,), label)}
        weights = log_weights(model, x, 20_000, generator, given)
        torch.testing.assert_close(log_mean_exp(weights), log_p_given[:, label], rtol=0, atol=0.08)


@torch.no_grad()
def test_draws_of_the_class_are_as_often_as_they_are_probable() -> None:
    model, x = tiny(), pixels(2)
    z, log_q = model.infer(x, 20_000, generator=torch.Generator().manual_seed(0))
    expected = model.encode(x)["y"]
    torch.testing.assert_close(z["y"].mean(0), expected, rtol=0, atol=0.02)
    label = z["y"].argmax(-1)  # (s, b)
    for at in range(2):
        for number in range(K):
            here = label[:, at] == number
            if not here.any():
                continue
            mean, log_var = model.posterior(x[at : at + 1].flatten(1), one_hot(number, 1))
            log_q_z = torch.distributions.Normal(mean, (0.5 * log_var).exp()).log_prob(z["z"][here, at]).sum(-1)
            torch.testing.assert_close(log_q[here, at] - log_q_z, expected[at, number].log().expand(int(here.sum())))


# ---- latents


@torch.no_grad()
def test_a_sample_is_of_its_class_prior_about_its_mean() -> None:
    model = tiny(prior="dependent")
    for temperature in (0.0, 0.5, 1.0):
        z = model.sample(20_000, {"y": torch.full((20_000,), 2)}, temperature, torch.Generator().manual_seed(0))
        assert torch.equal(z["y"], one_hot(2, 20_000))
        torch.testing.assert_close(z["z"].mean(0), model.prior_mean[2], rtol=0, atol=0.03)
        std = temperature * (0.5 * model.prior_log_var[2]).exp()
        torch.testing.assert_close(z["z"].std(0), std, rtol=0.03, atol=1e-6)
    counts = model.sample(9000, generator=torch.Generator().manual_seed(1))["y"].sum(0)
    torch.testing.assert_close(counts / 9000, torch.full((K,), 1 / K), rtol=0, atol=0.02)


@torch.no_grad()
def test_two_classes_are_blended() -> None:
    model = tiny(prior="dependent")
    half = torch.tensor([[0.5, 0.5, 0.0]])
    mean, log_var = model.class_prior(half)
    torch.testing.assert_close(mean, model.prior_mean[:2].mean(0, keepdim=True))
    torch.testing.assert_close(log_var, model.prior_log_var[:2].mean(0, keepdim=True))
    z = torch.zeros(1, D)
    images = [model.decode({"y": y, "z": z}) for y in (half, one_hot(0, 1), one_hot(1, 1))]
    assert not torch.allclose(images[0], images[1]) and not torch.allclose(images[0], images[2])
    x = pixels(1)
    kept = model.encode(x, {"y": half})
    assert torch.equal(kept["y"], half)
    logits = model.encoder(torch.cat([x.flatten(1), half], 1))
    torch.testing.assert_close(kept["z"], logits[:, :D])


@pytest.mark.parametrize("given", [torch.tensor([3]), torch.tensor([-1]), torch.tensor([0.5])])
def test_what_is_no_class_is_refused(given: Tensor) -> None:
    with pytest.raises(ValueError, match=r'"y" came with classes .* expected whole numbers from 0 to 2'):
        tiny().encode(pixels(1), {"y": given})
    with pytest.raises(ValueError, match=r'"y" came with classes'):
        tiny().sample(1, {"y": given})


def test_it_is_a_conditional_model_that_says_how_it_infers() -> None:
    model = tiny()
    assert isinstance(model, trainer.Conditional) and isinstance(model, trainer.Density)
    assert "inferred" in model.facts()["a class that is not given"]
    assert list(model.space) == ["y", "z"] and model.space["y"] == trainer.Label(K)
    assert all(not values.count_nonzero() for values in model.class_prior(one_hot(1, 4)))


@torch.no_grad()
def test_a_preview_has_a_row_for_each_class(tmp_path: Path) -> None:
    """Columns share their noise, so that without a class prior they share z."""
    from trainer.report import preview_images

    model = tiny()
    found = preview_images(model)
    assert found.shape == (8 * K, *SHAPE)
    z = model.sample(8, {"y": one_hot(0, 8)}, generator=torch.Generator().manual_seed(0))["z"]
    for label in range(K):
        row = model.decode({"y": one_hot(label, 8), "z": z})
        assert torch.equal(found[8 * label : 8 * label + 8], row)
