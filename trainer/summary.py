"""summary.npz: what the explorer must know of the data without having the images.

Measured on at most 10,000 images of the training split, but for the quantiles of the terms, which are the test
split's. Arrays, by name: "kl/PART" (d,) mean nats per dimension where the model has a posterior; "effect/PART" (d,)
mean squared change of the decoded image, summed over pixels, when a dimension goes from −1 to 1 at the mean;
"variance/PART" (d,) of the posterior means; "percentiles/PART" (5, d) of them; "quantiles/TERM" (101,), and likewise of
"psnr" (dB) and "ssim" of the decode of each image's code; "mean/TERM" and its standard error "stderr/TERM"; "points"
(n, d), "labels" (n,), "ids" (n,) for the map; "class_means" (k, d); "look/…" what the images have in common
(trainer.look.Look).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trainer.files import replacing

if TYPE_CHECKING:
    from trainer.latent import Gaussian

ACTIVE = 0.01  # variance of a posterior mean over the data above which a dimension is active (Burda et al. 2016)


@dataclass(frozen=True)
class Summary:
    """The arrays of summary.npz."""

    arrays: dict[str, np.ndarray]
    folder: Path = Path("FOLDER")  # of the checkpoint, for the command that measures again

    def check(self, space: Mapping[str, Gaussian]) -> None:
        """Raise ValueError that says what to do unless every array is there that a model with this space needs."""
        expected: dict[str, tuple[int, ...]] = {}
        for part, kind in space.items():
            expected |= {f"{what}/{part}": (kind.dims,) for what in ("variance", "effect")}
            expected[f"percentiles/{part}"] = (5, kind.dims)
            if f"kl/{part}" in self.arrays:
                expected[f"kl/{part}"] = (kind.dims,)
        points = self.arrays.get("points", np.empty(0))
        expected["points"] = (max(1, len(points)) if points.ndim else 1, sum(kind.dims for kind in space.values()))
        for name, shape in expected.items():
            found = self.arrays.get(name)
            if found is None or found.shape != shape or found.dtype.kind != "f":
                what = "is missing" if found is None else f"came as {found.dtype} {found.shape}, expected {shape}"
                raise ValueError(
                    f'the summary of "{self.folder}" does not fit its model: {name} {what}. {_again(self.folder)}'
                )

    def importance(self, part: str) -> tuple[np.ndarray, str]:
        """What dimensions are sorted by, (d,), and its unit: KL in nats, or else the effect on pixels."""
        if f"kl/{part}" in self.arrays:
            return self.arrays[f"kl/{part}"], "nats"
        return self.arrays[f"effect/{part}"], "sq. change"

    def active(self, part: str) -> np.ndarray:
        """(d,) whether the posterior mean of a dimension varies over the data at all."""
        return self.arrays[f"variance/{part}"] > ACTIVE

    def band(self, part: str) -> np.ndarray:
        """(2, d) 5th and 95th percentile of the posterior means."""
        return self.arrays[f"percentiles/{part}"][[0, -1]]


def load_summary(folder: Path) -> Summary:
    """Read summary.npz; nothing in it is unpickled. Raises FileNotFoundError, or ValueError if it is damaged."""
    path = folder / "summary.npz"
    if not path.is_file():
        raise FileNotFoundError(f'the checkpoint "{folder}" has no summary yet (summary.npz)')
    try:
        with np.load(path, allow_pickle=False) as file:
            return Summary({name: np.asarray(file[name]) for name in file.files}, folder)
    except Exception as error:  # a damaged archive fails in many ways, and each is the same to a person
        raise ValueError(f'the summary "{path}" cannot be read ({error}). {_again(folder)}') from error


def _again(folder: Path) -> str:
    return f"Measure again: python -m trainer measure {folder}"


def save_summary(folder: Path, summary: Summary) -> None:
    with replacing(folder / "summary.npz") as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **summary.arrays)
