"""The pictures that a training kept of itself -> sheets, and an axis of steps for the live canvas. No screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import trainer
from explorer.live import LIMIT, Axis

if TYPE_CHECKING:  # it would load torch
    from trainer import Film, LatentModel


def rows(model: LatentModel | None) -> str:
    """What a sheet shows, from the top; None stands for a model that is not known here."""
    return f"above test images, then their reconstructions, then {_draws(model)}"


def _draws(model: LatentModel | None) -> str:
    """What a model drew as it was trained, with no second stage on top of it."""
    if model is None:
        return "draws"
    if any(isinstance(part, trainer.Visible) for part in model.space.values()):
        return "completions of what is visible of them"
    return "draws from the prior" if isinstance(model, trainer.Density) else "decodes of random codes"


def sheet(film: Film, index: int) -> np.ndarray:
    """(3 h, n w, c) uint8: the images, their reconstructions at one of the steps, and the draws then."""
    rows = (film.originals, film.reconstructions[index], film.samples[index])
    return np.concatenate([np.concatenate(list(row), axis=1) for row in rows])


def axis(film: Film, value: float) -> Axis:
    """All steps that were kept, as sheets made as small as one message needs."""
    frames = np.stack([sheet(film, index) for index in range(len(film.steps))])
    by = trainer.divisor(frames.shape[1:], len(frames), LIMIT // 2) or max(frames.shape[1:3])
    last = float(film.steps[-1])
    return Axis("step", "Training step", np.array(film.steps, float), value, trainer.reduced(frames, by), home=last,
                nameable=False, names=[f"{step:,}" for step in film.steps])  # fmt: skip


def nearest(film: Film, step: float) -> int:
    """The index of the kept step that is nearest."""
    return int(np.abs(np.array(film.steps) - step).argmin())
