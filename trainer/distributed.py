"""One training by several processes, as torchrun starts them. In one process all of this does nothing.

Every process draws the same positions and the same noise for the whole batch and takes its slice of both, so that the
run is that of one process. The first process alone writes, reads orders and takes pictures; it tells the others.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from trainer import interrupt

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from trainer.trainable import Trainable

LOOK_EVERY = 8  # steps between two times that the processes ask each other whether to pause
PATIENCE = timedelta(days=30)  # for a first process that waits in the line for its device
SECONDS = 0.2  # between two looks whether it is here
IS_HERE = "the first process is here"
LAUNCHED_BY = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


def _is_launched() -> bool:
    return all(name in os.environ for name in LAUNCHED_BY)


def _is_joined() -> bool:
    import torch.distributed as dist

    return dist.is_available() and dist.is_initialized()


def rank() -> int:
    """Which of the processes this is, from 0; the first one writes."""
    return int(os.environ["RANK"]) if _is_launched() else 0


def speaks() -> bool:
    """Whether this process says what went wrong: the first one of its machine, for another may have other troubles."""
    return not _is_launched() or os.environ["LOCAL_RANK"] == "0"


def world() -> int:
    """How many processes take each step together."""
    import torch.distributed as dist

    return dist.get_world_size() if _is_joined() else 1


def devices(device: torch.device) -> list[str]:
    """The devices of this machine that the processes of this training hold: a GPU each, in the order of their numbers;
    elsewhere the `device` itself.
    """
    if device.type != "cuda" or not _is_launched():
        return [str(device)]
    return [f"cuda:{number}" for number in range(_processes_here())]


def _processes_here() -> int:
    """How many processes were started on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", int(os.environ["LOCAL_RANK"]) + 1))


@contextmanager
def joined(device: torch.device) -> Iterator[torch.device]:
    """The processes that torchrun started, as one group in here; each with a GPU of its own, where it is for GPUs.

    Raises ValueError where a machine has fewer GPUs than processes, OSError when another process ended.
    """
    if not _is_launched():
        yield device
        return
    import torch
    import torch.distributed as dist
    import torch.distributed.nn  # in a group its functions would keep that one, and its threads abort Python's end

    local = int(os.environ["LOCAL_RANK"])
    if device.type == "cuda":
        here, gpus = _processes_here(), torch.cuda.device_count()
        if here > gpus:  # in each of them, and the first one says it
            raise ValueError(f"{here} processes were started on this machine, which has {gpus} GPUs")
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    try:
        _join("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
        dist.all_reduce(torch.zeros(1))  # all have read what they need before the first one writes
        yield device
    except RuntimeError as error:
        if isinstance(error, dist.DistError) or "gloo" in str(error):
            raise OSError(f"another process of this training has ended: {str(error).splitlines()[0]}") from None
        raise
    finally:
        if _is_joined():
            dist.destroy_process_group()


def _join(backend: str) -> None:
    """Become one group, once the first process is here: it may have waited long for its device, and how long a group
    is given to form is for what goes wrong.
    """
    import torch.distributed as dist
    from torch.distributed.rendezvous import rendezvous

    store, own, count = next(rendezvous("env://", timeout=PATIENCE))
    if own == 0:
        store.set(IS_HERE, "yes")
    while not store.check([IS_HERE]):
        time.sleep(SECONDS)
    store.set_timeout(dist.default_pg_timeout)
    dist.init_process_group(backend, store=store, rank=own, world_size=count)


def check_batch(size: int) -> None:
    """Raise ValueError unless a batch of this many images is of equal slices."""
    if size % world():
        raise ValueError(f"a batch of {size} images is not of equal parts for {world()} processes: choose a multiple")


def check_alone(model: str) -> None:
    """Raise ValueError in one of several processes, for a model whose objective is one of the whole batch."""
    if world() > 1:
        raise ValueError(f"{model} learns from how the images of a whole batch differ: train it in one process")


def part(size: int) -> slice:
    """The place of this process's `size` images in the whole batch."""
    mine = rank() if world() > 1 else 0
    return slice(mine * size, (mine + 1) * size)


def add_up(tensors: Sequence[Tensor]) -> None:
    """Replace each tensor by its sum over the processes, in place, all in one message."""
    if world() == 1 or not tensors:
        return
    import torch
    import torch.distributed as dist

    flat = torch.cat([tensor.flatten() for tensor in tensors])
    dist.all_reduce(flat)
    parts = flat.split([tensor.numel() for tensor in tensors])
    for tensor, whole in zip(tensors, parts, strict=True):
        tensor.copy_(whole.view(tensor.shape))


def average(tensors: Sequence[Tensor]) -> None:
    """Replace each tensor by its mean over the processes, in place, all in one message."""
    add_up(tensors)
    if world() > 1:
        for tensor in tensors:
            tensor.div_(world())


def all_mean(value: Tensor) -> Tensor:
    """The mean over the processes of a mean over each one's images: for what is not linear in the batch mean.

    Its gradient is that of this process's own value; gradients are averaged after it.
    """
    if world() == 1:
        return value
    mean = value.detach().clone()
    average([mean])
    return value + (mean - value.detach())


def from_first(model: Trainable, begin: Callable[[], bool]) -> bool:
    """What `begin` returns in the first process, which alone runs it; all have its model afterwards."""
    if world() == 1:
        return begin()
    import torch
    import torch.distributed as dist

    done = torch.tensor(rank() == 0 and begin())
    dist.broadcast(done, 0)
    for value in model.state_dict().values():
        _broadcast(value)
    return bool(done)


def _broadcast(value: Tensor) -> None:
    import torch.distributed as dist

    flat = value.contiguous()  # some have channels last
    dist.broadcast(flat, 0)
    value.copy_(flat)


def together(pause: Callable[[], bool], stopped: list[int]) -> Callable[[], bool]:
    """A `pause` that is true in all processes at once; then all are `stopped` if one is."""
    if world() == 1:
        return pause
    import torch
    import torch.distributed as dist

    calls = itertools.count(1)

    def agreed() -> bool:
        if next(calls) % LOOK_EVERY:
            return False
        asked = torch.tensor([pause(), bool(stopped)], dtype=torch.int32)
        dist.all_reduce(asked, dist.ReduceOp.MAX)
        if asked[1] and not stopped:
            stopped.append(interrupt.ELSEWHERE)
        return bool(asked.any())

    return agreed


def agree(model: Trainable, rate: float, stopped: bool) -> tuple[float, bool]:
    """The learning rate and whether to stop, as the first process has them, and its knobs."""
    if world() == 1:
        return rate, stopped
    import torch
    import torch.distributed as dist

    said = torch.tensor([rate, stopped], dtype=torch.float64)
    dist.broadcast(said, 0)
    for knob in model.knobs.values():
        _broadcast(knob)
    return float(said[0]), bool(said[1])
