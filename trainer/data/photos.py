"""Colour patches: every 32×32 window, four pixels apart, of the two sample photographs that scikit-learn brings."""

from __future__ import annotations

import numpy as np
import torch

from trainer.data import Images, Split, chosen

SIDE = 32
EDGE = 512  # px from the left: no training patch reaches beyond it and no test patch before it
STRIDE = {"train": 4, "test": 8}  # px between patches


def load(split: Split, size: int | None = None) -> Images:
    """23,958 patches to train on, left in the photographs, and 1,300 to test on, right; (n, 3, 32, 32).

    No patch of one split shares a pixel with one of the other. The class is the photograph.
    """
    from sklearn.datasets import load_sample_images

    photographs = load_sample_images()
    columns = slice(0, EDGE) if split == "train" else slice(EDGE, None)
    step = STRIDE[split]
    patches = [
        np.lib.stride_tricks.sliding_window_view(image[:, columns], (SIDE, SIDE), (0, 1))[::step, ::step].reshape(
            -1, 3, SIDE, SIDE
        )
        for image in photographs.images
    ]
    labels = torch.tensor([label for label, some in enumerate(patches) for _ in some])
    rows = chosen(torch.arange(len(labels)), split, size, "photos")
    names = [name.removesuffix(".jpg").rsplit("/", 1)[-1] for name in photographs.filenames]
    return Images("photos", torch.from_numpy(np.concatenate(patches))[rows], labels[rows], names)
