"""One training from data to checkpoint folder: what the command line runs."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from trainer import checkpoint, data, sheet
from trainer.card import card, headline
from trainer.checkpoint import Config
from trainer.latent import LatentModel
from trainer.summary import save_summary, summarise
from trainer.train import State, TrainOptions, evaluate, start, train

SAVE_EVERY = 30  # seconds
HALF_COSTS_AT_MOST = 0.05  # nats of ELBO


def fit(folder: Path, config: Config, device: torch.device, resume: bool = False) -> bool:
    """Train as configured and write the checkpoint folder. False: stopped by Ctrl-C; what was there is saved.

    A fresh run never writes over a checkpoint: FileExistsError. A resumed one goes on from state.safetensors.
    """
    if not resume and (folder / "config.json").exists():
        raise FileExistsError(
            f'"{folder}" already holds a checkpoint. Choose another --out, or remove that folder first, or go on '
            f"with it: python -m trainer resume {folder}"
        )
    options = TrainOptions.read(config.training)
    images = data.load(config.data.name, "train", config.data.size)
    torch.manual_seed(options.seed)
    model = checkpoint.build(config).to(device)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # 1.3 times as fast for conv nets on a CPU
    state = start(model, options)
    history: list[dict[str, Any]] = []
    if resume:
        checkpoint.load_state(folder, model, state)
        history = [line for line in checkpoint.describe_running(folder).history() if line["step"] <= state.step]
    finished = True
    if resume or not model.begin(images, track=progress_of("reading")):
        finished = _steps(folder, config, model, images, options, state, history)
    _finish(folder, model, images, config.model_copy(update={"steps_done": state.step}), history)
    return finished


def _steps(
    folder: Path,
    config: Config,
    model: LatentModel,
    images: data.Images,
    options: TrainOptions,
    state: State,
    history: list[Any],
) -> bool:
    """Take the steps, with a progress bar and a save every 30 s; False when Ctrl-C stopped them."""
    seconds_before = history[-1]["seconds"] if history else 0.0
    begun = saved = time.perf_counter()
    with (
        stop_on_interrupt() as stopped,
        tqdm(total=options.steps, initial=state.step, unit=" steps", disable=None) as bar,
    ):
        for step, measures in train(model, images, options, state):
            seconds = round(seconds_before + time.perf_counter() - begun, 2)
            history.append({"step": step, "seconds": seconds, **measures})
            bar.set_postfix_str(f"{measures['images_per_second']:,.0f} images/s, loss {measures['loss']:.1f}")
            bar.update(step - bar.n)
            if time.perf_counter() - saved > SAVE_EVERY or stopped or step == options.steps:
                checkpoint.save_state(folder, model, state)
                checkpoint.write_text(folder / "history.jsonl", "".join(json.dumps(line) + "\n" for line in history))
                checkpoint.write_text(folder / "config.json", config.model_dump_json(indent=2) + "\n")
                saved = time.perf_counter()
            if stopped:
                break
    return state.step >= options.steps


def _finish(folder: Path, model: LatentModel, images: data.Images, config: Config, history: list[Any]) -> None:
    """Everything that a checkpoint folder holds besides its state."""
    test = data.load(config.data.name, "test", config.data.size)
    shift = ""
    if config.weights == "float16":
        cost = cost_of_half(model, test)
        shift = f"float16; that moves the mean of the test terms by {cost:.4f}"
        if cost >= HALF_COSTS_AT_MOST:
            config = config.model_copy(update={"weights": "float32"})
            shift = f"float32, since float16 would move the mean of the test terms by {cost:.4f}"
        else:
            round_to_half(model)
    summary = summarise(model, images, test)
    config = config.model_copy(update={"measured": headline(model, summary)})
    save_summary(folder, summary)
    torch.manual_seed(0)
    with torch.no_grad():
        samples = model.decode(model.sample(32, generator=torch.Generator().manual_seed(0)))
    with checkpoint.replacing(folder / "preview.png") as temporary:
        sheet.contact_sheet(samples, 8, sheet.scale_for(model.shape)).save(temporary, "png")
    checkpoint.write_text(folder / "README.md", card(folder.name, config, model, summary, test, shift))
    checkpoint.save(folder, model, config, history)


@torch.no_grad()
def round_to_half(model: LatentModel) -> None:
    """Round every weight to what float16 can hold, in place; single numbers stay as they are."""
    for value in model.state_dict().values():
        if value.ndim:
            value.copy_(value.half())


def cost_of_half(model: LatentModel, images: data.Images) -> float:
    """How far the mean sum of terms (the negative ELBO, in nats, where there is one) moves in float16."""
    exact = {name: value.clone() for name, value in model.state_dict().items()}
    before = evaluate(model, images)["loss"].mean()
    round_to_half(model)
    after = evaluate(model, images)["loss"].mean()
    model.load_state_dict(exact)
    return float((after - before).abs())


@contextmanager
def stop_on_interrupt() -> Iterator[list[bool]]:
    """The list is filled by the first Ctrl-C, and the loop ends at its next whole state; the second one is not held."""
    stopped: list[bool] = []

    def stop(signal_number: int, frame: Any) -> None:
        stopped.append(True)
        signal.signal(signal.SIGINT, previous)
        print("\nstopping after this step; saving …", file=sys.stderr)

    previous = signal.signal(signal.SIGINT, stop)
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGINT, previous)


def progress_of(what: str) -> Any:
    """A `Track` with a bar on stderr, quiet when that is no terminal."""

    def track(loop: Iterable[Tensor]) -> Iterable[Tensor]:
        return tqdm(loop, desc=what, unit=" batches", leave=False, disable=None)

    return track
