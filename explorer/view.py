"""What the Traversals page shows of one latent of real numbers and classes: its axes with their frames, in plain
functions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import trainer
from explorer import budget, geometry
from explorer.live import LIMIT, Axis
from explorer.opened import Run

if TYPE_CHECKING:
    from trainer import Latent

Dim = tuple[str, int]  # a part of the latent, and one dimension of it, or CLASS
CLASS = -1  # all of a part that is a class
BESIDE = 0.25  # of the way to the next class
SHARES = np.linspace(0, 1, 21).round(2)  # of the other of two classes
Kept = dict[tuple[Any, ...], np.ndarray]  # pictures of a dimension, by it and by where all others stand


class View:
    """One latent of one checkpoint. `latent` holds plain numbers, part name -> values. The axis of a part that is a
    class runs over all of them, or leads from one to another where `blends` names two.

    `moved` is the one part that has axes, or "" for all of them. `kept` outlives a view: what it holds is not decoded
    again, and it is left with what this view used.
    """

    def __init__(
        self,
        run: Run,
        latent: dict[str, list[float]],
        kept: Kept | None = None,
        blends: Mapping[str, tuple[int, int]] | None = None,
        moved: str = "",
    ) -> None:
        self.run = run
        self.latent = latent
        self._blends = blends or {}
        self._kept: Kept = {} if kept is None else kept
        self._used: Kept = {}
        self.active: list[Dim] = [(part, CLASS) for part in run.labels if moved in (part, "")]
        self.inactive: list[Dim] = []
        for part in run.gaussian if not moved else [moved]:
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
        return "; ".join(dict.fromkeys(f"1 = {part.unit}" for part in self.run.gaussian.values()))

    def stops(self, dim: Dim) -> np.ndarray:
        """(k,) where an axis can stand. They depend on the size of the picture only, so a slider never changes."""
        part, d = dim
        if d == CLASS:
            return SHARES if part in self._blends else np.arange(self.run.labels[part].size)
        return geometry.stops(budget.stops_within(LIMIT // 2, self.picture.nbytes))

    def id(self, dim: Dim) -> str:
        """The axis's name in events."""
        part, d = dim
        if d != CLASS:
            return f"{part}/{d}"
        return "/".join(map(str, (part, *self._blends.get(part, ()))))

    def label(self, dim: Dim) -> str:
        """What the axis is called."""
        part, d = dim
        if d != CLASS:
            return trainer.dimension_name(part, d)
        names = self.run.class_names(part)
        return " → ".join(names[each] for each in self._blends.get(part, ())) or part

    def axes(self, names: dict[str, str], wanted: str = "") -> list[Axis]:
        """Every dimension, most important first, with as many pictures as one message may hold.

        All frames, if they fit. Otherwise frames for the axis `wanted`, at first the most important one, and for every
        row of the traversals the pictures of that row, made as small as they must be. An inactive dimension has no
        row, and it has frames only if it is wanted.
        """
        every = {self.id(dim): dim for dim in self.active + self.inactive}
        first = every.get(wanted, next(iter(every.values())))
        moving = list(dict.fromkeys([first, *self.active]))
        room = LIMIT - 2 * self.picture.nbytes  # the picture, and a data image beside it
        taken = sum(map(self._bytes, moving))
        strips: dict[Dim, np.ndarray] = {}
        if taken > room:
            moving = [first] if self._bytes(first) <= room else []
            count = len(self.active) * geometry.COLUMNS
            divisor = trainer.divisor(self.picture.shape, count, room - sum(map(self._bytes, moving)))
            if divisor:
                strips = {dim: trainer.reduced(self.row(dim), divisor) for dim in self.active}
        frames = {dim: self.frames(dim) for dim in moving}
        self._kept.clear()
        self._kept.update(self._used)
        return [self._axis(dim, frames.get(dim), strips.get(dim), names) for dim in every.values()]

    def _bytes(self, dim: Dim) -> int:
        """Of an axis's frames."""
        return len(self.stops(dim)) * self.picture.nbytes

    def frames(self, dim: Dim) -> np.ndarray:
        """(k, h, w, c) uint8: the decodes while one dimension runs through all stops."""
        return self._decoded(dim, self.stops(dim))

    def row(self, dim: Dim) -> np.ndarray:
        """(11, h, w, c) uint8: the same at the stops that its row of the traversals shows."""
        stops = self.stops(dim)
        return self._decoded(dim, stops[geometry.columns(len(stops))])

    def _decoded(self, dim: Dim, positions: np.ndarray) -> np.ndarray:
        moved = {dim} if dim[1] != CLASS else {(dim[0], d) for d in range(len(self.latent[dim[0]]))}
        others = [v for part, values in self.latent.items() for d, v in enumerate(values) if (part, d) not in moved]
        key = (self.run.checkpoint.digest, self.id(dim), len(positions), *others)
        if key not in self._used:
            known = self._kept.get(key)
            self._used[key] = self.run.decode(self._moved(dim, positions)) if known is None else known
        return self._used[key]

    def _moved(self, dim: Dim, positions: np.ndarray) -> Latent:
        """The latents (k, …) where one axis runs through positions (k,)."""
        part, d = dim
        z = self.run.tensors(self.latent)
        if d != CLASS:
            return geometry.traverse(z, part, [d], positions)
        if part in self._blends:
            return geometry.blend(z, part, *self._blends[part], positions)
        return geometry.through_classes(z, part, positions)

    def _class_axis(self, dim: Dim, frames: np.ndarray | None, strip: np.ndarray | None) -> Axis:
        part, stops = dim[0], self.stops(dim)
        names, given = self.run.class_names(part), self.latent[part]
        best = int(np.argmax(given))
        if part in self._blends:
            value, names = given[self._blends[part][1]], []
        else:  # probabilities of several classes stand beside the stop of the first of them
            value = best if max(given) == 1 else best + BESIDE
        return Axis(
            id=self.id(dim),
            label=self.label(dim),
            stops=stops,
            value=value,
            frames=frames,
            columns=geometry.columns(len(stops)),
            strip=strip,
            home=0.0 if part in self._blends else best,
            nameable=False,
            names=names,
        )

    def _axis(self, dim: Dim, frames: np.ndarray | None, strip: np.ndarray | None, names: dict[str, str]) -> Axis:
        part, d = dim
        if d == CLASS:
            return self._class_axis(dim, frames, strip)
        importance, unit = self.run.summary.importance(part)
        low, high = self.run.summary.band(part)[:, d]
        folded = dim in self.inactive
        return Axis(
            id=self.id(dim),
            label=self.label(dim),
            stops=self.stops(dim),
            value=self.latent[part][d],
            frames=frames,
            columns=[] if folded else geometry.columns(len(self.stops(dim))),
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
        parts = ",\n".join(f'    "{part}": {self._as_tensor(part)}' for part in self.latent)
        return (
            "import torch\nimport trainer\n\n"
            f"model = trainer.load({place})\n"
            f"z = {{\n{parts},\n}}\n"
            "with torch.no_grad():\n    image = model.decode(z)  # (1, c, h, w) in [0, 1]\n"
            'trainer.contact_sheet(image, columns=1, scale=8).save("decoded.png")\n'
        )

    def _as_tensor(self, part: str) -> str:
        values = self.latent[part]
        if part not in self.run.labels:
            return f"torch.tensor([{values}])"
        if max(values) == 1:
            return f"torch.eye({len(values)})[[{int(np.argmax(values))}]]"
        return f"torch.tensor([{values}]) / {sum(values):.6g}"  # rounded, they may have another sum than 1
