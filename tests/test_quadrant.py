"""The quadrant models: which pixels they are shown, in what units z is, and what their likelihood is of."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from trainer import models
from trainer.data import Images
from trainer.likelihood import importance_bound, log_weights
from trainer.models.quadrant import Quadrant
from trainer.models.quadrant_baseline import QuadrantBaseline
from trainer.probability import gaussian_log_prob, kl_between
from trainer.report import preview_images

SHAPE = (1, 5, 6)


def built(name: str, **options: Any) -> Any:
    torch.manual_seed(0)
    kind = models.get(name)
    return kind(SHAPE, kind.Options.read({"hidden": (8,), **options})).eval()


def some(n: int = 4) -> Tensor:
    return torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("observed", "rows"), [(1, ["______", "______", "xxx___", "xxx___", "xxx___"]),
                           (2, ["xxx___"] * 5),
                           (3, ["xxx___", "xxx___", "xxxxxx", "xxxxxx", "xxxxxx"])],
)  # fmt: skip
def test_the_quadrants_that_are_seen(observed: int, rows: list[str]) -> None:
    seen = torch.tensor([[each == "x" for each in row] for row in rows])
    for name in ("quadrant", "quadrant_baseline"):
        model, x = built(name, observed=observed), some()
        visible = model.encode(x)["visible"]
        assert torch.equal(~visible[2, 0].isnan(), seen)
        assert torch.equal(visible[..., seen], x[..., seen])
        back = model.decode(model.encode(x))
        assert torch.equal(back[..., seen], x[..., seen]) and not back.isnan().any()


def test_what_is_hidden_has_no_say_in_a_completion() -> None:
    model, x = built("quadrant", observed=2), some()
    other = torch.where(model.seen, x, 1 - x)
    for image in (x, other):
        z = model.sample(4, {"visible": model.hide(image)}, generator=torch.Generator().manual_seed(2))
        assert torch.equal(model.decode(z), model.decode({**z, "visible": model.hide(x)}))
    assert torch.equal(*(model.prior_of(model.hide(image))[0] for image in (x, other)))
    assert not torch.equal(*(model.encode(image)["z"] for image in (x, other)))  # the recognition net sees all


@torch.no_grad()
def test_z_is_in_units_of_the_prior_net() -> None:
    """The log weights are those of the nets' own z, with Gaussians that are written out here."""
    model, x = built("quadrant", latents=3), some()
    for parameter in model.parameters():
        parameter.mul_(3)  # the nets differ from each other
    visible = model.hide(x)
    (q_mean, q_log_var), (p_mean, p_log_var) = model.recognise(x), model.prior_of(visible)
    z, log_q = model.infer(x, 6, generator=torch.Generator().manual_seed(3))
    raw = p_mean + (0.5 * p_log_var).exp() * z["z"]  # (s, b, d)
    q = gaussian_log_prob(raw, q_mean, q_log_var.exp()).sum(-1)
    p = gaussian_log_prob(raw, p_mean, p_log_var.exp()).sum(-1)
    torch.testing.assert_close(model.log_prior(z) - log_q, p - q, rtol=1e-4, atol=1e-4)
    mean, log_var = model.posterior(x, visible)
    in_units = kl_between(mean, log_var, torch.zeros(3), torch.zeros(3))
    torch.testing.assert_close(model.terms(x)["kl/z"], in_units, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(model.encode(x)["z"], mean)


@torch.no_grad()
def test_the_likelihood_is_of_hidden_binary_pixels() -> None:
    model, x = built("quadrant_baseline"), some()
    logits = model.logits(model.encode(x))
    p = logits.sigmoid()
    each = torch.where(x >= 0.5, p, 1 - p).log()[..., ~model.seen].sum((1, 2))
    torch.testing.assert_close(-model.terms(x)["reconstruction"], each)
    torch.testing.assert_close(importance_bound(model, x, 1).value.float(), each)  # without a z it is exact
    grey = built("quadrant_baseline", binarise="none")
    torch.testing.assert_close(grey.terms(x.round())["reconstruction"], model.terms(x.round())["reconstruction"])
    assert not torch.allclose(grey.terms(x)["reconstruction"], model.terms(x)["reconstruction"])


@torch.no_grad()
def test_the_bound_is_the_conditional_likelihood() -> None:
    """Two pixels hidden: log p(hidden|visible) by the prior alone, summed over all four of their values, is 0."""
    torch.manual_seed(0)
    model = Quadrant((1, 2, 2), Quadrant.Options.read({"hidden": (6,), "latents": 2, "observed": 2})).eval()
    for parameter in model.parameters():
        parameter.mul_(2)
    values = torch.tensor([[a, b] for a in (0.0, 1.0) for b in (0.0, 1.0)])
    x = torch.ones(4, 1, 2, 2)
    x[:, 0, :, 1] = values
    generator = torch.Generator().manual_seed(0)
    bound = importance_bound(model, x, 20_000, generator).value.float()
    assert float(bound.exp().sum()) == pytest.approx(1, abs=0.01)
    z = torch.randn(200_000, 2, generator=generator)
    raw = model.sample(1, {"visible": model.hide(x[:1])})["visible"].expand(len(z), 1, 2, 2)
    p = model.decode({"visible": raw, "z": z})[:, 0, :, 1]
    exact = (values[:, None] * p + (1 - values[:, None]) * (1 - p)).prod(-1).mean(1).log()
    torch.testing.assert_close(bound, exact, rtol=0, atol=0.02)
    assert log_weights(model, x, 3).shape == (3, 4)


@torch.no_grad()
def test_the_figure_is_the_mean_bound() -> None:
    pixels = torch.randint(0, 256, (7, *SHAPE), generator=torch.Generator().manual_seed(3), dtype=torch.uint8)
    images = Images("some", pixels)
    model = built("quadrant_baseline", observed=3)
    found = model.figures(images, images)
    terms = model.terms(images.batch(torch.arange(7)))["reconstruction"]
    assert found["negative CLL"] == (pytest.approx(float(terms.mean()), rel=1e-5), "nats")
    error = float(terms.std()) / math.sqrt(7)
    assert found["standard error of the negative CLL"] == (pytest.approx(error, rel=1e-4), "nats")
    deep = built("quadrant")
    assert deep.figures(images, images) == deep.figures(images, images)
    assert QuadrantBaseline.draws == 1 and deep.draws == 100


@torch.no_grad()
def test_the_preview_shows_what_is_seen_and_completions() -> None:
    model = built("quadrant")
    found = preview_images(model).view(4, 8, *SHAPE)
    assert (found[0][..., ~model.seen] == 0.5).all()
    for row in found:
        assert torch.equal(row[..., model.seen], found[0][..., model.seen])
    assert not torch.equal(found[1], found[2])


def test_no_quadrants_is_a_sentence() -> None:
    for name in ("quadrant", "quadrant_baseline"):
        kind = models.get(name)
        with pytest.raises(ValueError, match="images of 1 × 64 have no quadrants"):
            kind((1, 1, 64), kind.Options.read({}))
        with pytest.raises(ValueError, match="observed came as 4"):
            kind.Options.read({"observed": 4})
    assert "the left half" in built("quadrant", observed=2).sample_note
