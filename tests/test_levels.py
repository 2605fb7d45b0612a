"""Models with several levels of latents: what a chain, a ladder and a flat ladder are, and that training finds it."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from linear import COUNT, LOG_EVIDENCE, VAR, all_of_them, linear_images
from linear import SHAPE as LINE
from torch import Tensor

from explorer import level_figures, levels
from trainer import models
from trainer.likelihood import importance_bound, log_weights
from trainer.models.hierarchical_vae import HierarchicalVAE, HierarchicalVAEOptions
from trainer.models.vae import VAE, VAEOptions
from trainer.models.vlae import VLAE
from trainer.probability import log_mean_exp, precision_weighted
from trainer.train import TrainOptions, train

SHAPE = (1, 8, 8)
INFERENCES = ("ladder", "bottom_up")
each_inference = pytest.mark.parametrize("inference", INFERENCES)


def hierarchy(shape: tuple[int, int, int] = SHAPE, **options: Any) -> HierarchicalVAE:
    torch.manual_seed(0)
    chosen = {"latents": (4, 3, 2), "hidden": (16,), **options}
    return HierarchicalVAE(shape, HierarchicalVAEOptions.read(chosen))


def images(count: int = 6, shape: tuple[int, int, int] = SHAPE) -> Tensor:
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(5))


def shaken(model: HierarchicalVAE | VLAE) -> Any:
    """The model for use, far from what it starts as, so that priors and posteriors differ."""
    for parameter in model.parameters():
        parameter.data.mul_(2)
    return model.eval()


# ---- formulas


def test_a_ladder_merges_by_precision() -> None:
    mean, var = torch.tensor([3.0, 1.0]), torch.tensor([0.5, 2.0])
    merged, log_var = precision_weighted(mean[0], var[0].log(), mean[1], var[1].log())
    assert float(merged) == pytest.approx(2.6)
    assert float(log_var.exp()) == pytest.approx(0.4)
    far = precision_weighted(torch.tensor(1.0), torch.tensor(-80.0), torch.tensor(9.0), torch.tensor(80.0))
    assert [float(v) for v in far] == pytest.approx([1.0, -80.0])


def linear_chain(model: HierarchicalVAE, slopes: tuple[float, ...], stds: tuple[float, ...]) -> None:
    """Make p of a model with linear maps and one dimension a level zl ~ N(slope zl+1, std²), x ~ N(z1, …)."""
    for prior, slope, std in zip(model.priors, slopes, stds, strict=True):
        prior[0].weight.data = torch.tensor([[slope], [0.0]])
        prior[0].bias.data = torch.tensor([0.0, math.log(math.expm1(std * std))])
    model.decoder[0].weight.data.fill_(1.0)
    model.decoder[0].bias.data.zero_()


def chain(inference: str, slope: float = 1.0, std: float = 1.0) -> HierarchicalVAE:
    """z2 ~ N(0, 1), z1 ~ N(slope z2, std²), x ~ N(z1, 1), with posteriors that are wrong, and wide."""
    options = {"latents": (1, 1), "hidden": (), "likelihood": "gaussian", "std": 1.0, "inference": inference}
    model = hierarchy((1, 1, 1), **options)
    linear_chain(model, (slope,), (std,))
    for posterior in model.posteriors:
        posterior.weight.data = torch.tensor([[0.3], [0.0]])
        posterior.bias.data = torch.tensor([0.0, math.log(math.expm1(2.0))])  # variance 2
    return model.eval()


@each_inference
@torch.no_grad()
def test_the_joint_has_the_prior_of_the_top(inference: str) -> None:
    """The unit chain: p(x = 0) has variance 3, and at 0 each of three factors is 1/√2π."""
    model, x = chain(inference), torch.zeros(1, 1, 1, 1)
    nothing = {name: torch.zeros(1, 1, 1) for name in ("z2", "z1")}
    joint = model.log_likelihood(x, nothing) + model.log_prior(nothing)  # std 1: the units are those of z
    assert float(joint) == pytest.approx(-2.756816, abs=1e-5)
    bound = importance_bound(model, x, 200_000, torch.Generator().manual_seed(0))
    assert float(bound.value) == pytest.approx(-1.468246, abs=0.01)


@each_inference
@torch.no_grad()
def test_importance_weights_average_to_the_integral(inference: str) -> None:
    """log p(x) on a grid over both levels, in the scale of z, and from weights in units of the priors."""
    slope, std = 0.8, 0.5
    model, x = chain(inference, slope, std), torch.full((1, 1, 1, 1), 0.7)
    grid = torch.linspace(-8, 8, 1601, dtype=torch.float64)
    upper, lower = torch.meshgrid(grid, grid, indexing="ij")

    def log_normal(v: Tensor, mean: Tensor | float, scale: float) -> Tensor:
        return torch.distributions.Normal(mean, scale).log_prob(v)

    whole = log_normal(upper, 0.0, 1.0) + log_normal(lower, slope * upper, std) + log_normal(x.double(), lower, 1.0)
    integral = float(torch.logsumexp(whole.flatten(), 0) + 2 * math.log(0.01))
    exact = float(log_normal(x, 0.0, math.sqrt(slope**2 + std**2 + 1)))
    assert integral == pytest.approx(exact, abs=1e-5)
    weights = log_weights(model, x, 400_000, torch.Generator().manual_seed(1))  # (s, 1)
    error = float(weights.exp().std() / weights.exp().mean()) / math.sqrt(len(weights))
    assert error < 0.01
    assert float(log_mean_exp(weights)) == pytest.approx(integral, abs=4 * error)


@each_inference
def test_with_one_level_it_is_the_vae(inference: str) -> None:
    """The same posterior, decoder and noise give the same terms and loss."""
    model = hierarchy(latents=(3,), inference=inference, samples=2).eval()
    twin = VAE(SHAPE, VAEOptions.read({"latents": 3, "samples": 2})).eval()
    twin.posterior = lambda x: model.posteriors[0](model.ways[0](x))  # type: ignore[method-assign]
    twin.decoder = model.decoder
    found = []
    for one in (model, twin):
        torch.manual_seed(3)
        terms = one.terms(images())
        found.append([*terms.values(), one.loss(terms)])
    for value, expected in zip(*found, strict=True):
        torch.testing.assert_close(value, expected)
    flat = VLAE(SHAPE, model.options).eval()
    flat.ways, flat.posteriors = model.ways, model.posteriors
    torch.testing.assert_close(flat.terms(images())["kl/z1"], found[1][1])


@torch.no_grad()
def test_a_ladders_kl_is_that_of_torch() -> None:
    """Each level against its prior at the draw above, in the scale of z, with another library's closed form."""
    from torch.distributions import Normal, kl_divergence

    model, x = shaken(hierarchy()).double(), images().double()
    noise = [torch.randn(1, 6, d, generator=torch.Generator().manual_seed(d)).double() for d in (4, 3, 2)]
    levels = model.walk(x, noise)
    hats, below = [], x
    for way, posterior in zip(model.ways, model.posteriors, strict=True):
        below = way(below)
        hats.append(posterior(below))
    z = hats[2][0] + (0.5 * hats[2][1]).exp() * noise[2][0]
    torch.testing.assert_close(levels["z3"].z, z)
    top = kl_divergence(Normal(hats[2][0], (0.5 * hats[2][1]).exp()), Normal(0.0, 1.0))
    torch.testing.assert_close(levels["z3"].kl, top)
    for level, name in ((1, "z2"), (0, "z1")):
        prior = model.priors[level](z)
        (m, v), (pm, pv) = ((mean, log_var.exp()) for mean, log_var in (hats[level], prior))
        merged = Normal((m / v + pm / pv) / (1 / v + 1 / pv), (1 / (1 / v + 1 / pv)).sqrt())
        kl = kl_divergence(merged, Normal(pm, pv.sqrt()))
        torch.testing.assert_close(levels[name].kl, kl)
        z = merged.mean + merged.stddev * noise[level][0]
        torch.testing.assert_close(levels[name].z, z)
        density = merged.log_prob(z) + 0.5 * prior[1]  # of the value in units of the prior
        torch.testing.assert_close(levels[name].log_q, density)


