"""What single dimensions of a latent hold: their KL, where the data's codes lie, what they know of factors. No screen.

Letters in shapes: n images, d dimensions of a part, f factors, k bins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

import trainer
from explorer import geometry, pictures, waves
from explorer.opened import Run, Track, seeded
from trainer import ACTIVE

if TYPE_CHECKING:
    from trainer import FactorTable, KLParts, Rotation

IMAGES = 2000  # test images at most that are encoded for the histograms, the KL and its parts
WITH_FACTORS = 10_000  # test images at most behind the mutual information: of fewer, it is biased upwards
SAID = 3  # turns that are described, the most helpful first
TURNED = 12  # dimensions at most among which a rotation is sought
BINS, STOPS = 48, 7  # of a histogram; pictures of a traversal
LEAST_REACH = 3.5  # of a histogram, in units of the prior


@dataclass(frozen=True)
class Encoded:
    """The posterior means of one part, and what was measured of them."""

    part: str
    means: np.ndarray  # (n, d)
    kl: np.ndarray | None  # (d,) nats, the mean over images; None where the model has no posterior
    variance: np.ndarray  # (d,) of the means
    importance: np.ndarray  # (d,) what dimensions are sorted by
    unit: str  # of the importance
    whole: KLParts | None  # the KL of the whole latent, taken apart; None where it is not one diagonal Gaussian
    source: str  # which images
    measure: str  # what one unit of a dimension is

    @property
    def count(self) -> int:
        """How many images it is of."""
        return len(self.means)

    @property
    def order(self) -> list[int]:
        """All dimensions, the most informative first."""
        return [int(dim) for dim in (-self.importance).argsort(kind="stable")]

    @property
    def reach(self) -> float:
        """The histograms run from minus this to this."""
        return max(LEAST_REACH, float(np.abs(self.means).max()))

    @property
    def edges(self) -> np.ndarray:
        """(k + 1,) the same for all dimensions, so that they can be compared."""
        return np.linspace(-self.reach, self.reach, BINS + 1)

    def density(self, dim: int) -> np.ndarray:
        """(k,) the share of images in each bin of a dimension, over its width."""
        return np.histogram(self.means[:, dim], self.edges, density=True)[0]

    @property
    def active(self) -> int:
        """How many dimensions vary at all over the images."""
        return int((self.variance > ACTIVE).sum())

    def activity(self, dim: int) -> str:
        """How much the posterior means of a dimension vary."""
        return f"{self.variance[dim]:.2f}" + ("" if self.variance[dim] > ACTIVE else ", inactive")


def from_images(run: Run, part: str, track: Track = iter) -> Encoded:
    """Of the first test images."""
    import torch

    count = min(IMAGES, len(run.images))
    means, kl, gaussian = [], [], []
    with seeded():
        for rows in track(torch.arange(count).split(200)):
            x = run.images.batch(rows)
            means.append(run.model.encode(x)[part])
            kl.append(run.model.terms(x, run.images.given(rows, run.model)).get(f"kl/{part}"))
            gaussian.append(run.model.diagonal(x) if isinstance(run.model, trainer.Density) else None)
        whole = None
        if count > 1 and all(gaussian):
            mean, log_var = (torch.cat(some) for some in zip(*(pair for pair in gaussian if pair), strict=True))
            whole = trainer.kl_parts(mean, log_var)
        known = [values for values in kl if values is not None and values.ndim == 2]
        nats = torch.cat(known).mean(0).numpy() if known else None
        found = torch.cat(means).numpy()
    about = f"{count:,} test {run.kind}s of {run.data_title}"
    return _encoded(run, part, found, nats, found.var(0), whole, about)


def from_summary(run: Run, part: str) -> Encoded:
    """Of the training images whose latents the checkpoint came with."""
    import torch

    points = torch.from_numpy(run.summary.arrays["points"].astype(np.float32))
    with torch.inference_mode():
        means = run.model.from_points(points)[part].numpy()
    arrays = run.summary.arrays
    about = f"{len(points):,} training {run.kind}s of {run.data_title}, as the checkpoint came"
    return _encoded(run, part, means, arrays.get(f"kl/{part}"), arrays[f"variance/{part}"], None, about)


def _encoded(
    run: Run, part: str, means: np.ndarray, kl: np.ndarray | None, variance: np.ndarray, whole: KLParts | None,
    source: str,
) -> Encoded:  # fmt: skip
    importance, unit = (kl, "nats") if kl is not None else run.summary.importance(part)
    return Encoded(part, means, kl, variance, importance, unit, whole, source, run.gaussian[part].unit)


def prior_density(run: Run, part: str, x: np.ndarray) -> np.ndarray:
    """(k, d) of each dimension at x (k,): N(0, 1), or the mean of those of the classes where each has its own."""
    import torch

    mean, var = np.zeros((1, run.gaussian[part].dims)), np.ones((1, 1))
    if isinstance(run.model, trainer.Conditional):
        with torch.inference_mode():
            classes = torch.eye(next(iter(run.labels.values())).size)
            mean, var = (values.double().numpy() for values in run.model.class_prior(classes))
            var = np.exp(var)
    squares = (x[:, None, None] - mean) ** 2 / var  # (k, classes, d)
    return np.asarray((np.exp(-squares / 2) / np.sqrt(2 * np.pi * var)).mean(1))


def strips(run: Run, part: str, dims: list[int]) -> list[np.ndarray]:
    """What each dimension does, from −3 to 3 with all else at the prior's mean: one (h, w, c) uint8 strip for each."""
    z = geometry.traverse(run.class_mean({}), part, dims, geometry.stops(STOPS))
    frames = [waves.drawn(frame) for frame in run.decode(z)]
    return [pictures.strip(frames[start : start + STOPS]) for start in range(0, len(frames), STOPS)]


