"""scikit-learn's digits: 1,797 grey 8×8 images of handwritten digits, embedded in the library."""

from __future__ import annotations

import torch

from trainer.data import Images, Split, part_of


def load(split: Split, size: int | None = None) -> Images:
    """1,618 images to train on, 179 to test on; (n, 1, 8, 8), ten classes."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    chosen = part_of(len(digits.images), split, size, "digits")
    pixels = torch.from_numpy(digits.images * (255 / 16)).round().to(torch.uint8)  # stored as 0 … 16
    labels = torch.from_numpy(digits.target).long()
    return Images("digits", pixels[chosen][:, None], labels[chosen], [str(digit) for digit in range(10)])
