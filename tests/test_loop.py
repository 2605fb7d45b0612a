"""The loop of a training: its epochs, and its measures."""

from __future__ import annotations

import pytest
import torch
from linear import LINEAR, SHAPE, linear_images

from trainer.latent import LatentModel
from trainer.models.vae import VAE, VAEOptions
from trainer.train import Measures, TrainOptions, train


def test_every_epoch_has_each_image_once_in_a_new_order() -> None:
    from trainer.train import batches

    options = TrainOptions(steps=9, batch=4, seed=3)
    whole = list(batches(12, options))
    epochs = [torch.cat(whole[start : start + 3]) for start in (0, 3, 6)]
    assert all(torch.equal(epoch.sort().values, torch.arange(12)) for epoch in epochs)
    assert not torch.equal(epochs[0], epochs[1])
    for resumed, expected in zip(batches(12, options, 4), whole[4:], strict=True):
        assert torch.equal(resumed, expected)
    assert len(next(iter(batches(3, options)))) == 3


def test_measures_are_means_over_the_steps_between() -> None:
    def course(every: int) -> list[tuple[int, Measures]]:
        torch.manual_seed(0)
        model: LatentModel = VAE(SHAPE, VAEOptions.read({**LINEAR, "latents": 2}))
        return list(train(model, linear_images(), TrainOptions(steps=10, batch=32, every=every)))

    fine, coarse = course(1), course(4)
    assert [step for step, _ in fine] == list(range(1, 11))
    assert [step for step, _ in coarse] == [4, 8, 10]
    for (_, measures), part in zip(coarse, (fine[:4], fine[4:8], fine[8:]), strict=True):
        losses = [float(one["loss"]) for _, one in part]  # type: ignore[arg-type]
        assert measures["loss"] == pytest.approx(sum(losses) / len(losses), rel=1e-5)
        kls = measures["kl/z"]
        assert isinstance(kls, list) and len(kls) == 2
        assert measures["loss"] == pytest.approx(float(measures["reconstruction"]) + sum(kls), rel=1e-5)  # type: ignore[arg-type]
    rates = [float(measures["rate"]) for _, measures in fine]  # type: ignore[arg-type]
    assert rates[0] == 1e-3 and rates == sorted(rates, reverse=True)
    assert rates[5] == pytest.approx(0.5e-3)
