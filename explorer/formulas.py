"""What a model's objective is made of, in numbers for one image. The formulas are the model's own. No screen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import trainer
from explorer.opened import Run, seeded

if TYPE_CHECKING:
    from torch import Tensor

    from trainer import Latent, Piece

DRAWS, AT_ONCE = 1024, 256  # that a number is the mean of; of one batch
TOGETHER = 64  # images of a batch, where an image's terms depend on the others'
TURNS = 16  # batches of the same images, each with noise of its own


@dataclass(frozen=True)
class Row:
    """One piece of an objective."""

    name: str  # of its terms
    latex: str
    about: str
    unit: str
    symbols: Mapping[str, float]
    value: float  # for the image, weight included
    mean: float  # over the batch; the same where the image is a batch of its own


@dataclass(frozen=True)
class Written:
    """An objective in numbers."""

    rows: tuple[Row, ...]
    loss: float  # as the model computes it, over the batch
    batch: int  # images in it; 1 where the image is alone
    dims: Mapping[str, np.ndarray]  # term -> (d,) for the image, before any weight, where it has one for each dimension
    added: tuple[Row, ...] = ()  # what training adds for the image, no part of the sum
    error: float = 0.0  # the standard error of `value`; 0 where nothing is drawn

    @property
    def value(self) -> float:
        """The sum of the pieces for the image."""
        return sum(row.value for row in self.rows)

    @property
    def mean(self) -> float:
        """The sum of the pieces over the batch, which is the loss."""
        return sum(row.mean for row in self.rows)

    @property
    def unit(self) -> str:
        """Of the sum; of several units each is named."""
        return " + ".join(dict.fromkeys(row.unit for row in self.rows))


def write(
    run: Run, image: np.ndarray, label: int | None = None, track: Callable[[Iterable[Any]], Iterable[Any]] = iter
) -> Written:
    """The objective for one image (h, w, c) in [0, 1], of the model's shape; `label` is the class that a model with
    classes is told, −1 where it is told none.

    Where an image's terms depend on the batch that it is in, it is the first of a batch of test images.
    """
    import torch

    x = torch.from_numpy(np.ascontiguousarray(image, np.float32)).permute(2, 0, 1)[None]
    with seeded():
        if run.model.of_batch:
            x = torch.cat([x, _others(run, x)])
            turns = [x] * TURNS
        else:
            turns = [x.expand(AT_ONCE, -1, -1, -1)] * (DRAWS // AT_ONCE)
        given = {} if label is None else {"y": torch.full((len(turns[0]),), label)}

        def turn(batch: Tensor) -> tuple[Sequence[Piece], float, Mapping[str, Tensor]]:
            terms = run.model.terms(batch, given)
            return run.model.objective(terms), float(run.model.loss(terms)), terms

        found = [turn(turns[0])]
        if run.model.of_batch or np.ptp(_sums(run, found[0][0])):  # else nothing is drawn
            found += [turn(batch) for batch in track(turns[1:])]
        added = run.model.added(turns[0], given)
    rows = tuple(_row(run, same) for same in zip(*(pieces for pieces, *_ in found), strict=True))
    dims = {
        name: np.mean([_own(run, terms[name]).numpy() for *_, terms in found], axis=0)
        for name, values in found[0][2].items()
        if values.ndim == 2
    }
    batch = len(x) if run.model.of_batch else 1
    more = tuple(_row(run, [piece]) for piece in added)
    sums = np.concatenate([_sums(run, pieces) for pieces, *_ in found])
    error = float(sums.std(ddof=1) / len(sums) ** 0.5)
    return Written(rows, float(np.mean([loss for _, loss, _ in found])), batch, dims, more, error)


def _sums(run: Run, pieces: Sequence[Piece]) -> np.ndarray:
    """The sum of the pieces for the image, once for every draw of a batch."""
    import torch

    drawn = [piece.value[:1] if run.model.of_batch and piece.value.ndim else piece.value for piece in pieces]
    return torch.atleast_1d(sum(drawn, torch.zeros(()))).double().numpy()


def _row(run: Run, same: Sequence[Piece]) -> Row:
    """A piece, as it was found in every turn."""
    return Row(
        ", ".join(same[0].terms).replace("_", " "),
        same[0].latex,
        same[0].about,
        same[0].unit,
        {symbol: float(value) for symbol, value in same[0].symbols.items()},
        float(np.mean([float(_own(run, piece.value)) for piece in same])),
        float(np.mean([float(piece.value.mean()) for piece in same])),
    )


def _own(run: Run, values: Tensor) -> Tensor:
    """Of the image alone: the first of a batch, or the mean over what is all of it; () stays."""
    if values.ndim == 0:
        return values
    return values[0] if run.model.of_batch else values.mean(0)


def _others(run: Run, x: Tensor) -> Tensor:
    """Images to be in a batch with one (1, c, h, w), without that one itself."""
    import torch

    count = min(TOGETHER, run.numbers)
    if run.images_are_here:
        others = run.images.batch(torch.arange(count))
    else:
        pictures = np.stack([run.picture(number) for number in range(count)])
        others = torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255
    return others[(others != x).flatten(1).any(1)][: TOGETHER - 1]


def likeliest(run: Run, image: np.ndarray) -> int:
    """The class that a model with classes finds most probable for an image."""
    import torch

    x = torch.from_numpy(np.ascontiguousarray(image, np.float32)).permute(2, 0, 1)[None]
    with seeded():
        z: Latent = run.model.encode(x)
    return int(z[next(iter(run.labels))].argmax())


def by_dimension(written: Written) -> list[tuple[str, list[str], np.ndarray]]:
    """Each term that has a number for each dimension: its name, the dimensions' names, and the numbers, largest
    first.
    """
    found = []
    for name, values in written.dims.items():
        order = (-values).argsort(kind="stable")
        part = name.partition("/")[2] or name
        found.append((name, [trainer.dimension_name(part, int(dim)) for dim in order], values[order]))
    return found


def table(written: Written) -> str:
    """Markdown: the pieces, their sum and the loss; where an image is one of a batch, with the means over that."""
    rows = [[row.name, number(row.value, row.unit), number(row.mean, row.unit)] for row in written.rows]
    error = f"± {digits(written.error, written.unit)} " if written.error > 1e-6 * abs(written.value) else ""
    rows.append(["**sum**", f"{digits(written.value, written.unit)} {error}{written.unit}",
                 number(written.mean, written.unit)])  # fmt: skip
    rows.append(["**loss**", number(written.loss, written.unit) if written.batch == 1 else "",
                 number(written.loss, written.unit)])  # fmt: skip
    lines = [["", "this picture", f"mean over the {written.batch}"], ["---", "---:", "---:"], *rows]
    return "\n".join(f"| {' | '.join(line[: 2 if written.batch == 1 else 3])} |" for line in lines)


def number(value: float, unit: str) -> str:
    """With its unit."""
    return f"{digits(value, unit)} {unit}"


def digits(value: float, unit: str) -> str:
    """Nats with one decimal, others with two, what is small with four; 0 has no sign."""
    places = 4 if 1e-4 <= abs(value) < 0.05 else 1 if unit == "nats" else 2
    return f"{round(value, places) + 0:,.{places}f}".replace("-", "−")
