"""CIFAR-10 (Krizhevsky 2009): 60,000 colour 32×32 photographs of ten kinds of things, in the official splits."""

from __future__ import annotations

from trainer.data import Images, Split
from trainer.data._archive import Archive

ARCHIVE = Archive(
    "cifar10",
    "CIFAR-10",
    openml="CIFAR_10",
    shape=(3, 32, 32),
    class_names=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    counts={"train": 50_000, "test": 10_000},
)


def load(split: Split, size: int | None = None) -> Images:
    """50,000 images to train on, 10,000 to test on; (n, 3, 32, 32), ten classes."""
    return ARCHIVE.load(split, size)
