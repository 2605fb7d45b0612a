"""What the Traversals page shows of one latent of real numbers: its axes with their frames, in plain functions."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

import trainer
from explorer import budget, geometry
from explorer.live import LIMIT, Axis
from explorer.opened import Run

Dim = tuple[str, int]  # a part of the latent, and one dimension of it
Kept = dict[tuple[Any, ...], np.ndarray]  # pictures of a dimension, by it and by where all others stand


class View:
    """One latent of one checkpoint. `latent` holds plain numbers, part name -> values.

    `kept` outlives a view: what it holds is not decoded again, and it is left with what this view used.
    """

    def __init__(self, run: Run, latent: dict[str, list[float]], kept: Kept | None = None) -> None:
        self.run = run
        self.latent = latent
        self._kept: Kept = {} if kept is None else kept
        self._used: Kept = {}
        self.active: list[Dim] = []
        self.inactive: list[Dim] = []
        for part in run.gaussian:
            importance, _ = run.summary.importance(part)
            used, unused = geometry.by_importance(importance, run.summary.active(part))
            self.active += [(part, dim) for dim in used]
            self.inactive += [(part, dim) for dim in unused]

    @cached_property
    def picture(self) -> np.ndarray:
        """(h, w, c) uint8: the decode of the latent itself."""
        return self.run.decode(self.run.tensors(self.latent))[0]

    @property
    def unit(self) -> str:
        """What one unit of a slider is."""
        return "1 = " + "; ".join(dict.fromkeys(part.unit for part in self.run.gaussian.values()))

    @property
    def stops(self) -> np.ndarray:
        """(k,) where an axis can stand. They depend on the size of the picture only, so a slider never changes."""
        return geometry.stops(budget.stops_within(LIMIT // 2, self.picture.nbytes))

    def axes(self, names: dict[str, str], wanted: str = "") -> list[Axis]:
        """Every dimension, most important first, with as many pictures as one message may hold.

        All frames, if they fit. Otherwise frames for the axis `wanted`, at first the most important one, and for every
        row of the traversals the pictures of that row, made as small as they must be. An inactive dimension has no
        row, and it has frames only if it is wanted.
        """
        every = {f"{part}/{dim}": (part, dim) for part, dim in self.active + self.inactive}
        first = every.get(wanted, next(iter(every.values())))
        moving = list(dict.fromkeys([first, *self.active]))
        room = LIMIT - 2 * self.picture.nbytes  # the picture, and a data image beside it
        each = len(self.stops) * self.picture.nbytes  # bytes of one axis's frames
        strips: dict[Dim, np.ndarray] = {}
        if len(moving) * each > room:
            moving = [first] if each <= room else []
            count = len(self.active) * geometry.COLUMNS
            divisor = trainer.divisor(self.picture.shape, count, room - len(moving) * each)
            if divisor:
                strips = {dim: trainer.reduced(self.row(dim), divisor) for dim in self.active}
        frames = {dim: self.frames(dim) for dim in moving}
        self._kept.clear()
        self._kept.update(self._used)
        return [self._axis(dim, frames.get(dim), strips.get(dim), names) for dim in every.values()]

    def frames(self, dim: Dim) -> np.ndarray:
        """(k, h, w, c) uint8: the decodes while one dimension runs through all stops."""
        return self._decoded(dim, self.stops)

    def row(self, dim: Dim) -> np.ndarray:
        """(11, h, w, c) uint8: the same at the stops that its row of the traversals shows."""
        return self._decoded(dim, self.stops[geometry.columns(len(self.stops))])

    def _decoded(self, dim: Dim, positions: np.ndarray) -> np.ndarray:
        others = [v for part, values in self.latent.items() for d, v in enumerate(values) if (part, d) != dim]
        key = (self.run.checkpoint.digest, dim, len(positions), *others)
        if key not in self._used:
            z = self.run.tensors(self.latent)
            known = self._kept.get(key)
            part, d = dim
            self._used[key] = self.run.decode(geometry.traverse(z, part, [d], positions)) if known is None else known
        return self._used[key]

    def _axis(self, dim: Dim, frames: np.ndarray | None, strip: np.ndarray | None, names: dict[str, str]) -> Axis:
        part, d = dim
        importance, unit = self.run.summary.importance(part)
        low, high = self.run.summary.band(part)[:, d]
        folded = dim in self.inactive
        return Axis(
            id=f"{part}/{d}",
            label=f"{part}{d}",
            stops=self.stops,
            value=self.latent[part][d],
            frames=frames,
            columns=[] if folded else geometry.columns(len(self.stops)),
            strip=strip,
            note=f"{importance[d]:.2f} {unit}",
            name=names.get(f"{part}/{d}", ""),
            band=(float(low), float(high)),
            folded=folded,
        )

    def as_json(self) -> dict[str, Any]:
        """The latent with what it belongs to."""
        checkpoint = self.run.checkpoint
        return {"checkpoint": checkpoint.name, "weights": checkpoint.digest, "latent": self.latent}

    def as_python(self) -> str:
        """Lines that reproduce the picture with `trainer.load`, from the working folder."""
        path = self.run.checkpoint.path.resolve()
        if path.is_relative_to(Path.cwd()):
            path = path.relative_to(Path.cwd())
        place = json.dumps(path.as_posix(), ensure_ascii=False)
        parts = ",\n".join(f'    "{part}": torch.tensor([{values}])' for part, values in self.latent.items())
        return (
            "import torch\nimport trainer\n\n"
            f"model = trainer.load({place})\n"
            f"z = {{\n{parts},\n}}\n"
            "with torch.no_grad():\n    image = model.decode(z)  # (1, c, h, w) in [0, 1]\n"
            'trainer.contact_sheet(image, columns=1, scale=8).save("decoded.png")\n'
        )
