"""Answers to who looks at a map: what is under the pointer, what a view decodes to, where a new picture belongs.

No screen: what a map shows, `Shown`, goes in, and packets for `explorer.map` come out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

import trainer
from explorer import map as canvas
from explorer import projection, selection
from explorer.cloud import Cloud
from explorer.map import GRID_LIMIT, Asked, Chosen
from explorer.nearness import Plane

if TYPE_CHECKING:
    from explorer.projection import Umap

CELLS = 576  # decodes of one view
NEIGHBOURS = 10  # that place a new point until UMAP can


@dataclass(frozen=True)
class Projected:
    """Where the points of a cloud lie."""

    places: np.ndarray  # (n, 2)
    title: str
    key: str  # tells this projection of a cloud from others
    axes: tuple[int, int] | None = None  # the dimensions that the places are, where they are two of them
    linear: bool = False  # whether a new point's place is a linear function of it
    umap: Umap | None = None  # how UMAP laid them out, where it did


@dataclass(frozen=True)
class Shown:
    """A cloud under one projection, on the map component `key`."""

    cloud: Cloud
    points: str  # names the cloud
    projected: Projected
    key: str

    @property
    def revision(self) -> str:
        return f"{self.points}/{self.projected.key}"

    @cached_property
    def plane(self) -> Plane:
        return Plane(self.cloud.points, self.projected.places, self.projected.axes)

    def selected(self, chosen: Chosen) -> np.ndarray | None:
        """(n,) bool: the points that a person chose on the map; None where none are. Hidden classes stay out."""
        if chosen.kind == "none":
            return None
        if chosen.kind == "point":
            return np.arange(len(self.cloud)) == chosen.point
        found = selection.inside(np.array(chosen.polygon).reshape(-1, 2), self.projected.places)
        known = self.cloud.columns.get(chosen.levels)
        if known and known.levels:
            found &= ~np.isin(known.values, chosen.hidden)
        return found if found.any() else None

    def peek(self, asked: Asked) -> bytes:
        """The point's image and decode, and the decode of the place, for the map."""
        rows = np.array([asked.point]) if asked.point >= 0 else np.zeros(0, int)
        image = decode = here = None
        distance, off = 0.0, False
        if len(rows):
            pictures, decodes = self.cloud.pictures(rows), self.cloud.decodes(rows)
            decode = None if decodes is None else decodes[0]
            image = decode if pictures is None else pictures[0]
        if asked.place and self.cloud.can_decode and len(self.cloud):
            pictures, far, outside = self._decoded(np.array([asked.place]))
            here, distance, off = pictures[0], float(far[0]), bool(outside[0])
        return canvas.pack_peek(asked, key=self.key, image=image, decode=decode, here=here, distance=distance, off=off)

    def grid(self, asked: Asked) -> bytes | None:
        """Decodes all over the view, small enough for a message; None where no place can be decoded."""
        left, bottom, right, top = asked.view
        if not (self.cloud.can_decode and len(self.cloud) and right > left and top > bottom):
            return None
        columns = min(64, max(9, round(math.sqrt(CELLS * (right - left) / (top - bottom)))))
        rows = CELLS // columns
        x = left + (np.arange(columns) + 0.5) / columns * (right - left)
        y = top - (np.arange(rows) + 0.5) / rows * (top - bottom)
        places = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)  # row by row from the top
        pictures, distances, off = self._decoded(places)
        by = trainer.divisor(pictures.shape[1:], len(pictures), GRID_LIMIT) or max(pictures.shape[1:3])
        return canvas.pack_grid(asked, key=self.key, rows=rows, pictures=trainer.reduced(pictures, by),
                                distances=distances, off=off)  # fmt: skip

    def _decoded(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Decodes of places (q, 2), the distances of their latents to the nearest one, and whether they are off."""
        latents, on_plane = self.plane.latents(places)
        distances = projection.neighbours(self.cloud.points, 1, latents)[1][:, 0]
        return self.cloud.decoded(latents), distances, self.plane.is_off(on_plane)

    def placed(self, points: np.ndarray) -> np.ndarray:
        """(q, 2) where points (q, d) belong without UMAP: exactly where the projection is linear, else by their
        neighbours' places.
        """
        if self.projected.axes:
            return points[:, self.projected.axes].astype(np.float32)
        own = self.cloud.points.astype(np.float64)
        if self.projected.linear:
            centre = own.mean(0)
            axes = np.linalg.lstsq(own - centre, self.projected.places.astype(np.float64), rcond=None)[0]  # (d, 2)
            return ((points - centre) @ axes).astype(np.float32)
        near, distances = projection.neighbours(self.cloud.points, NEIGHBOURS, points)
        return projection.among(self.projected.places, near, distances)
