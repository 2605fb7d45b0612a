"""A training whose numbers stop being finite says which."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from commandline import (
    call,
)

from trainer import models
from trainer.data import Images
from trainer.train import TrainOptions, train


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_term_that_is_not_finite_is_named(bad: float) -> None:
    pixels = torch.rand(16, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    pixels[5, 0, 2, 2] = bad
    kind = models.get("vae")
    model = kind((1, 4, 4), kind.Options.read({"hidden": (8,), "likelihood": "gaussian"}))
    with pytest.raises(FloatingPointError, match=r'"reconstruction" stopped being finite by step 2\..*learning rate'):
        list(train(model, Images("bad", pixels), TrainOptions(steps=6, batch=16, every=2)))


def test_a_kl_that_is_not_finite_is_named() -> None:
    class Broken(models.get("vae")):  # type: ignore[misc]
        def terms(self, x: torch.Tensor, given: Any = None) -> dict[str, torch.Tensor]:
            terms = super().terms(x)
            return {**terms, "kl/z": terms["kl/z"] * torch.tensor([1.0, math.inf])}

    model = Broken((1, 4, 4), Broken.Options.read({"hidden": (8,), "latents": 2}))
    with pytest.raises(FloatingPointError, match='the term "kl/z" stopped being finite by step 1'):
        list(train(model, Images("fine", torch.rand(16, 1, 4, 4)), TrainOptions(steps=1)))


def test_a_diverging_training_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wild = ["--rate", 1, "--likelihood", "learned", "--std", 0.001, "--steps", 100, "--size", 100, "--no-decay"]
    deep = ["--hidden", 64, 64, 64, 64, "--device", "cpu"]
    assert call("train", "vae", "--out", tmp_path / "wild", *wild, *deep) == 2
    said = capsys.readouterr().err
    assert (
        said.startswith(("error: the term", "error: the weights"))
        and "stopped being finite" in said
        and "--rate" in said
    )
    assert {path.name for path in (tmp_path / "wild").iterdir()} == {"config.json"}  # nothing half-written is left
