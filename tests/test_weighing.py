"""How the terms of a VAE and a β-VAE are weighed: by β, towards a capacity, under a constraint."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from linear import LINEAR, SHAPE, VAR, all_of_them, linear_images

from trainer.models.beta_vae import BetaVAE, BetaVAEOptions
from trainer.models.vae import VAE, VAEOptions
from trainer.train import TrainOptions, train


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
