"""What is measured of a trained model and written beside its weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from trainer import checkpoint, data, interrupt, sheet
from trainer.card import card, headline
from trainer.config import Config
from trainer.files import replacing, write_text
from trainer.latent import LatentModel
from trainer.measuring import summarise
from trainer.stage import Stage, assemble, base_folder
from trainer.stage_report import StageReport
from trainer.summary import Summary, save_summary
from trainer.train import evaluate
from trainer.trainable import Trainable


def measure(folder: Path, device: torch.device) -> None:
    """Measure a checkpoint anew from its weights, which stay as they are, and so does its history."""
    config = checkpoint.describe(folder).config
    images, test = config.data.load("train"), config.data.load("test")
    if config.base:
        model, images, test = assemble(folder, config, device, images, test)
        checkpoint.read_weights(folder, model)
    else:
        model = checkpoint.load(folder, str(device))  # whose samples come from its prior
    report = report_of(folder, model.eval(), images, test, config)
    with interrupt.held():
        report.write(folder)
        checkpoint.save_config(folder, report.config)


def report_of(
    folder: Path, model: Trainable, images: data.Images, test: data.Images, config: Config
) -> Report | StageReport:
    """What is measured of a model, or of a second stage."""
    name = checkpoint.name_of(folder)
    if isinstance(model, Stage):
        return StageReport.of(f"{base_folder(folder).name}/{name}", model, images, test, config)
    assert isinstance(model, LatentModel)
    return Report.of(name, model, images, test, config)


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
        with replacing(folder / "preview.png") as temporary:
            self.preview.save(temporary, "png")
        write_text(folder / "README.md", self.card)


@torch.no_grad()
def round_to_half(model: Trainable) -> None:
    """Round every weight to what float16 can hold, in place; single numbers stay as they are."""
    for value in model.state_dict().values():
        if value.ndim and value.is_floating_point():
            value.copy_(value.half())


def cost_of_half(model: Trainable, images: data.Images) -> float:
    """How far the mean sum of terms (the negative ELBO, in nats, where there is one) moves in float16."""
    exact = {name: value.clone() for name, value in model.state_dict().items()}
    before = evaluate(model, images)["loss"].mean()
    round_to_half(model)
    after = evaluate(model, images)["loss"].mean()
    model.load_state_dict(exact)
    return float((after - before).abs())