# ---- dimensions and factors


@dataclass(frozen=True)
class Known:
    """What dimensions know of the causes of the images."""

    table: FactorTable
    dims: list[str]  # the names of all dimensions
    information: np.ndarray  # (d, f) nats
    active: list[int]  # the dimensions that a rotation may turn
    rotation: Rotation | None  # of them; None where there are fewer than two
    note: str  # what must stand beside scores against these factors

    @property
    def rows(self) -> list[int]:
        """The dimensions of a figure: the active ones, or all where there is none; of many, the most informative."""
        best_first = (-self.information.sum(1)).argsort(kind="stable")
        return sorted(self.active or [int(dim) for dim in best_first[:TURNED]])

    @property
    def most(self) -> float:
        """Nats, where the scale of a figure ends: what is known of the factor that is known best, turned or not."""
        return float(max(self.information.max(), self.turned.max() if self.rotation else 0.0, 0.1))

    @property
    def turned(self) -> np.ndarray:
        """(active, f) nats that the active dimensions know after all turns."""
        assert self.rotation is not None
        codes = self.table.codes[:, self.active] @ self.rotation.matrix
        return trainer.factor_information(trainer.FactorTable(codes, self.table.factors, self.table.names))


def known(run: Run, encode_track: Track = iter, turn_track: Track = iter) -> Known:
    """Of test images whose factors are known. Raises ValueError where there are too few, or they have none."""
    import torch

    with torch.inference_mode():
        table = trainer.encode_with_factors(run.model, run.images, WITH_FACTORS, track=encode_track)
    information = trainer.factor_information(table)
    is_active = run.is_real & (table.codes.var(0) > ACTIVE)
    best_first = [int(dim) for dim in (-information.sum(1)).argsort(kind="stable") if is_active[dim]]
    active = sorted(best_first[:TURNED])
    rotation = trainer.rotation_of(table.codes[:, active], table.factors, turn_track) if len(active) > 1 else None
    return Known(table, run.dims, information, active, rotation, run.images.factor_note)


def turns_said(found: Known) -> list[str]:
    """A sentence for every turn that gains something, or one that says why there is none."""
    if found.rotation is None:
        return [f"{'One dimension is' if found.active else 'No dimension is'} active, so there is nothing to turn."]
    names, turns = [found.dims[dim] for dim in found.active], found.rotation.turns
    said = []
    for turn in turns[:SAID]:
        best_first = (-turn.more).argsort(kind="stable")
        gains = [f"{turn.more[f]:.2f} nats more of {found.table.names[f]}" for f in best_first if turn.more[f] >= 0.05]
        knows = f"the best dimension would know {' and '.join(gains[:2])}" if gains else "no dimension would know more"
        said.append(f"{names[turn.one]} and {names[turn.other]} turned by {turn.degrees:.0f}°: {knows}, and the lead "
                    f"over the next best would grow by {turn.gain:.2f} nats.".replace("by -", "by −"))  # fmt: skip
    if len(turns) > 1:
        said.append(f"The {len(turns)} turns together: {found.rotation.gain:.2f} nats of lead.")
    least = f"{found.rotation.least:.2f} nats"
    return said or [f"No turn of two active dimensions is worth {least}: what they know of factors lies along them."]