@torch.no_grad()
def test_bottom_up_levels_are_drawn_from_the_ones_below() -> None:
    from torch.distributions import Normal

    model, x = shaken(hierarchy(latents=(3, 2), inference="bottom_up")), images()
    noise = [torch.randn(1, 6, d, generator=torch.Generator().manual_seed(d)) for d in (3, 2)]
    levels = model.walk(x, noise)
    first = model.posteriors[0](model.ways[0](x))
    z1 = first[0] + (0.5 * first[1]).exp() * noise[0][0]
    second = model.posteriors[1](model.ways[1](z1))
    z2 = second[0] + (0.5 * second[1]).exp() * noise[1][0]
    torch.testing.assert_close(levels["z1"].z, z1, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(levels["z2"].z, z2)
    mean, log_var = model.priors[0](z2)
    torch.testing.assert_close(levels["z1"].value, (z1 - mean) / (0.5 * log_var).exp(), rtol=1e-4, atol=1e-5)
    crossed = -Normal(mean, (0.5 * log_var).exp()).log_prob(z1) - Normal(first[0], (0.5 * first[1]).exp()).entropy()
    torch.testing.assert_close(levels["z1"].kl, crossed, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_the_bottom_up_terms_are_minus_the_bound() -> None:
    """Over many draws: the drawn KLs of lower levels have the right mean."""
    model, x = shaken(hierarchy(inference="bottom_up", samples=500)), images(3)
    bounds = log_weights(model, x, 20_000, torch.Generator().manual_seed(6))  # (s, b)
    torch.manual_seed(2)
    sums = torch.stack([sum(v.flatten(1).sum(1) if v.ndim > 1 else v for v in model.terms(x).values())
                        for _ in range(40)])  # fmt: skip
    error = (bounds.var(0) / len(bounds) + sums.var(0) / len(sums)).sqrt()
    assert ((bounds.mean(0) + sums.mean(0)).abs() < 5 * error).all()


# ---- the latent


@each_inference
@torch.no_grad()
def test_an_upper_level_moves_what_is_below_it_and_not_the_reverse(inference: str) -> None:
    model = shaken(hierarchy(inference=inference))
    z = model.encode(images(1))
    for moved, still in (("z1", ("z3", "z2")), ("z2", ("z3",)), ("z3", ())):
        before, after = model.levels(z), model.levels({**z, moved: z[moved] + 1})
        assert all(torch.equal(before[name], after[name]) for name in still)
        assert all(not torch.equal(before[name], after[name]) for name in model.space if name not in still)
    means = model.levels(model.sample(1, temperature=0.0))
    assert means["z3"].count_nonzero() == 0
    torch.testing.assert_close(means["z2"], model.priors[1](means["z3"])[0])
    torch.testing.assert_close(means["z1"], model.priors[0](means["z2"])[0])


@each_inference
@torch.no_grad()
def test_what_is_inferred_below_a_kept_level_sees_it(inference: str) -> None:
    model, x = shaken(hierarchy(inference=inference)), images(3)
    kept = {"z3": torch.full((3, 2), 1.5)}
    z = model.encode(x, kept)
    assert torch.equal(z["z3"], kept["z3"])
    free = model.encode(x)
    assert float((z["z2"] - free["z2"]).abs().max()) > 0.01
    if inference == "bottom_up":  # the z of the lower levels come from the image alone
        for name in ("z2", "z1"):
            torch.testing.assert_close(model.levels(z)[name], model.levels(free)[name], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 64, 64)], ids=str)
