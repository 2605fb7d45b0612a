"""MNIST (LeCun, Cortes and Burges 1998): 70,000 grey 28×28 images of handwritten digits, in the official splits."""

from __future__ import annotations

from trainer.data import Images, Split
from trainer.data._archive import Archive

ARCHIVE = Archive(
    "mnist",
    "MNIST",
    openml="mnist_784",
    shape=(1, 28, 28),
    class_names=tuple("0123456789"),
    counts={"train": 60_000, "test": 10_000},
)


def load(split: Split, size: int | None = None) -> Images:
    """60,000 images to train on, 10,000 to test on; (n, 1, 28, 28), ten classes."""
    return ARCHIVE.load(split, size)
