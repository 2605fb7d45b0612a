"""The points of a map: what a checkpoint makes of many images, with all that they can be coloured and chosen by.

Where the images are not on this machine, the summary's points stand in, and the decodes for the images. No screen.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

import trainer
from explorer import waves
from explorer.opened import Run, seeded

if TYPE_CHECKING:
    from torch import Tensor

    from trainer import Images, Latent

Split = Literal["train", "test"]
COUNTS = (2_000, 5_000, 10_000, 30_000, 70_000)  # that are offered; the last is the most
BATCH = 256  # images encoded at once
SMALLEST = 8  # px; a thumbnail with fewer shows nothing
NAMES = {"reconstruction": "error", "kl": "KL"}
TITLES = {"reconstruction": "Reconstruction error", "kl": "KL"}


@dataclass(frozen=True)
class Column:
    """One thing that is known of every point."""

    title: str
    values: np.ndarray  # (n,) positions in `levels`, or float32
    levels: tuple[str, ...] = ()  # the names of a category; an amount has none
    unit: str = ""

    @property
    def label(self) -> str:
        return f"{self.title} ({self.unit})" if self.unit else self.title


@dataclass(frozen=True)
class Cloud:
    """Points (n, d), and what they are points of."""

    run: Run
    split: Split
    points: np.ndarray  # (n, d) float32
    ids: np.ndarray  # (n,) positions in the split
    columns: dict[str, Column]  # by the name that a query uses
    images: Images | None  # of that split; None where decodes stand in

    def __len__(self) -> int:
        return len(self.points)

    @property
    def dims(self) -> list[str]:
        """The names of the points' dimensions, which are columns too."""
        return self.run.dims

    @property
    def can_decode(self) -> bool:
        """Whether any place of the latent space leads to an image."""
        return self.run.is_continuous

    def batch(self, rows: np.ndarray) -> Tensor:
        """Images (r, c, h, w) in [0, 1]. Raises ValueError where they are not on this machine."""
        import torch

        if self.images is None:
            raise ValueError(self.run.fetching)
        return self.images.batch(torch.from_numpy(self.ids[rows]))

    def pictures(self, rows: np.ndarray) -> np.ndarray | None:
        """The images themselves, (r, h, w, c) uint8, or None where they are not here."""
        return None if self.images is None else self._shown(trainer.to_bytes(self.batch(rows)))

    def decodes(self, rows: np.ndarray) -> np.ndarray | None:
        """What the model makes of their latents, (r, h, w, c) uint8; None for codes whose images are not here."""
        import torch

        if self.can_decode:
            return self.decoded(self.points[rows])
        if self.images is None:
            return None
        with torch.inference_mode():
            return self._shown(self.run.decode(self.run.model.encode(self.batch(rows))))

    def decoded(self, points: np.ndarray) -> np.ndarray:
        """(q, d) -> (q, h, w, c) uint8."""
        return self._shown(self.run.decode(self.latents(points)))

    def latents(self, points: np.ndarray) -> Latent:
        """(q, d) -> the latents that they are. Raises NotImplementedError for codes."""
        import torch

        return self.run.model.from_points(torch.from_numpy(np.ascontiguousarray(points, np.float32)))

    def thumbnails(self, limit: int) -> np.ndarray | None:
        """A picture of every point in at most `limit` bytes altogether, smaller where need be; None where they would
        show nothing.
        """
        c, h, w = self.run.model.shape
        shape = self._shown(np.zeros((1, h, w, c), np.uint8)).shape[1:]
        by = trainer.divisor(shape, max(1, len(self)), limit)
        if not len(self) or by is None or min(shape[:2]) // by < SMALLEST:
            return None
        parts = []
        for rows in np.split(np.arange(len(self)), range(BATCH, len(self), BATCH)):
            found = self.pictures(rows) if self.images is not None else self.decodes(rows)
            if found is None:
                return None
            parts.append(trainer.reduced(found, by))
        return np.concatenate(parts)

    def _shown(self, images: np.ndarray) -> np.ndarray:
        return np.stack([waves.drawn(image) for image in images]) if self.run.is_line and len(images) else images


