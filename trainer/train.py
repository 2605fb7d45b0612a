"""The training loop: a generator of measures that knows no model. To stop is not to iterate."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator

import torch
from pydantic import Field
from torch import Tensor

from trainer import distributed, told
from trainer.data import Images
from trainer.graph import step_for
from trainer.options import Options
from trainer.step import State
from trainer.trainable import Trainable, total

Measures = dict[str, float | list[float]]


class TrainOptions(Options):
    """How long, how fast and from which seed."""

    steps: int = Field(3000, ge=0, le=100_000_000, description="optimiser steps")
    batch: int = Field(128, ge=1, le=65_536, description="images per step")
    rate: float = Field(1e-3, gt=0, le=1, description="learning rate of Adam")
    decay: bool = Field(True, description="let the learning rate fall to 0 along a half cosine")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="seed of the weights, the batches and the noise")
    every: int = Field(100, ge=1, le=1_000_000, description="steps between two measures in the history")
    save_every: float = Field(30.0, ge=0, le=3600, description="seconds between two saves of the run's state")


def start(model: Trainable, options: TrainOptions) -> State:
    """A run's first state. Adam (Kingma and Ba 2015), fused; PCA has no parameters and never steps.

    The learning rate is a tensor, which a step reads anew each time.
    """
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # conv nets are 1.3 times as fast
    kind = model.device.type
    parameters = list(model.parameters()) or [torch.nn.Parameter(torch.zeros(1))]
    exact = torch.float32 if kind == "cuda" else torch.float64  # what the fused kernels read
    rate = torch.tensor(options.rate, dtype=exact, device=model.device if kind == "cuda" else "cpu")
    return State(torch.optim.Adam(parameters, lr=rate, fused=kind != "mps", capturable=kind == "cuda"))


def batches(
    n: int, options: TrainOptions, first: int = 0, device: torch.device | str = "cpu", labels: Tensor | None = None
) -> Iterator[Tensor]:
    """Positions (b,) on `device` for each step from `first` on.

    Every epoch has a new order, a function of seed and epoch alone; it is drawn, and moved, at once. Where a model is
    told some `labels` (n,) and not others, −1, each batch has as many of them, and an epoch is as many steps.
    """
    size = min(options.batch, n)
    per_epoch = n // size
    order, of_epoch = torch.empty(0), -1
    for step in range(first, options.steps):
        epoch, place = divmod(step, per_epoch)
        if epoch != of_epoch:
            seed = torch.Generator().manual_seed(options.seed * 1_000_003 + epoch)
            order = torch.randperm(n, generator=seed) if labels is None else told.order(labels, size, seed)
            order, of_epoch = order.to(device), epoch
        yield order[place * size : (place + 1) * size]


def never() -> bool:
    return False


def train(
    model: Trainable,
    images: Images,
    options: TrainOptions,
    state: State | None = None,
    pause: Callable[[], bool] = never,
) -> Iterator[tuple[int, Measures]]:
    """Take the steps from `state` to `options.steps`; every `options.every` yield (step, measures).

    Measures are means since the last ones: "loss", each term (a list with one number per dimension where it has
    them), each knob as it stands, the model's own `measures`, "rate", and "images_per_second". After a step in which
    `pause()` is true it yields too, with no measures. At each yield the state is whole and may be saved, or left.
    Raises FloatingPointError that names the term and the step when one stops being finite.
    """
    state = state or start(model, options)
    step = step_for(model, images, state)
    distributed.check_batch(min(options.batch, len(images)))
    where = model.device if images.resident(model.device) else torch.device("cpu")
    model.train()
    per_epoch = len(images) // min(options.batch, len(images))  # steps
    begun = time.perf_counter()
    labels = images.told if model.labelled and told.is_partial(images.told) else None
    for indices in batches(len(images), options, state.step, where, labels):
        for group in state.optimizer.param_groups:
            group["lr"].fill_(rate_at(state.step, options))
        for name, value in model.schedule(state.step).items():
            model.knobs[name].fill_(value)
        size = len(indices) // distributed.world()
        step(indices[distributed.part(size)])
        state.step += 1
        state.since += 1
        if state.step % per_epoch == 0:
            model.after_epoch()
        due = state.step % options.every == 0 or state.step == options.steps
        if due or pause():
            distributed.average(list(state.sums.values()))
            measures: Measures = {name: (values / state.since).tolist() for name, values in state.sums.items()}
            check_finite(measures, state.step)
            state.seconds += time.perf_counter() - begun
            if due:
                measures |= {name: float(knob) for name, knob in model.knobs.items()} | model.measures()
                measures["rate"] = rate_at(state.step - 1, options)
                measures["images_per_second"] = state.since * len(indices) / state.seconds
                torch._foreach_zero_(list(state.sums.values()))
                state.since, state.seconds = 0, 0.0
            yield state.step, measures if due else {}
            begun = time.perf_counter()


def rate_at(step: int, options: TrainOptions) -> float:
    """The learning rate of one step: constant, or the falling half of a cosine over the whole run."""
    return options.rate * (0.5 * (1 + math.cos(math.pi * step / options.steps)) if options.decay else 1.0)


def check_finite(measures: Measures, step: int) -> None:
    """Raise FloatingPointError that names the first term that is not finite."""
    for name, value in sorted(measures.items(), key=lambda item: item[0] == "loss"):
        if not all(map(math.isfinite, value if isinstance(value, list) else [value])):
            raise FloatingPointError(
                f'the term "{name}" stopped being finite by step {step}. Try a lower learning rate.'
            )


@torch.no_grad()
def evaluate(model: Trainable, images: Images, limit: int = 10_000, seed: int = 0) -> dict[str, Tensor]:
    """Each family of terms and "loss", per image and on the CPU, (n,), for at most `limit` images, of those whose class
    is known where the model needs it. Raises ValueError where that is none.
    """
    model.eval()
    torch.manual_seed(seed)
    parts = []
    usable = torch.nonzero(images.told >= 0)[:, 0] if model.needs_labels else torch.arange(len(images))
    if not len(usable):
        raise ValueError(f'none of the {len(images):,} images of "{images.name}" has a label, and this model needs one')
    for rows in usable[:limit].split(256):
        terms = model.terms(images.batch(rows, model.device), images.given(rows, model))
        parts.append({name: values.cpu() for name, values in total(terms).items()})
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
