"""One training from data to checkpoint folder, and measuring what came of it: what the command line runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from trainer import checkpoint, data, interrupt, sheet
from trainer.card import card, headline
from trainer.checkpoint import Config
from trainer.latent import LatentModel
from trainer.measuring import summarise
from trainer.state import load_state, save_state
from trainer.step import State
from trainer.summary import Summary, save_summary
from trainer.train import TrainOptions, evaluate, start, train

SAVE_EVERY = 30  # seconds
HALF_COSTS_AT_MOST = 0.05  # nats of ELBO


def fit(folder: Path, config: Config, device: torch.device, resume: bool = False) -> bool:
    """Train as configured and write the checkpoint folder. False: stopped by a signal; what was there is saved.

    A fresh run never writes over anything: ValueError. A resumed one goes on from state.safetensors. Raises
    KeyboardInterrupt that says what is left by a signal that comes twice, or not during the steps.
    """
    try:
        return _fit(folder, config, device, resume)
    except KeyboardInterrupt:
        if (folder / "state.safetensors").is_file():
            left = f'"{folder}" is as it was last saved. To go on: python -m trainer resume {folder}'
        else:
            left = f'"{folder}" is whole' if (folder / "config.json").is_file() else "nothing was written"
        raise KeyboardInterrupt(f"interrupted; {left}") from None


def _fit(folder: Path, config: Config, device: torch.device, resume: bool) -> bool:
    if not resume:
        checkpoint.check_folder(folder)
    options = TrainOptions.read(config.training)
    images = data.load(config.data.name, "train", config.data.size)
    torch.manual_seed(options.seed)
    model = checkpoint.build(config).to(device)
    state = start(model, options)
    history: list[dict[str, Any]] = []
    if resume:
        load_state(folder, model, state)
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
    """Take the steps, with a progress bar and a save every 30 s; False when a signal stopped them."""
    seconds_before = (history[-1]["seconds"] if history else 0.0) + state.seconds
    begun = saved = time.perf_counter()
    with (
        interrupt.noted() as stopped,
        tqdm(total=options.steps, initial=state.step, unit=" steps", disable=None) as bar,
    ):

        def save_is_due() -> bool:
            return bool(stopped) or time.perf_counter() - saved > SAVE_EVERY

        for step, measures in train(model, images, options, state, pause=save_is_due):
            if measures:
                seconds = round(seconds_before + time.perf_counter() - begun, 2)
                history.append({"step": step, "seconds": seconds, **measures})
                bar.set_postfix_str(f"{measures['images_per_second']:,.0f} images/s, loss {measures['loss']:.1f}")
            bar.update(step - bar.n)
            if stopped:
                print(f"\nstopping after step {step:,}; saving …", file=sys.stderr)
            if save_is_due() or step == options.steps:
                with interrupt.held():
                    save_state(folder, model, state)
                    checkpoint.save_history(folder, history)
                    checkpoint.save_config(folder, config)
                saved = time.perf_counter()
            if stopped:
                break
    return state.step >= options.steps


def _finish(folder: Path, model: LatentModel, images: data.Images, config: Config, history: list[Any]) -> None:
    """Everything that a checkpoint folder holds besides its state."""
    model.eval()
    model.end(images)
    test = data.load(config.data.name, "test", config.data.size)
    if config.half:
        shift = cost_of_half(model, test)
        weights = "float16" if shift < HALF_COSTS_AT_MOST else "float32"
        config = config.model_copy(update={"weights": weights, "half_shift": shift})
        if weights == "float16":
            round_to_half(model)
    report = Report.of(folder.name, model, images, test, config)
    with interrupt.held():
        report.write(folder)
        checkpoint.save(folder, model, report.config, history)


def measure(folder: Path, device: torch.device) -> None:
    """Measure a checkpoint anew from its weights, which stay as they are, and so does its history."""
    config = checkpoint.describe(folder).config
    model = checkpoint.load(folder, str(device))
    images, test = (data.load(config.data.name, split, config.data.size) for split in ("train", "test"))
    report = Report.of(folder.name, model, images, test, config)
    with interrupt.held():
        report.write(folder)
        checkpoint.save_config(folder, report.config)


@dataclass(frozen=True)
class Report:
    """What is measured of a model, and the config that says so."""

    config: Config
    summary: Summary
    card: str
    preview: Image.Image

    @classmethod
    def of(cls, name: str, model: LatentModel, images: data.Images, test: data.Images, config: Config) -> Report:
        """Measure the weights as they stand."""
        summary = summarise(model, images, test)
        config = config.model_copy(update={"measured": headline(model, summary)})
        with torch.no_grad():
            samples = model.decode(model.sample(32, generator=torch.Generator().manual_seed(0)))
        preview = sheet.contact_sheet(samples, 8, sheet.scale_for(model.shape))
        return cls(config, summary, card(name, config, model, summary, test), preview)

    def write(self, folder: Path) -> None:
        """summary.npz, preview.png and the card; the config is for the caller to write last."""
        save_summary(folder, self.summary)
        with checkpoint.replacing(folder / "preview.png") as temporary:
            self.preview.save(temporary, "png")
        checkpoint.write_text(folder / "README.md", self.card)


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


def progress_of(what: str) -> Any:
    """A `Track` with a bar on stderr, quiet when that is no terminal."""

    def track(loop: Iterable[Tensor]) -> Iterable[Tensor]:
        return tqdm(loop, desc=what, unit=" batches", leave=False, disable=None)

    return track
