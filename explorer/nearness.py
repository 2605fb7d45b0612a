"""Around a place of a map: the latent that belongs there, whether data are near, and the neighbours of a point.

Places are where points (n, d) lie on the plane, (n, 2). No screen.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from explorer import projection
from explorer.cloud import BATCH, Cloud
from explorer.opened import seeded

if TYPE_CHECKING:
    from torch import Tensor

AROUND = 5  # neighbours on the plane that make the latent of a place
SPREADS = 1024  # draws of q that its spread is measured on


@dataclass(frozen=True)
class Plane:
    """Points with their places. `axes`: the dimensions that the places are, where they are two of the points' own."""

    points: np.ndarray
    places: np.ndarray
    axes: tuple[int, int] | None = None

    @cached_property
    def _tree(self) -> Any:
        from scipy.spatial import cKDTree

        return cKDTree(self.places)

    @cached_property
    def reach(self) -> float:
        """A distance on the plane within which 99 % of the points have another: further out is off the data."""
        if len(self.places) < 2:
            return 0.0
        return float(np.percentile(self._tree.query(self.places, 2)[0][:, 1], 99))

    def latents(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What points (q, d) belong at places (q, 2), and the distance on the plane of each to the nearest data, (q,).

        It is the mean of the nearest points on the plane by 1 / distance; where the places are two dimensions of the
        points, those two are exact.
        """
        k = min(AROUND, len(self.points))
        distances, near = self._tree.query(places, k)
        distances, near = distances.reshape(len(places), k), near.reshape(len(places), k)
        found = projection.among(self.points, near, distances)
        if self.axes:
            found[:, self.axes] = places
        return found, distances[:, 0]

    def is_off(self, distance: np.ndarray) -> np.ndarray:
        """Whether places at these distances to the nearest data are off the data."""
        return distance > self.reach + 1e-9


@dataclass(frozen=True)
class Near:
    """Neighbours of one point, nearest first: positions (k,) in the cloud, and distances (k,)."""

    rows: np.ndarray
    distances: np.ndarray


def in_latents(cloud: Cloud, point: np.ndarray, k: int, spread: np.ndarray | None = None, own: int = -1) -> Near:
    """The nearest latents to a point (d,), exactly: Euclidean, or in units of q's spread (d,) there; not row `own`."""
    scale = np.ones_like(point) if spread is None else np.maximum(spread, 1e-6)
    rows, distances = projection.neighbours(cloud.points / scale, k + 1, (point / scale)[None])
    return _without(rows[0], distances[0], own, k)


def in_pixels(cloud: Cloud, image: Tensor, k: int, own: int = -1) -> Near:
    """The nearest images to one (1, c, h, w), exactly, by Euclidean distance of pixels in [0, 1]; not row `own`.

    Raises ValueError where the images are not on this machine.
    """
    distances = [np.zeros(0, np.float32)]
    for rows in np.split(np.arange(len(cloud)), range(BATCH, len(cloud), BATCH)):
        distances.append((cloud.batch(rows) - image).flatten(1).norm(dim=1).numpy())
    every = np.concatenate(distances)
    order = np.argsort(every, kind="stable")[: k + 1]
    return _without(order, every[order], own, k)


def spread_of(cloud: Cloud, image: Tensor) -> np.ndarray | None:
    """(d,) the standard deviation of q(z|x) for one image (1, c, h, w), over draws where it has no closed form; None
    where a code is a point.
    """
    import trainer

    model = cloud.run.model
    if not isinstance(model, trainer.Density):
        return None
    with seeded():
        return model.points(model.spread(image, SPREADS))[0].numpy()


def _without(rows: np.ndarray, distances: np.ndarray, own: int, k: int) -> Near:
    others = rows != own
    return Near(rows[others][:k], distances[others][:k])
