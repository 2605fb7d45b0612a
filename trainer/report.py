"""What is measured of a trained model and written beside its weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from trainer import checkpoint, data, interrupt, sheet
from trainer.card import card, headline
from trainer.config import Config
from trainer.files import replacing, write_text
from trainer.latent import Label, LatentModel, condition
from trainer.measuring import summarise
from trainer.stage import Stage, assemble, base_folder
from trainer.stage_report import StageReport, shown
from trainer.summary import Summary, save_summary
from trainer.train import evaluate
from trainer.trainable import Trainable

ROWS, COLUMNS, MOST_CLASSES = 4, 8, 64  # of a preview


def measure(folder: Path, device: torch.device) -> None:
    """Measure a checkpoint anew from its weights, which stay as they are, and so does its history."""
    config = checkpoint.describe(folder).config
    images, test = config.data.load("train"), config.data.load("test")
    check_data(folder, config, images)
    if config.base:
        model, images, test = assemble(folder, config, device, images, test)
        checkpoint.read_weights(folder, model)
    else:
        model = checkpoint.load(folder, str(device))  # whose samples come from its prior
    report = report_of(folder, model.eval(), images, test, config)
    with interrupt.held():
        report.write(folder)
        checkpoint.save_config(folder, report.config)


def check_data(folder: Path, config: Config, images: data.Images) -> None:
    """Raise ValueError unless images, as they are now, have the shape and the classes that a training had."""
    both = {
        "images": (" × ".join(map(str, images.shape)), " × ".join(map(str, config.shape))),
        "classes": (", ".join(images.class_names), ", ".join(config.data.class_names)),
    }
    changes = [
        f"{what} are {now or 'none'}, and were {then or 'none'}" for what, (now, then) in both.items() if now != then
    ]
    if changes:
        raise ValueError(
            f'the data "{config.data.title}" have changed since "{folder}" was trained on them: {"; ".join(changes)}. '
            "Put them back as they were, or train anew in another folder"
        )


def report_of(
    folder: Path, model: Trainable, images: data.Images, test: data.Images, config: Config
) -> Report | StageReport:
    """What is measured of a model, or of a second stage."""
    name = checkpoint.name_of(folder)
    if isinstance(model, Stage):
        return StageReport.of(f"{base_folder(folder).name}/{name}", model, images, test, config)
    assert isinstance(model, LatentModel)
    return Report.of(name, model, images, test, config)


@torch.no_grad()
def preview_images(model: LatentModel) -> Tensor:
    """Draws from the prior, (n, c, h, w). Where a model tells classes, each has a row, and what else there is of a
    latent is the same down a column; where the classes are all there is, one image for each. Where a part is what is
    visible, that of an empty picture, hidden pixels grey, and completions of it below.
    """
    seeded = torch.Generator().manual_seed(0)
    given = condition(model, torch.zeros(COLUMNS, *model.shape, device=model.device))
    if given:
        again = {name: seen.repeat(ROWS - 1, 1, 1, 1) for name, seen in given.items()}
        completed = model.decode(model.sample((ROWS - 1) * COLUMNS, again, generator=seeded))
        return torch.cat([*(seen.nan_to_num(0.5) for seen in given.values()), completed])
    classes = {name: torch.eye(part.size) for name, part in model.space.items() if isinstance(part, Label)}
    if len(classes) != 1 or len(next(iter(classes.values()))) > MOST_CLASSES:
        return model.decode(model.sample(ROWS * COLUMNS, generator=seeded))
    ((name, each),) = classes.items()
    if len(model.space) == 1:
        return model.decode({name: each.to(model.device)})
    rows = [one.expand(COLUMNS, -1).to(model.device) for one in each]
    latents = [model.sample(COLUMNS, {name: row}, generator=torch.Generator().manual_seed(0)) for row in rows]
    return torch.cat([model.decode(z) for z in latents])


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
        figures = model.figures(images, test)
        summary = summarise(model, images, test)
        summary.arrays.update({f"figures/{what}": np.array(value, np.float32) for what, (value, _) in figures.items()})
        first = {what: shown(value, unit) for what, (value, unit) in list(figures.items())[:1]}
        config = config.model_copy(update={"measured": first or headline(model, summary)})
        preview = sheet.contact_sheet(preview_images(model), COLUMNS, sheet.scale_for(model.shape))
        return cls(config, summary, card(name, config, model, summary, figures, test), preview)

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
