"""One training from data to checkpoint folder, and measuring what came of it: what the command line runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from trainer import checkpoint, control, data, distributed, interrupt
from trainer.config import Config, Turned
from trainer.control import Control, as_turned
from trainer.files import clear_leftovers
from trainer.journal import MEASURING, Journal
from trainer.report import check_data, cost_of_half, report_of, round_to_half
from trainer.snapshots import Snapshots
from trainer.stage import assemble
from trainer.state import load_state, saved_step
from trainer.stepping import follow_steps, take_steps
from trainer.tensorboard import Events
from trainer.train import TrainOptions, start
from trainer.trainable import Trainable

HALF_COSTS_AT_MOST = 0.05  # of the unit of the mean of the test terms


def fit(
    folder: Path,
    config: Config,
    device: torch.device,
    resume: bool = False,
    rate: float | None = None,
    tensorboard: bool = False,
) -> bool:
    """Train as configured and write the checkpoint folder. False: stopped by a signal; what was there is saved.

    A fresh run never writes over anything: ValueError. A resumed one goes on from state.safetensors, or begins where
    none was saved yet; `rate` is another learning rate from there on. `tensorboard` writes event files. Raises
    KeyboardInterrupt that says what is left by a signal that comes twice, or not during the steps; FloatingPointError
    that says what is left when a term stops being finite; OSError, also where the steps find too little memory on a GPU
    of CUDA.
    """
    try:
        return _fit(folder, config, device, resume, rate, tensorboard)
    except KeyboardInterrupt:
        if not (folder / "config.json").is_file():
            left = "nothing was written"
        elif not checkpoint.can_go_on(folder):
            left = f'"{folder}" is whole'
        else:
            left = f'"{folder}" is as it was last saved. To go on: python -m trainer resume {folder}'
        raise KeyboardInterrupt(f"interrupted; {left}") from None
    except FloatingPointError as error:
        said = checkpoint.describe_running(folder).history()
        lower = f"{as_turned(TrainOptions.read(config.training), said).rate / 3:.1g}"
        raise FloatingPointError(
            f'{error} "{folder}" is as it was saved at step {saved_step(folder):,}; to go on from there: '
            f"python -m trainer resume {folder} --rate {lower}"
        ) from None


def _fit(
    folder: Path, config: Config, device: torch.device, resume: bool, rate: float | None, tensorboard: bool
) -> bool:
    first = distributed.rank() == 0
    before = len(control.lines(folder / control.FILE)) if resume else 0  # by now; reading the data takes its time
    if first and not resume:
        checkpoint.check_folder(folder)
    if first and resume:
        clear_leftovers(folder)
    options = TrainOptions.read(config.training)
    images, test = config.data.load("train"), config.data.load("test")
    check_data(folder, config, images)
    with distributed.joined(device) as place:
        torch.manual_seed(options.seed)
        model, images, test = assemble(folder, config, place, images, test, progress_of("encoding"))
        if place.type == "cuda" and distributed.world() > 1:
            model = torch.nn.SyncBatchNorm.convert_sync_batchnorm(model)
        state = start(model, options)
        journal = Journal(folder, config)
        done = False
        if resume and (folder / "state.safetensors").is_file():
            load_state(folder, model, state)
            lines = checkpoint.describe_running(folder).history()
            lines = [line for line in lines if line["step"] <= state.step and MEASURING not in line]
            journal = Journal(folder, config, lines)
            if rate is not None:
                journal.add({"step": state.step, "changed": {"rate": rate}})
        else:
            done = distributed.from_first(model, lambda: model.begin(images, track=progress_of("reading")))
            if not done:  # said before there is a folder that holds something
                distributed.check_batch(min(options.batch, len(images)))
            if first:
                checkpoint.save_config(folder, config)  # from here on there is something to resume
        finished = True
        if not done and first:
            journal.events = Events(folder, tensorboard, state.step)
            snapshots = Snapshots(folder, model, test, options.steps, state.step)
            with journal.events, within_memory(folder, place, options.batch):
                orders = Control(folder, journal.lines, before, renewed=rate is not None)
                finished = take_steps(journal, orders, model, images, options, state, snapshots)
                if not state.step:  # no step has saved it, and it can take some later
                    journal.save(model, state, snapshots)
        elif not done:
            with within_memory(folder, place, options.batch):
                finished = follow_steps(model, images, options, state)
    if first:
        journal.say_measuring(state.step)
        turned = [Turned(step=line["step"], changed=line["changed"]) for line in journal.lines if "changed" in line]
        config = config.model_copy(update={"steps_done": state.step, "turned": turned})
        _finish(folder, model, images, test, config, journal.lines)
    return finished


@contextmanager
def within_memory(folder: Path, place: torch.device, batch: int) -> Iterator[None]:
    """Say what the steps need where they find too little memory on the device: OSError."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise OSError(
            f"the memory of {place} is full, in steps of {batch:,} images. Train anew with a smaller --batch; or, if "
            f"something else filled it, go on when that is done: python -m trainer resume {folder}"
        ) from None


def _finish(
    folder: Path, model: Trainable, images: data.Images, test: data.Images, config: Config, history: list[Any]
) -> None:
    """Everything that a checkpoint folder holds besides its state."""
    model.eval()
    model.end(images)
    if config.half:
        shift = cost_of_half(model, test)
        weights = "float16" if shift < HALF_COSTS_AT_MOST else "float32"
        config = config.model_copy(update={"weights": weights, "half_shift": shift})
        if weights == "float16":
            round_to_half(model)
    report = report_of(folder, model, images, test, config)
    with interrupt.held():
        report.write(folder)
        late = Control(folder, history).too_late(config.steps_done)
        checkpoint.save(folder, model, report.config, [*history, *late])


def progress_of(what: str) -> Any:
    """A `Track` with a bar on stderr, quiet when that is no terminal."""

    def track(loop: Iterable[Tensor]) -> Iterable[Tensor]:
        return tqdm(loop, desc=what, unit=" batches", leave=False, disable=None)

    return track