def counts(images: int) -> list[int]:
    """How many of that many images can be asked for."""
    return sorted({min(count, images) for count in COUNTS})


def from_summary(run: Run) -> Cloud:
    """The points that a checkpoint ships with."""
    arrays = run.summary.arrays
    points = arrays["points"].astype(np.float32)
    labels = arrays.get("labels")
    columns = _classes(labels, run.checkpoint.config.data.class_names) | _dimensions(run, points)
    return Cloud(run, "train", points, arrays["ids"].astype(np.int64), columns, None)


def from_images(run: Run, images: Images, split: Split, count: int, tell: Callable[[int], None]) -> Cloud:
    """The first `count` images of a split, encoded and measured; `tell` hears how many are done.

    Where these are the images of the summary's points, its points are used: a layout of them ships with a checkpoint.
    """
    import torch

    rows = torch.arange(min(count, len(images)))
    points, terms = [np.zeros((0, run.summary.arrays["points"].shape[1]), np.float32)], defaultdict(list)
    for number, some in enumerate(rows.split(BATCH) if len(rows) else ()):
        with seeded(number):
            x = images.batch(some)
            points.append(run.model.points(run.model.encode(x)).numpy())
            for name, values in trainer.total(run.model.terms(x, images.given(some, run.model))).items():
                terms[name].append(values.numpy())
        tell(int(some[-1]) + 1)
    found, shipped = np.concatenate(points), run.summary.arrays["points"]
    if split == "train" and np.array_equal(run.summary.arrays["ids"], rows.numpy()):
        found = shipped.astype(np.float32)
    labels = None if images.labels is None else images.labels[rows].numpy()
    columns = _classes(labels, images.class_names)
    levels = images.factors(rows)
    if levels is not None:
        columns |= _factors(images.factor_names, levels.numpy(), labels)
    columns |= _terms(run, {name: np.concatenate(parts) for name, parts in terms.items()})
    return Cloud(run, split, found, rows.numpy(), columns | _dimensions(run, found), images)


def _classes(labels: np.ndarray | None, names: list[str] | tuple[str, ...]) -> dict[str, Column]:
    if labels is None:
        return {}
    known = tuple(names) or tuple(str(label) for label in range(int(labels.max(initial=-1)) + 1))
    values = labels.astype(np.int64)
    if (values < 0).any():  # an unknown label
        values, known = np.where(values < 0, len(known), values), (*known, "unknown")
    return {"class": Column("Class", values, known)}


def _factors(names: tuple[str, ...], levels: np.ndarray, labels: np.ndarray | None) -> dict[str, Column]:
    """Known causes, which have an order; the one that is the class stands there already."""
    return {
        name: Column(name.capitalize(), values.astype(np.float32), unit="level")
        for name, values in zip(names, levels.T, strict=True)
        if labels is None or not np.array_equal(values, labels)
    }


def _terms(run: Run, terms: dict[str, np.ndarray]) -> dict[str, Column]:
    """What the objective is made of, and the ELBO where all of it is nats."""
    units = {name: run.model.units.get(name, "nats") for name in terms if name != "loss"}
    columns = {
        NAMES.get(name, name): Column(TITLES.get(name, name.capitalize()), terms[name], unit=unit)
        for name, unit in units.items()
    }
    if "kl" in units:
        columns["ELBO"] = Column("ELBO", -terms["loss"], unit="nats")
    elif len(units) > 1 and len(set(units.values())) == 1:
        columns["loss"] = Column("Loss", terms["loss"], unit=next(iter(units.values())))
    return columns


def _dimensions(run: Run, points: np.ndarray) -> dict[str, Column]:
    """Each dimension, and, where some of them are the probabilities of classes, the most probable class."""
    found = {}
    for part, kind in run.labels.items() if run.is_continuous else ():
        start = run.dims.index(trainer.dimension_name(part, 0))
        best = points[:, start : start + kind.size].argmax(1)
        found[f"inferred_{part}"] = Column(f"Inferred {part}", best, tuple(run.class_names(part)))
    return found | {name: Column(name, points[:, at]) for at, name in enumerate(run.dims)}
