"""How a step runs: the same as a loop written by hand; what a process prepares."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from commandline import REPOSITORY, call, environment, train_vae
from stepping import OPTIONS, fresh

from trainer import data, device
from trainer.latent import LatentModel
from trainer.models.vae import VAE
from trainer.train import TrainOptions, batches, rate_at, start, train
from trainer.trainable import total


@pytest.fixture(scope="module")
def images() -> data.Images:
    return data.load("digits", "train", 200)


def by_hand(model: LatentModel, images: data.Images) -> tuple[list[torch.Tensor], list[dict[str, torch.Tensor]]]:
    """A loop as PyTorch's documentation has it: the weights that come of it, and the terms of every step."""
    parameters = list(model.parameters())
    optimizer = torch.optim.Adam(parameters, lr=OPTIONS.rate, foreach=False, fused=False)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, OPTIONS.steps)
    seen = []
    for indices in batches(len(images), OPTIONS):
        terms = model.terms(torch.stack([images.batch(index[None])[0] for index in indices]))
        optimizer.zero_grad()
        sum(values.sum() for values in terms.values()).div(len(indices)).backward()  # type: ignore[union-attr]
        optimizer.step()
        scheduler.step()
        seen.append({name: values.detach() for name, values in terms.items()})
    return [parameter.detach() for parameter in parameters], seen


@pytest.mark.parametrize("net", ["mlp", "conv"])
def test_steps_are_those_of_a_loop_by_hand(net: str, images: data.Images) -> None:
    weights, seen = by_hand(fresh(net=net), images)
    model = fresh(net=net)
    ((_, measures),) = train(model, images, OPTIONS)
    for found, expected in zip(model.parameters(), weights, strict=True):
        assert torch.allclose(found, expected, rtol=1e-4, atol=1e-6)
    for name in ("reconstruction", "kl/z"):
        mean = torch.stack([terms[name].mean(0) for terms in seen]).mean(0)
        assert torch.tensor(measures[name]).allclose(mean, rtol=1e-4), name
    losses = torch.stack([total(terms)["loss"].mean() for terms in seen])
    assert measures["loss"] == pytest.approx(float(losses.mean()), rel=1e-4)


def test_the_learning_rate_is_a_tensor_along_a_cosine(images: data.Images) -> None:
    model = fresh()
    state = start(model, OPTIONS)
    (group,) = state.optimizer.param_groups
    rate, found = group["lr"], []
    for _ in train(model, images, OPTIONS, state, pause=lambda: True):
        assert group["lr"] is rate  # written into, never another one
        found.append(float(rate))
    assert found == pytest.approx([0.005 * (1 + math.cos(math.pi * step / 8)) for step in range(8)])
    assert rate_at(7, TrainOptions(steps=8, rate=0.01, decay=False)) == 0.01


def test_after_step_sees_each_term_without_a_gradient(images: data.Images, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []

    def after_step(model: VAE, terms: Mapping[str, torch.Tensor]) -> None:
        seen.extend(values.requires_grad for values in terms.values())

    monkeypatch.setattr(VAE, "after_step", after_step)
    list(train(fresh(), images, TrainOptions(steps=1, batch=16)))
    assert seen == [False, False]


# ---- the process


def prepared(code: str) -> str:
    """What a fresh Python prints that prepares itself and then runs `code`."""
    command = [sys.executable, "-c", f"from trainer import device; device.prepare()\nimport sys\n{code}"]
    return subprocess.run(
        command, cwd=REPOSITORY, env=environment(), capture_output=True, text=True, check=True
    ).stdout.strip()


def test_a_process_prepares_before_torch_is_loaded() -> None:
    assert prepared("print('torch' in sys.modules)") == "False"
    assert prepared("import torch; print(float((torch.ones(2000, 2000) @ torch.ones(2000, 1)).sum()))") == "4000000.0"


def test_while_training_what_is_too_small_is_none_in_every_thread() -> None:
    count = "import torch; print(int((torch.full((10_000_000,), 1e-30) * 1e-10).count_nonzero()))"
    assert prepared(f"device.for_training('cpu', 2); {count}") == "0"
    assert prepared(f"device.choose('cpu'); {count}") == "10000000"


@pytest.mark.parametrize("error", [AttributeError, OSError, TypeError])
def test_without_glibc_nothing_is_asked_of_it(error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[None] = []

    class Library:
        def __init__(self, name: None) -> None:
            asked.append(name)
            raise error

    monkeypatch.setattr("ctypes.CDLL", Library)
    device.prepare()
    assert asked == [None]


def test_threads_are_as_many_as_asked_for(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    assert train_vae(tmp_path / "two", "--steps", 1, "--threads", 2) == 0
    assert train_vae(tmp_path / "all", "--steps", 1) == 0
    assert call("resume", tmp_path / "all", "--steps", 1, "--device", "cpu", "--threads", 3) == 0
    assert asked == [2, 3]


def test_no_threads_are_a_sentence(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert train_vae(tmp_path / "none", "--threads", 0) == 2
    assert "threads came as 0" in capsys.readouterr().err
    assert call("resume", tmp_path / "none", "--threads", 0) == 2
    assert "threads came as 0" in capsys.readouterr().err
