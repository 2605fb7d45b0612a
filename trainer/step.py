"""How one step runs: draw a batch, forward, backward, optimise. What is measured on the way stays on the device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from trainer import distributed
from trainer.data import Images
from trainer.trainable import Trainable


@dataclass
class State:
    """What a run is besides its model: its optimiser, how far it is, and what it measured since the last measures."""

    optimizer: torch.optim.Optimizer
    step: int = 0
    sums: dict[str, Tensor] = field(default_factory=dict)  # of each term, over `since` steps that took `seconds`
    since: int = 0
    seconds: float = 0.0
    taken_by: Step | None = None  # kept, so that another learning rate needs no other recording


class Step:
    """A step of a model on images, taken as often as it is called.

    What changes from step to step is in tensors that are written into (knobs, learning rate, sums), so that a
    recording of one step can be played again.
    """

    def __init__(self, model: Trainable, images: Images, state: State) -> None:
        self.model, self.images, self.state = model, images, state
        self.weights = list(model.parameters())  # to walk through all layers takes as long as a layer does

    def __call__(self, indices: Tensor) -> None:
        """Learn from the images at these positions (b,); the batch means of "loss" and each term go onto the sums."""
        self.learn(self.images.batch(indices, self.model.device), self.images.given(indices, self.model))

    def learn(self, x: Tensor, given: Mapping[str, Tensor]) -> None:
        """Learn from images (b, c, h, w), and what is given with them, that lie on the model's device."""
        terms = self.model.terms(x, given)
        loss = self.model.loss(terms)
        for weight in self.weights:
            weight.grad = None
        loss.backward()  # type: ignore[no-untyped-call]
        distributed.average([weight.grad for weight in self.weights if weight.grad is not None])
        self.state.optimizer.step()
        detached = {name: values.detach() for name, values in terms.items()}
        self.model.after_step(detached)
        self.add({"loss": loss.detach(), **{name: values.mean(0) for name, values in detached.items()}})

    def add(self, means: Mapping[str, Tensor]) -> None:
        """Add a step's measures onto the sums, in place."""
        if not self.state.sums:
            self.state.sums = {name: torch.zeros_like(value) for name, value in means.items()}
        torch._foreach_add_([self.state.sums[name] for name in means], list(means.values()))