@pytest.mark.parametrize("net", ["mlp", "conv"])
def test_bottom_up_reaches_every_parameter(net: str, shape: tuple[int, int, int]) -> None:
    model = hierarchy(shape, net=net, channels=8, inference="bottom_up", free_bits=0.1, batch_norm=False)
    x = images(8, shape)
    model.loss(model.terms(x)).backward()  # type: ignore[no-untyped-call]
    assert all(
        parameter.grad is not None and int(parameter.grad.count_nonzero()) > 0 for parameter in model.parameters()
    )


@torch.no_grad()
def test_a_flat_ladders_levels_enter_at_depths_of_their_own() -> None:
    torch.manual_seed(0)
    model = shaken(VLAE(SHAPE, HierarchicalVAEOptions.read({"latents": (4, 3, 2), "hidden": (16, 8, 4)})))
    calls: dict[int, int] = {}
    for depth, join in enumerate(model.joins):
        join.register_forward_pre_hook(lambda _, inputs, depth=depth: calls.update({depth: inputs[0].shape[1]}))
    model.decode(model.sample(2))
    assert calls == {2: 2, 1: 8 + 3, 0: 16 + 4}  # what comes from above, and the level itself
    x, z = images(3), model.encode(images(3))
    again = model.encode(x, {"z3": z["z3"] + 1})
    assert torch.equal(again["z1"], z["z1"]) and torch.equal(again["z2"], z["z2"])


