"""Small checkpoints with codes, trained for a moment: 4 × 4 codes of digits, and a line of codes of waveforms."""

from __future__ import annotations

import shutil
from pathlib import Path

from commandline import REPOSITORY, call

import trainer
from explorer.opened import Run

SMALL = ("--stages", 1, "--blocks", 0, "--channels", 8, "--dims", 4, "--steps", 30, "--batch", 32, "--device", "cpu")


def save_coded(folder: Path, codes: int = 24) -> Run:
    """8 × 8 digits; a cell of 2 × 2 pixels changes 4 × 4 of them."""
    made = call("train", "vq_vae", "--data", "digits", "--size", 300, "--codes", codes, "--out", folder, *SMALL)
    assert made == 0
    return run_of(folder)


def save_waves(folder: Path) -> Run:
    """Vowels of 4,096 samples, 64 of them to a code."""
    some = ("--data", "vowels", "--size", 60, "--codes", 8, "--out", folder)
    assert call("train", "vq_vae_1d", *some, *SMALL, "--stages", 6, "--steps", 3) == 0
    return run_of(folder)


def save_folder(place: Path) -> Path:
    """A folder with a checkpoint of codes, one of waveforms, and one of real numbers."""
    save_coded(place / "coded")
    save_waves(place / "waves")
    shutil.copytree(REPOSITORY / "checkpoints/vae-digits", place / "vae-digits")
    return place


def run_of(folder: Path) -> Run:
    return Run(trainer.describe(folder), trainer.load(folder), trainer.load_summary(folder))
