"""Fashion-MNIST (Xiao, Rasul and Vollgraf 2017): 70,000 grey 28×28 images of garments, in the official splits."""

from __future__ import annotations

from trainer.data import Images, Split
from trainer.data._archive import Archive

NAMES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
ARCHIVE = Archive(
    "fashion_mnist",
    "Fashion-MNIST",
    openml="Fashion-MNIST",
    shape=(1, 28, 28),
    class_names=NAMES,
    counts={"train": 60_000, "test": 10_000},
)


def load(split: Split, size: int | None = None) -> Images:
    """60,000 images to train on, 10,000 to test on; (n, 1, 28, 28), ten classes."""
    return ARCHIVE.load(split, size)
