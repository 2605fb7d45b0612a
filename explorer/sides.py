"""Two checkpoints on the same images, by the same seed. No screen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

import trainer
from explorer.comparing import Cell, quantity
from explorer.opened import Run, seeded

if TYPE_CHECKING:
    from torch import Tensor

    from trainer import Checkpoint, Images

SHOWN = 8  # test images, and samples
DRAWS = 64  # of z, that an image's ELBO is the mean of


@dataclass(frozen=True)
class Side:
    """What one checkpoint makes of n images."""

    name: str
    measured: str  # what its ELBO is a bound on, and the likelihood; "" where it has none
    samples: np.ndarray  # (n, h, w, c) uint8
    prior: str  # what they are drawn from
    reconstructions: np.ndarray | None = None  # (n, h, w, c) uint8; of no images, none
    elbo: np.ndarray | None = None  # (n,) nats
    error: np.ndarray | None = None  # (n,) squared error of the reconstruction, summed over pixels


def comparable(found: Iterable[Checkpoint]) -> list[Checkpoint]:
    """The checkpoints of pictures of whose size there is another."""
    pictures = [each for each in found if each.config.shape[1] > 1]
    shapes = [each.config.shape for each in pictures]
    return [each for each in pictures if shapes.count(each.config.shape) > 1]


def drawn(images: Images, seed: int) -> np.ndarray:
    """(n,) which test images a seed shows."""
    return np.sort(np.random.default_rng(seed).permutation(len(images))[:SHOWN])


def side(run: Run, x: Tensor | None, seed: int) -> Side:
    """Samples, and of images (n, c, h, w), if there are any, what comes back of them and what each is worth."""
    samples = run.decode(run.sample(seed, SHOWN))
    model = run.model
    if x is None:
        return Side(run.checkpoint.name, "", samples, run.prior_title)
    with seeded(seed):
        z = model.encode(x)
        back = model.decode(z)
        error = (back - x).square().flatten(1).sum(1).numpy()
        told = {part: z[part].argmax(1) for part in run.labels if model.labelled}
        draws = [trainer.total(model.terms(*_repeated(x, told, row))) for row in range(len(x))]
    known = "kl" in draws[0]
    return Side(
        run.checkpoint.name,
        quantity(model.bounded, model.family) if known else "",
        samples,
        run.prior_title,
        trainer.to_bytes(back),
        np.array([-float(terms["loss"].mean()) for terms in draws]) if known else None,
        error,
    )


def _repeated(x: Tensor, told: dict[str, Tensor], row: int) -> tuple[Tensor, dict[str, Tensor]]:
    """One image as often as there are draws, with its most probable class where the model is told one."""
    return x[row : row + 1].expand(DRAWS, -1, -1, -1), {
        part: y[row : row + 1].expand(DRAWS) for part, y in told.items()
    }


def columns(numbers: np.ndarray, both: Sequence[Side]) -> dict[str, list[Cell]]:
    """A line per image: its number, and what it is worth to each side."""
    table: dict[str, list[Cell]] = {"test image": numbers.tolist()}
    for each in both:
        if each.elbo is not None:
            table[f"ELBO, {each.name}"] = each.elbo.tolist()
    for each in both:
        if each.error is not None:
            table[f"error, {each.name}"] = each.error.tolist()
    return table


def caution(both: Sequence[Side]) -> str:
    """Whether the ELBOs of the two compare, in words."""
    one, other = both
    if one.measured and other.measured and one.measured != other.measured:
        return (f"These ELBOs do not compare: that of {one.name} bounds {one.measured}, that of {other.name} bounds "
                f"{other.measured}.")  # fmt: skip
    without = [each.name for each in both if not each.measured]
    if without:
        return f"{' and '.join(without)} {'have' if len(without) > 1 else 'has'} no ELBO; errors compare."
    return f"Both ELBOs bound {one.measured}."