# ---- objectives


TERMS = {
    "reconstruction": torch.tensor([1.0, 3.0]),
    "kl/z2": torch.tensor([[0.2, 0.0], [0.6, 0.4]]),  # 0.6 nats in the mean
    "kl/z1": torch.tensor([[1.0], [3.0]]),  # 2 nats
}


@pytest.mark.parametrize(("free_bits", "beta", "expected"), [
    (0.0, 1.0, 4.6), (0.0, 0.5, 3.3), (1.0, 1.0, 2 + 1 + 2), (1.0, 0.5, 2 + 1.5), (5.0, 1.0, 12.0),
])  # fmt: skip
def test_free_bits_and_warm_up(free_bits: float, beta: float, expected: float) -> None:
    model = hierarchy(latents=(1, 2), free_bits=free_bits, warmup=10)
    model.knobs["beta"].fill_(beta)
    assert float(model.loss(TERMS)) == pytest.approx(expected)
    assert [model.schedule(step)["beta"] for step in (0, 5, 10, 99)] == [0, 0.5, 1, 1]
    assert hierarchy().schedule(7) == {}


@each_inference
def test_a_linear_hierarchy_reaches_its_evidence(inference: str) -> None:
    """Two levels of linear maps have the marginals of one: the best is that of probabilistic PCA, −8.919096."""
    torch.manual_seed(0)
    options = {"latents": (2, 1), "hidden": (), "likelihood": "gaussian", "std": math.sqrt(VAR), "samples": 4}
    model = HierarchicalVAE(LINE, HierarchicalVAEOptions.read({**options, "inference": inference}))
    training = TrainOptions(steps=1000, batch=COUNT, rate=0.05, every=500)
    losses = [float(measures["loss"]) for _, measures in train(model, linear_images(), training)]  # type: ignore[arg-type]
    assert losses[-1] < losses[0]
    model.eval()
    with torch.no_grad():
        x = all_of_them()
        generator = torch.Generator().manual_seed(1)
        bounds = log_weights(model, x, 1000, generator)
        elbo, tight = float(bounds.mean()), float(log_mean_exp(bounds).mean())
        (weight, bias), prior = (model.decoder[0].weight, model.decoder[0].bias), model.priors[0][0]
        slope, var = prior.weight[:2], torch.nn.functional.softplus(prior.bias[2:])  # (2, 1), (2,)
        covariance = weight @ (slope @ slope.T + torch.diag(var)) @ weight.T + VAR * torch.eye(6)
        mean = weight @ prior.bias[:2] + bias
        evidence = float(torch.distributions.MultivariateNormal(mean, covariance).log_prob(x.flatten(1)).mean())
    assert prior.weight[2:].abs().max() < 0.2  # the variance hardly depends on what is above: the model is linear
    assert evidence == pytest.approx(LOG_EVIDENCE, abs=0.02)
    assert elbo == pytest.approx(LOG_EVIDENCE, abs=0.03)
    assert tight == pytest.approx(evidence, abs=0.02)


# ---- binarised images


