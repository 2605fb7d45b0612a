"""What the Traversals page shows of one latent: its axes with their frames, in plain functions."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from explorer import geometry
from explorer.live import LIMIT, Axis
from explorer.run import Run


class View:
    """One latent of one checkpoint. `latent` holds plain numbers, part name -> values."""

    def __init__(self, run: Run, latent: dict[str, list[float]]) -> None:
        self.run = run
        self.latent = latent
        self.active: list[tuple[str, int]] = []
        self.inactive: list[tuple[str, int]] = []
        for part in run.model.space:
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
        return "1 = " + "; ".join(dict.fromkeys(part.unit for part in self.run.model.space.values()))

    def axes(self, names: dict[str, str], first: str = "") -> list[Axis]:
        """Every dimension, most important first, with frames for as many as one message may hold.

        `first` is decoded before the others, and it is the one inactive dimension that gets frames.
        """
        wanted = [(part, dim) for part, dim in self.inactive if f"{part}/{dim}" == first]
        dims = self.active + wanted
        dims = sorted(dims, key=lambda d: f"{d[0]}/{d[1]}" != first)  # stable: the rest keep their order
        count, fitting = geometry.stops_within(LIMIT, len(dims), self.picture.nbytes)
        frames = self._frames(dims[:fitting], geometry.stops(count))
        return [
            self._axis(part, dim, geometry.stops(count), frames.get((part, dim)), names, folded)
            for folded, group in ((False, self.active), (True, self.inactive))
            for part, dim in group
        ]

    def _frames(self, dims: list[tuple[str, int]], positions: np.ndarray) -> dict[tuple[str, int], np.ndarray]:
        z = self.run.tensors(self.latent)
        return {(part, dim): self.run.decode(geometry.traverse(z, part, [dim], positions)) for part, dim in dims}

    def _axis(
        self,
        part: str,
        dim: int,
        positions: np.ndarray,
        frames: np.ndarray | None,
        names: dict[str, str],
        folded: bool,
    ) -> Axis:
        importance, unit = self.run.summary.importance(part)
        low, high = self.run.summary.band(part)[:, dim]
        return Axis(
            id=f"{part}/{dim}",
            label=f"{part}{dim}",
            stops=positions,
            value=self.latent[part][dim],
            frames=frames,
            note=f"{importance[dim]:.2f} {unit}",
            name=names.get(f"{part}/{dim}", ""),
            band=(float(low), float(high)),
            folded=folded,
        )

    def as_json(self) -> dict[str, Any]:
        """The latent with what it belongs to."""
        checkpoint = self.run.checkpoint
        return {"checkpoint": checkpoint.name, "weights": checkpoint.digest, "latent": self.latent}

    def as_python(self) -> str:
        """Lines that reproduce the picture with `trainer.load`."""
        parts = ",\n".join(f'    "{part}": torch.tensor([{values}])' for part, values in self.latent.items())
        return (
            "import torch\nimport trainer\n\n"
            f'model = trainer.load("checkpoints/{self.run.checkpoint.name}")\n'
            f"z = {{\n{parts},\n}}\n"
            "with torch.no_grad():\n    image = model.decode(z)  # (1, c, h, w) in [0, 1]\n"
            'trainer.contact_sheet(image, columns=1, scale=8).save("decoded.png")\n'
        )
