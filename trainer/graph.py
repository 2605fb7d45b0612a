"""The step on CUDA: recorded once as a graph and then played, so that no kernel waits for Python."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from trainer import distributed
from trainer.data import Images
from trainer.step import State, Step
from trainer.trainable import Trainable

Body = Callable[[], None]
WARM_UP = 3  # steps before the recording: libraries choose their kernels and make room in them


class Recorder(Protocol):
    """What can run a function that takes no arguments, and record what it does on the device to play it again."""

    def run(self, body: Body) -> None:
        """Call it."""

    def record(self, body: Body) -> Body:
        """A function that does again what `body` did on the device. Raises RuntimeError where that is impossible."""


class Recorded(Step):
    """The same step, its first ones run and the others played from a recording.

    Positions, or images that are not drawn on the device and what is given with them, are written into tensors that
    the recording reads. A step that cannot be recorded, since its model asks a tensor for its value, is run every time,
    and stderr says so.
    """

    def __init__(self, model: Trainable, images: Images, state: State, recorder: Recorder) -> None:
        super().__init__(model, images, state)
        self.recorder = recorder
        self.draws = images.resident(model.device)
        self.taken = 0
        self.play: Body = partial(recorder.run, self.body)

    def __call__(self, indices: Tensor) -> None:
        source = {"indices": indices}
        if not self.draws:
            given = self.images.given(indices, self.model)
            source = {"x": self.images.batch(indices, self.model.device), **given}
        if self.taken == 0:
            self.source = {name: value.clone() for name, value in source.items()}
        for name, value in source.items():
            self.source[name].copy_(value)
        if self.taken == WARM_UP:
            self.record()
        self.play()
        self.taken += 1

    def record(self) -> None:
        """Play the step from here on, if it can be recorded."""
        noise = torch.get_rng_state()
        try:
            self.play = self.recorder.record(self.body)
        except RuntimeError as error:
            found = causes(error)
            for each in found:
                if isinstance(each, torch.cuda.OutOfMemoryError | KeyboardInterrupt):
                    raise each from None  # a smaller batch is the cure of the one
            torch.set_rng_state(noise)  # the step that came to nothing drew from it too, if it can draw on the host
            first = [each for each in found if isinstance(each, RuntimeError)][-1]
            reason = str(first).partition("\n")[0]
            print(f"the steps run without a CUDA graph, for they cannot be recorded: {reason}", file=sys.stderr)

    def body(self) -> None:
        """One step from what lies in `source`."""
        if self.draws:
            super().__call__(self.source["indices"])
        else:
            given = {name: value for name, value in self.source.items() if name != "x"}
            self.learn(self.source["x"], given)


def causes(error: BaseException) -> list[BaseException]:
    """An error and what went wrong before it, the first last: a recording that breaks off ends badly too, with an error
    that says no more than that.
    """
    found = [error]
    while error.__context__ is not None and not error.__suppress_context__:
        error = error.__context__
        found.append(error)
    return found


class CUDA:
    """Records on a CUDA device. Warm-up and recording share a stream of their own: libraries keep a state for each."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.stream = torch.cuda.Stream(device)

    def run(self, body: Body) -> None:
        """Call it on the stream of its own, with TF32."""
        caller = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(caller)
        with torch.cuda.stream(self.stream), tf32():
            body()
        caller.wait_stream(self.stream)

    def record(self, body: Body) -> Body:
        """Capture it; nothing is computed until it is played. Noise goes on from the default generator."""
        generator, caller = torch.cuda.default_generators[self.device.index], torch.cuda.current_stream(self.device)
        unrecorded = generator.clone_state()
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.device(self.device), tf32(), torch.cuda.graph(graph, stream=self.stream):
                body()
        except RuntimeError:
            torch.cuda.set_stream(caller)  # a capture that ends badly leaves its own in place
            generator.graphsafe_set_state(unrecorded)  # the other one belongs to the recording that came to nothing
            raise
        return graph.replay


@contextmanager
def tf32() -> Iterator[None]:
    """Matrix products and convolutions of float32 on the tensor cores, in here only: what is measured later is exact,
    since `device.choose` turns off what cuDNN does by default.
    """
    products, convolutions = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(products)
        torch.backends.cudnn.allow_tf32 = convolutions


class Eager(Step):
    """The step on one of several GPUs: what processes send each other is not recorded."""

    def __call__(self, indices: Tensor) -> None:
        with tf32():
            super().__call__(indices)


def step_for(model: Trainable, images: Images, state: State) -> Step:
    """The fastest step there is on the model's device; the one that this state was taken on by before, if there is."""
    known = state.taken_by
    if known is None or known.model is not model or known.images is not images:
        known = _step_for(model, images, state)
        state.taken_by = known
    return known


def _step_for(model: Trainable, images: Images, state: State) -> Step:
    if model.device.type != "cuda":
        return Step(model, images, state)
    if distributed.world() > 1:
        return Eager(model, images, state)
    return Recorded(model, images, state, CUDA(model.device))