def test_a_training_step_draws_black_and_white_anew() -> None:
    model = VAE(SHAPE, VAEOptions.read({"latents": 2, "hidden": (4,), "binarise": "dynamic"}))
    x = torch.linspace(0, 1, 64).view(1, *SHAPE).expand(2000, -1, -1, -1)
    torch.manual_seed(0)
    draws = model.learned_from(x)
    assert set(draws.unique().tolist()) == {0.0, 1.0}
    error = (x[0] * (1 - x[0]) / 2000).sqrt()
    assert ((draws.mean(0) - x[0]).abs() <= 5 * error).all()
    assert not torch.equal(draws, model.learned_from(x))


@pytest.mark.parametrize("name", ["vae", "hierarchical_vae", "vlae", "cvae", "semi_supervised"])
@torch.no_grad()
def test_the_posterior_mean_is_of_the_black_and_white_that_a_bound_is_about(name: str) -> None:
    kind = models.get(name)
    known = {"hidden": (16,), "classes": 3, "latents": (3, 2) if name in ("hierarchical_vae", "vlae") else 3}
    known = {key: value for key, value in known.items() if key in kind.Options.model_fields}
    torch.manual_seed(0)
    model = shaken(kind(SHAPE, kind.Options.read({**known, "binarise": "dynamic"})))
    x = images(20)
    z, seen = model.encode(x), model.encode(model.looked_at(x))
    assert all(torch.equal(z[part], seen[part]) for part in z)
    given = {"y": z["y"].argmax(1)} if "y" in z else {}
    drawn, _ = model.infer(x, 4000, given, generator=torch.Generator().manual_seed(0))
    part = next(part for part in model.space if part != "y")  # the top level, whose mean hangs on no draw
    error = drawn[part].std(0) / math.sqrt(4000)
    assert ((drawn[part].mean(0) - model.encode(x, given)[part]).abs() <= 5 * error).all()


@torch.no_grad()
def test_a_bound_looks_at_the_same_black_and_white() -> None:
    model = VAE(SHAPE, VAEOptions.read({"latents": 2, "hidden": (4,), "binarise": "dynamic"})).eval()
    x = images(2000)
    seen = model.looked_at(x)
    assert set(seen.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(seen, model.learned_from(x)) and torch.equal(seen, model.looked_at(seen))
    assert torch.equal(model.looked_at(x[7:8]), seen[7:8])  # whatever stands beside it
    assert float((seen - x).mean()) == pytest.approx(0, abs=5 * 0.41 / math.sqrt(x.numel()))
    z, log_q = model.infer(x, 2, generator=torch.Generator().manual_seed(1))
    same, same_q = model.infer(seen, 2, generator=torch.Generator().manual_seed(1))
    assert torch.equal(z["z"], same["z"]) and torch.equal(log_q, same_q)
    assert torch.equal(model.log_likelihood(x, z), model.log_likelihood(seen, z))
    assert model.likelihood == "Bernoulli, binarised"
    with pytest.raises(ValueError, match="binarise came as 'dynamic', but has no effect without likelihood bernoulli"):
        VAEOptions.read({"binarise": "dynamic", "likelihood": "gaussian"}).check_needs()


def test_levels_are_refused_where_they_are_wrong() -> None:
    for latents in ((), (0, 3), (3, 513)):
        with pytest.raises(ValueError, match="latents came as"):
            HierarchicalVAEOptions.read({"latents": latents})
    model = hierarchy()
    with pytest.raises(ValueError, match=r'"z2" came as \(1, 9\), expected \(b, 3\)'):
        model.decode({**model.sample(1), "z2": torch.zeros(1, 9)})


def test_the_course_of_a_training_with_one_measure_is_a_mark() -> None:
    history = [{"step": step, "kl/z2": [0.5], "kl/z1": [1.0, 2.0]} for step in (5, 10)]
    for lines, mode in ((history[:1], "markers"), (history, "lines")):
        found = levels.course(lines, ["z2", "z1"])
        assert found is not None
        assert {trace.mode for trace in level_figures.over_training(found, "some", 3.5).data} == {mode}
