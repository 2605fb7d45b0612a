"""The loops that training.py compares, each in a process of its own: python benchmarks/loops.py NAME

It says "ready", and then for each number of steps that comes on stdin how many seconds one of them took; for the word
"limit" what bounds our step, and for "kernels", on CUDA, where its time goes. The answers are JSON.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from trainer import device

if sys.argv[1:2] and sys.argv[1].startswith("ours"):
    device.prepare()  # as the command line does; the peers run as they come

import torch
from peers import BATCH, ON, Steps, build, examples, images_for, plain, pythae
from torch.utils.flop_counter import FlopCounterMode

from trainer.step import Step
from trainer.train import TrainOptions, batches, start, train


def ours(net: str) -> Steps:
    """`trainer.train.train` itself, with a measure every 100 steps, as the command line runs it."""
    device.for_training(ON.type)
    images = images_for(net)
    model, options = build(net, images), TrainOptions(steps=10**8, batch=BATCH[net])
    state, goal = start(model, options), 0
    course = train(model, images, options, state, pause=lambda: state.step >= goal)

    def steps(n: int) -> int:
        nonlocal goal
        goal = state.step + n
        while state.step < goal:
            next(course)
        return n

    return steps


def same(x: torch.Tensor, out: torch.Tensor) -> bool:
    """Whether a layer works in place, or only looks at what it is given otherwise."""
    return x.untyped_storage().data_ptr() == out.untyped_storage().data_ptr()


def limit(net: str) -> dict[str, float]:
    """Seconds that a step must take for its arithmetic, and for its bytes, at this machine's own measured rates."""
    images = images_for(net)
    model, options = build(net, images), TrainOptions(batch=BATCH[net])
    step = Step(model, images, start(model, options))
    outputs: list[int] = []
    for layer in model.modules():
        if not list(layer.children()):
            layer.register_forward_hook(lambda _, given, out: outputs.append(0 if same(given[0], out) else out.nbytes))
    with FlopCounterMode(display=False) as counter:
        step(next(batches(len(images), options, device=ON)))
    weights = sum(parameter.nbytes for parameter in model.parameters())
    # a weight is read forward and back, its gradient written and read, itself and two moments read and written; what
    # a layer puts out is written, read by the next and on the way back, and its gradient written and read
    moved = 10 * weights + 5 * sum(outputs)
    size = 8192 if ON.type == "cuda" else 1024
    a, b = torch.randn(size, size, device=ON), torch.randn(64 * 2**20, device=ON)
    per_flop = min(timed(lambda: a @ a) for _ in range(20)) / (2 * size**3)
    per_byte = min(timed(b.clone) for _ in range(20)) / (2 * b.nbytes)
    return {"arithmetic": counter.get_total_flops() * per_flop, "bytes": moved * per_byte}


def kernels(steps: Steps) -> str:
    """On CUDA: the kernels that take the most of 100 steps, and the share of the time in which any ran; else "".

    Kernels that ran side by side are counted twice, so that the share may be above what is true, never below.
    """
    if ON.type != "cuda":
        return ""
    with torch.profiler.profile(activities=list(torch.profiler.supported_activities())) as profile:
        took = timed(lambda: steps(100))
    found = profile.key_averages()
    busy = sum(kernel.self_device_time_total for kernel in found) / 1e6
    table = found.table(sort_by="self_cuda_time_total", row_limit=12, max_name_column_width=60)
    return f"{table}\n{100 * busy / took:.0f} % of the time in kernels"


PRODUCTS = ("aten::mm", "aten::addmm", "aten::_convolution", "aten::mkldnn_convolution", "aten::convolution_backward")


def products(steps: Steps) -> float:
    """On a CPU: seconds of a step in its matrix products and convolutions alone, at the sizes that they have in it."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        steps(30)
    return sum(found.self_cpu_time_total for found in profile.key_averages() if found.key in PRODUCTS) / 30e6


def timed(work: Callable[[], object]) -> float:
    """Seconds, with all that the device has to do for it."""
    synchronize = torch.cuda.synchronize if ON.type == "cuda" else int
    synchronize()
    begun = time.perf_counter()
    work()
    synchronize()
    return time.perf_counter() - begun


LOOPS: dict[str, Callable[[], Steps]] = {
    "ours-mlp": partial(ours, "mlp"),
    "ours-conv": partial(ours, "conv"),
    "examples": examples,
    "pythae": pythae,
    "plain": plain,
}


def answer(name: str, steps: Steps, asked: str) -> object:
    if asked == "limit":
        return limit(name.removeprefix("ours-"))
    if asked == "products":
        return products(steps)
    if asked == "kernels":
        return kernels(steps)
    taken: list[int] = []
    took = timed(lambda: taken.append(steps(int(asked))))
    return took / taken[0]


def main() -> None:
    """Answer questions, a line each, in JSON; whatever a loop prints goes to stderr."""
    name, out = sys.argv[1], sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        steps = LOOPS[name]()
        steps(20)
        print('"ready"', file=out, flush=True)
        for line in sys.stdin:
            print(json.dumps(answer(name, steps, line.strip())), file=out, flush=True)


if __name__ == "__main__":
    main()
