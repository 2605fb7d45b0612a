"""Classes that only some images are told: which of them keep theirs, and batches that each hold some of those."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

SHARE = 0.1  # of a batch that is told its class, where fewer images of the set are


def keep(labels: Tensor, count: int, class_names: Sequence[str], seed: int, name: str) -> Tensor:
    """The labels (n,) of `count` images, drawn by `seed`, and −1 for the others; (n,) int64.

    Of two classes one keeps one more at most. Raises ValueError for fewer than there are classes, or more than there
    are of each, which names the data set by `name`.
    """
    labels = labels.long()
    k = len(class_names) or int(labels.max()) + 1
    generator = torch.Generator().manual_seed(seed)
    if count < k:
        raise ValueError(f'labels came as {count}, fewer than the {k} classes of "{name}": each keeps one at least')
    known = int((labels >= 0).sum())
    if count > known:
        raise ValueError(f'labels came as {count:,}, but "{name}" has {known:,} in what is trained on')
    told = torch.full_like(labels, -1)
    ranks = torch.randperm(k, generator=generator).tolist()  # the first ones keep one more
    for label, rank in enumerate(ranks):
        wanted = count // k + (rank < count % k)
        there = torch.nonzero(labels == label)[:, 0]
        if wanted > len(there):
            raise ValueError(
                f"labels came as {count:,}, which is {wanted:,} of each of the {k} classes of "
                f'"{name}", but "{class_names[label] if class_names else label}" has {len(there):,}'
            )
        kept = there[torch.randperm(len(there), generator=generator)[:wanted]]
        told[kept] = label
    return told


def is_partial(told: Tensor) -> bool:
    """Whether some images are told their class, and others are not."""
    return bool((told < 0).any() and (told >= 0).any())


def order(told: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Positions (n // size · size,) of one epoch's batches of `size`, each with as many told images.

    These are a tenth of the batch, or their share in the set where it is larger; all are drawn as often as each other,
    and so are the rest. The told ones stand evenly apart, so that equal slices of a batch have as many each. Raises
    ValueError for a batch of one image.
    """
    if size < 2:
        raise ValueError("a batch of 1 image cannot hold some that are told their class and some that are not")
    steps, known = len(told) // size, told >= 0
    mine = min(math.ceil(size * max(SHARE, float(known.double().mean()))), size - 1)
    is_told = torch.zeros(size, dtype=torch.bool)
    is_told[torch.arange(mine) * size // mine] = True
    found = torch.empty(steps, size, dtype=torch.long)
    for here, rows in ((is_told, torch.nonzero(known)[:, 0]), (~is_told, torch.nonzero(~known)[:, 0])):
        wanted = steps * int(here.sum())
        rounds = [rows[torch.randperm(len(rows), generator=generator)] for _ in range(math.ceil(wanted / len(rows)))]
        found[:, here] = torch.cat(rounds)[:wanted].view(steps, -1)
    return found.flatten()
