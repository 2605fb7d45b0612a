"""What a training will take, from a few of its steps."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trainer import models
from trainer.data import Images
from trainer.options import Options
from trainer.train import TrainOptions, start, train

MEASURED = 128  # images per step at most; larger batches take as much longer
DRAWN = 2048  # decodes per step at most, where an image has several draws; of 2 images at least, for batch norm
SECONDS = 0.3  # of steps


@dataclass(frozen=True)
class Estimate:
    """Before a training starts."""

    parameters: int
    memory: int  # bytes: weights, gradients, two moments, what the layers put out, the images
    seconds: float | None  # of all steps on this machine's CPU; None where there is a closed form


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def estimate(
    name: str, options: Options, training: TrainOptions, images: Images, threads: int | None = None
) -> Estimate:
    """Take a few steps of a model of its own, on the CPU, with as many threads as the training will have if that is
    given. Raises ValueError if there is no such model of these images.

    The random state and the threads of the caller stay as they are.
    """
    with torch.random.fork_rng([]), torch.enable_grad(), _threads(threads):
        kind = models.get(name)
        model = kind(images.shape, kind.fitted(options, images))
        parameters = sum(p.numel() for p in model.parameters())
        pixels = len(images) * model.pixels
        if model.closed_form:
            return Estimate(parameters, pixels, None)
        put_out = 0

        def count(module: nn.Module, given: tuple[object, ...], out: object) -> None:
            nonlocal put_out
            held = [tensor.untyped_storage().data_ptr() for tensor in given if isinstance(tensor, Tensor)]
            if isinstance(out, Tensor) and out.untyped_storage().data_ptr() not in held:  # not in place, and no view
                put_out += out.numel()

        hooks = [layer.register_forward_hook(count) for layer in model.modules() if not any(layer.children())]
        draws = getattr(options, "samples", 0) or 1
        batch = min(training.batch, MEASURED, max(2, DRAWN // draws), len(images))
        few = training.model_copy(update={"steps": 1000, "batch": batch, "every": 1})
        state, begun = start(model, few), 0.0
        for step, _ in train(model, images, few, state, pause=lambda: True):
            if step == 1:  # which is slower than the others
                begun = time.perf_counter()
                for hook in hooks:
                    hook.remove()
            elif time.perf_counter() - begun > SECONDS:
                break
        each = (time.perf_counter() - begun) / max(1, state.step - 1)
    larger = min(training.batch, len(images)) / batch
    memory = 4 * (4 * parameters + int(put_out * larger)) + pixels
    return Estimate(parameters, memory, training.steps * each * larger)
