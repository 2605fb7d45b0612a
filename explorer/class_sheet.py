"""Rows of classes and columns of styles, decoded where sliders stand: what the page Classes shows. No screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

import trainer
from explorer import geometry, pictures
from explorer.classes import parts, prior
from explorer.live import LIMIT, Axis
from explorer.opened import Run, Track

if TYPE_CHECKING:
    from trainer import Latent

BY_CLASS, ANY, BOTH = "p(z | y)", "p(z)", "both, side by side"
PRIORS = (BY_CLASS, ANY, BOTH)
STYLES, FEWEST = 10, 2  # columns of a sheet
STOPS = 21  # of each axis
TEMPERATURE, BLEND = "temperature", "blend"
Values = dict[str, float]  # axis -> where it stands


@dataclass(frozen=True)
class Sheet:
    """Rows are classes, columns are styles: one z each for all rows, or for p(z|y) one noise each.

    `rows` are the classes that are shown; `towards` is the class that the blend of each of them leads to.
    """

    run: Run
    rows: Sequence[int]
    prior: str = ANY  # one of PRIORS
    seed: int = 0
    towards: int = 0

    @property
    def styles(self) -> int:
        """Columns of each half: as many as leave the frames of an axis whole, if there are any."""
        c, h, w = self.run.model.shape
        room = LIMIT // ((STOPS + 1) * c * h * w * len(self.rows))  # pictures in a row of the frames and of the sheet
        return max(FEWEST, min(STYLES, room) // self.halves)

    @property
    def halves(self) -> int:
        return 2 if self.prior == BOTH else 1

    @property
    def columns(self) -> int:
        """Pictures in a row."""
        return self.halves * self.styles

    @property
    def titles(self) -> list[str]:
        """What stands over the halves."""
        return [f"z from {BY_CLASS}", f"z from {ANY}"] if self.prior == BOTH else []

    def latents(self, values: Values) -> Latent:
        """(halves · rows · styles) latents, row by row, where the axes stand."""
        import torch

        y_part, z_part = parts(self.run)
        classes = torch.eye(self.run.labels[y_part].size)
        generator = torch.Generator().manual_seed(self.seed)
        noise = torch.randn(self.styles, self.run.gaussian[z_part].dims, generator=generator)
        drawn = classes[torch.randint(len(classes), (self.styles,), generator=generator)]  # (n, k)
        y = torch.lerp(classes[list(self.rows)], classes[self.towards], values.get(BLEND, 0.0))  # (r, k)
        noise = values.get(TEMPERATURE, 1.0) * noise + torch.tensor(
            [values.get(f"{z_part}/{dim}", 0.0) for dim in range(noise.shape[1])]
        )  # (n, d)
        halves = []
        with torch.inference_mode():
            if self.prior in (BY_CLASS, BOTH):
                mean, std = prior(self.run, y)
                halves.append(mean[:, None] + std[:, None] * noise)  # (r, n, d)
            if self.prior in (ANY, BOTH):
                mean, std = prior(self.run, drawn)
                halves.append((mean + std * noise).expand(len(y), -1, -1))
        z = torch.cat(halves)
        return {y_part: y.repeat(len(halves), 1).repeat_interleave(self.styles, 0), z_part: z.flatten(0, 1)}

    def pictures(self, values: Values) -> np.ndarray:
        """(rows, columns, h, w, c) uint8."""
        found = self.run.decode(self.latents(values))
        return np.concatenate(found.reshape(self.halves, len(self.rows), self.styles, *found.shape[1:]), axis=1)

    def picture(self, values: Values) -> np.ndarray:
        """The whole sheet at full size, unless that is more than half a message."""
        return self._laid(self.pictures(values)[None], LIMIT // 2)[0]

    def latent(self, values: Values, cell: int) -> dict[str, list[float]]:
        """One cell's latent in plain numbers."""
        row, column = divmod(cell, self.columns)
        half, column = divmod(column, self.styles)
        return self.run.plain(self.latents(values), (half * len(self.rows) + row) * self.styles + column)

    def frames(self, axis: str, values: Values, track: Track = iter) -> np.ndarray:
        """(21, …) the sheets while one axis runs through its stops, smaller where they must be; `track` wraps them."""
        found = np.stack([self.pictures({**values, axis: float(stop)}) for stop in track(stops(axis))])
        return self._laid(found, LIMIT - min(LIMIT // 2, found[0].nbytes))

    def _laid(self, sheets: np.ndarray, limit: int) -> np.ndarray:
        """(s, rows, columns, h, w, c) -> (s, …) sheets in at most `limit` bytes."""
        images = sheets.reshape(-1, *sheets.shape[3:])
        by = trainer.divisor(images.shape[1:], len(images), limit) or max(images.shape[1:3])
        small = trainer.reduced(images, by).reshape(len(sheets), -1, *trainer.reduced(images[:1], by).shape[1:])
        return np.stack([pictures.laid(each, self.columns) for each in small])

    def axes(self, values: Values, frames: Mapping[str, np.ndarray]) -> list[Axis]:
        """The dimensions, most important first, between what scales z and what blends classes; those that the data
        hardly use are folded away.
        """
        y_part, z_part = parts(self.run)
        importance, unit = self.run.summary.importance(z_part)
        used, unused = geometry.by_importance(importance, self.run.summary.active(z_part))
        name = self.run.class_names(y_part)[self.towards]
        plain = Axis("", "", np.zeros(0), 0.0, None, nameable=False)
        found = [
            replace(plain, id=TEMPERATURE, label="Temperature", home=1.0),
            replace(plain, id=BLEND, label=f"Blend towards {name}"),
        ] + [
            replace(plain, id=f"{z_part}/{dim}", label=f"{z_part}{dim}", note=f"{importance[dim]:.2f} {unit}",
                    folded=dim in unused)
            for dim in used + unused
        ]  # fmt: skip
        return [
            replace(axis, stops=stops(axis.id), value=values.get(axis.id, axis.home), frames=frames.get(axis.id))
            for axis in found
        ]

    @property
    def first(self) -> str:
        """The axis that can be moved at once."""
        _, z_part = parts(self.run)
        return f"{z_part}/{int(self.run.summary.importance(z_part)[0].argmax())}"


def stops(axis: str) -> np.ndarray:
    """(21,) where an axis of the sheet can stand."""
    ends = {TEMPERATURE: (0.0, 2.0), BLEND: (0.0, 1.0)}.get(axis, (-geometry.REACH, geometry.REACH))
    return np.linspace(*ends, STOPS).round(4)
