"""The contract of models with q(z|x) and p(x, z): draws, masks, and a bound that is found in two ways."""

from __future__ import annotations

import math

import torch
from contract import build, cases, dims_of, each_pair, equal, pairs, some, told

from trainer import models
from trainer.latent import Density, Label, Visible
from trainer.likelihood import log_weights
from trainer.trainable import Shape, total


def densities() -> list[tuple[str, str | None]]:
    return [case for case in cases() if issubclass(models.get(case[0]), Density)]


@each_pair(pairs(densities()))
@torch.no_grad()
def test_a_density_has_a_row_per_draw_and_image(case: tuple[str, str | None], shape: Shape) -> None:
    model, x = build(case, shape), some(shape, 4)
    assert isinstance(model, Density)
    z, log_q = model.infer(x, 3, generator=torch.Generator().manual_seed(2))
    for name, part in model.space.items():
        assert z[name].shape == (3, 4, *(shape if isinstance(part, Visible) else (dims_of(part),)))
    whole = model.log_likelihood(x, z)
    assert log_q.shape == model.log_prior(z).shape == whole.shape == (3, 4)
    again, _ = model.infer(x, 3, generator=torch.Generator().manual_seed(2))
    assert all(equal(z[name], again[name]) for name in z)
    for name, part in model.space.items():
        if isinstance(part, Label):  # a class may be sure
            assert (z[name].amax(-1) == 1).all() and (z[name].sum(-1) == 1).all()
        else:
            assert isinstance(part, Visible) or not torch.equal(z[name][0], z[name][1])


@each_pair(pairs(densities()))
@torch.no_grad()
def test_a_mask_counts_the_visible_pixels(case: tuple[str, str | None], shape: Shape) -> None:
    model, x = build(case, shape), some(shape, 4)
    assert isinstance(model, Density)
    z, _ = model.infer(x, 2, generator=torch.Generator().manual_seed(2))
    whole = model.log_likelihood(x, z)
    for ones in (torch.ones(shape), torch.ones(4, *shape)):
        torch.testing.assert_close(model.log_likelihood(x, z, ones), whole)
        assert int(model.log_likelihood(x, z, 0 * ones).count_nonzero()) == 0
    left = torch.ones(shape)
    left[..., shape[2] // 2 :] = 0
    parts = model.log_likelihood(x, z, left) + model.log_likelihood(x, z, 1 - left)
    torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-2)
    hidden_changed = torch.where(left.bool(), x, 1 - x)
    torch.testing.assert_close(
        model.log_likelihood(hidden_changed, z, left), model.log_likelihood(x, z, left), rtol=1e-5, atol=1e-2
    )


@each_pair(pairs(densities()))
@torch.no_grad()
def test_one_draw_bound_is_minus_the_sum_of_terms(case: tuple[str, str | None], shape: Shape) -> None:
    """Two ways to the ELBO: log p(x|z) + log p(z) − log q(z|x), and −E[log p(x|z)] with the KL in closed form. Where a
    class is given the first bounds log p(x|y), and terms with "kl/y" bound log p(x, y).
    """
    torch.manual_seed(4)
    model = build(case, shape)
    draws = 3200 if model.pixels < 100 else 64
    assert isinstance(model, Density)
    for parameter in model.parameters():
        parameter.mul_(2)  # a fresh posterior is so near the prior that a wrong draw would cancel
    x = some(shape, 4)
    generator = torch.Generator().manual_seed(6)
    given = told(model, 4)
    bounds = log_weights(model, x, draws, generator, given)  # (s, b)
    copies = 32  # of the images in a batch
    many = {name: values.repeat(copies, *[1] * (values.ndim - 1)) for name, values in given.items()}
    batches = [total(model.terms(x.repeat(copies, 1, 1, 1), many))["loss"] for _ in range(draws // copies)]
    sums = torch.cat(batches).view(draws, len(x))
    if "y" in given and "kl/y" in model.terms(x, given):
        bounds = bounds - math.log(dims_of(model.space["y"]))
    error = (bounds.var(0) / len(bounds) + sums.var(0) / len(sums)).sqrt() + 3e-6 * sums.mean(0).abs()
    difference = bounds.mean(0) + sums.mean(0)
    assert (difference.abs() < 5 * error).all(), (difference, error)
