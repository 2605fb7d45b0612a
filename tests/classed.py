"""Small checkpoints of digits with classes, trained for a moment."""

from __future__ import annotations

from pathlib import Path

from coded import run_of
from commandline import call

from explorer.opened import Run

DIGITS = ("--data", "digits", "--size", 300, "--device", "cpu")
SMALL = (*DIGITS, "--latents", 4, "--hidden", 32, "--batch", 32)


def save_conditional(folder: Path, prior: str = "dependent", steps: int = 300) -> Run:
    """A class and four real numbers."""
    assert call("train", "cvae", *SMALL, "--prior", prior, "--steps", steps, "--out", folder) == 0
    return run_of(folder)


def save_mixture(folder: Path, components: int = 12) -> Run:
    """A component and nothing else."""
    assert call("train", "mixture", *DIGITS, "--components", components, "--out", folder) == 0
    return run_of(folder)


def save_semi_supervised(folder: Path, labels: int) -> Run:
    """As `save_conditional`, told the class of few images."""
    few = ("--classifier", 16, "--warm-up", 10, "--labels", labels, "--steps", 20)
    assert call("train", "semi_supervised", *SMALL, *few, "--out", folder) == 0
    return run_of(folder)


def save_stacked(folder: Path, labels: int = 40) -> Run:
    """Real numbers without a class, and on top of them what tells classes from few labels."""
    assert call("train", "vae", *SMALL, "--steps", 20, "--out", folder) == 0
    few = ("--hidden", 8, "--classifier", 16, "--warm-up", 10, "--labels", labels, "--steps", 20, "--device", "cpu")
    assert call("stage", "semi_supervised", folder, *few) == 0
    return run_of(folder)
