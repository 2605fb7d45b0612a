"""What is measured of a second stage and written beside its weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trainer.card import error_headline, error_lines, laid_out, terms_table
from trainer.config import Config
from trainer.data import Images
from trainer.files import write_text
from trainer.latent import LatentModel
from trainer.measuring import MEASURED, confusions, halved, term_arrays
from trainer.stage import Stage
from trainer.summary import Summary, save_summary
from trainer.trainable import Figures


@dataclass(frozen=True)
class StageReport:
    """The config that says what was measured; the test terms, "figures/NAME", and "confusion/PART" of a stage that
    tells classes, as a summary; and the card.
    """

    config: Config
    summary: Summary
    card: str

    @classmethod
    def of(cls, name: str, stage: Stage, images: Images, test: Images, config: Config) -> StageReport:
        """Measure the weights as they stand; `name` is CHECKPOINT/STAGE, the images what it trains on."""
        figures = stage.figures(images, test)
        arrays = term_arrays(stage, test) | {f"figures/{what}": np.array(value) for what, (value, _) in figures.items()}
        if isinstance(stage, LatentModel):
            arrays |= confusions(stage, test)
        first = {what: shown(value, unit) for what, (value, unit) in list(figures.items())[:1]}
        summary = Summary(halved(arrays))
        config = config.model_copy(update={"measured": first or error_headline(summary)})
        return cls(config, summary, card(name, config, stage, summary, figures, test))

    def write(self, folder: Path) -> None:
        """summary.npz and the card; the config is for the caller to write last."""
        save_summary(folder, self.summary)
        write_text(folder / "README.md", self.card)


def shown(value: float, unit: str) -> str:
    """A figure with its unit, in sensible digits; one without a unit is a count."""
    digits = {"": 0, "%": 2}.get(unit, 1)
    return f"{value:,.{digits}f} {unit}".rstrip()


def card(name: str, config: Config, stage: Stage, summary: Summary, figures: Figures, test: Images) -> str:
    """README.md of a stage's folder."""
    base = name.rpartition("/")[0]
    about = (
        f"A `{config.model}` on top of `{base}`, on `{config.data.title}`: {config.parameters:,} parameters, "
        f"{config.steps_done:,} steps. It goes with the weights {config.base} of `{base}` only."
    )
    found = [
        *(f"* {what}: {shown(value, unit)}" for what, (value, unit) in figures.items()),
        *(f"* {what}: {value}" for what, value in stage.facts().items()),
        *error_lines(config, summary),
    ]
    measured_on = f"{min(len(test), MEASURED):,} {config.data.kind}s of the test split"
    return laid_out(name, config, about, measured_on, terms_table(stage, summary), found)
