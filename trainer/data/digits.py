"""scikit-learn's digits: 1,797 grey 8×8 images of handwritten digits, embedded in the library."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from trainer.data import Images, Split, part_of


def load(split: Split, size: int | None = None) -> Images:
    """1,618 images to train on, 179 to test on; (n, 1, 8, 8), ten classes."""
    pixels, labels = _all()
    chosen = part_of(len(pixels), split, size, "digits")
    return Images("digits", pixels[chosen], labels[chosen], [str(digit) for digit in range(10)])


@cache
def _all() -> tuple[Tensor, Tensor]:
    """(n, 1, 8, 8) uint8 and (n,): read once from the text in which the library has them."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = torch.from_numpy(digits.images * (255 / 16)).round().to(torch.uint8)  # stored as 0 … 16
    return pixels[:, None], torch.from_numpy(digits.target).long()
