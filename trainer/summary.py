"""summary.npz: what the explorer must know of the data without having the images.

Measured on at most 10,000 images of the training split, but for the quantiles of the terms, which are the test
split's. Arrays, by name: "kl/PART" (d,) mean nats per dimension where the model has a posterior; "effect/PART" (d,)
mean squared change of the decoded image, summed over pixels, when a dimension goes from −1 to 1 at the prior's mean, or
at each class's and the mean of these;
"variance/PART" (d,) of the posterior means; "percentiles/PART" (5, d) of them; "quantiles/TERM" (101,), and likewise of
"psnr" (dB) and "ssim" of the decode of each image's code; "mean/TERM" and its standard error "stderr/TERM"; "points"
(n, d), "labels" (n,), "ids" (n,) for the map; "class_means" (k, d); "look/…" what the images have in common
(trainer.look.Look). A part of codes has "codes/PART/counts" (h, w, K), how often each code stands at each place, and
"codes/PART/by_class" (k, K) where there are labels. A part of classes has "confusion/PART" (k, k) where the data set
has as many: rows the true class of a test image, columns the most probable one.
What a model or a stage measures of itself is "figures/NAME"; the summary of a stage has this, its terms, and the
confusion of its classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from trainer.files import replacing

if TYPE_CHECKING:
    from trainer.latent import Part

COUNTS = ("codes/", "confusion/")  # names of arrays of counts begin so
ACTIVE = 0.01  # variance of a posterior mean over the data above which a dimension is active (Burda et al. 2016)


def dimension_name(part: str, dim: int) -> str:
    """What a dimension is called: z4 of the part z, z2.4 of the part z2."""
    return f"{part}.{dim}" if part[-1:].isdigit() else f"{part}{dim}"


@dataclass(frozen=True)
class CodeCounts:
    """How often the codes of a part stand at each place, over the images that were measured."""

    counts: np.ndarray  # (h, w, K) uint32
    by_class: np.ndarray | None  # (k, K) uint32

    @property
    def usage(self) -> np.ndarray:
        """(K,) how often each code is used at any place."""
        return self.counts.sum((0, 1), dtype=np.int64)

    @property
    def used(self) -> int:
        """How many codes are used at all."""
        return int((self.usage > 0).sum())

    @property
    def dead(self) -> int:
        """How many codes are never used."""
        return len(self.usage) - self.used

    @property
    def perplexity(self) -> float:
        """exp of the usage's entropy: as many codes, used alike, would say as much at a place."""
        return float(2 ** _bits(self.usage))

    @property
    def entropy(self) -> np.ndarray:
        """(h, w) bits that the code at each place holds, by its own frequencies."""
        return _bits(self.counts)

    @property
    def bits_uniform(self) -> float:
        """Bits per image where every code is alike: log₂ K at each place."""
        h, w, size = self.counts.shape
        return float(h * w * np.log2(size))

    @property
    def bits_empirical(self) -> float:
        """Bits per image by the frequencies at each place, each place alone."""
        return float(self.entropy.sum())


@dataclass(frozen=True)
class Errors:
    """How many of the test images that have a class were taken for another."""

    wrong: int
    total: int

    @property
    def rate(self) -> float:
        """In percent."""
        return 100 * self.wrong / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """The rate's 95 % interval, in percent (Wilson 1927)."""
        from scipy.stats import binomtest  # which takes long to load

        low, high = binomtest(self.wrong, self.total).proportion_ci(method="wilson")
        return 100 * float(low), 100 * float(high)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.rate:.2f} % ({low:.2f} to {high:.2f})"


def _bits(counts: np.ndarray) -> np.ndarray:
    """(…, K) counts -> (…) entropy in bits."""
    counts = counts.astype(float)
    share = counts / np.maximum(counts.sum(-1, keepdims=True), 1)
    return -(share * np.log2(np.where(share > 0, share, 1))).sum(-1)


@dataclass(frozen=True)
class Summary:
    """The arrays of summary.npz."""

    arrays: dict[str, np.ndarray]
    folder: Path = Path("FOLDER")  # of the checkpoint, for the command that measures again

    def check(self, space: Mapping[str, Part]) -> None:
        """Raise ValueError that says what to do unless every array is there that a model with this space needs."""
        from trainer.latent import Codes, Gaussian, Label  # which takes torch along, as does whoever has a space

        expected: dict[str, tuple[int | None, ...]] = {}  # None: any length but 0
        widths: list[int | None] = []
        for part, kind in space.items():
            if isinstance(kind, Gaussian):
                expected |= {f"{what}/{part}": (kind.dims,) for what in ("variance", "effect")}
                expected[f"percentiles/{part}"] = (5, kind.dims)
                if f"kl/{part}" in self.arrays:
                    expected[f"kl/{part}"] = (kind.dims,)
                widths.append(kind.dims)
            elif isinstance(kind, Label):
                widths.append(kind.size)
                if f"confusion/{part}" in self.arrays:
                    expected[f"confusion/{part}"] = (kind.size, kind.size)
            elif isinstance(kind, Codes):
                expected[f"codes/{part}/counts"] = (kind.h, kind.w, kind.size)
                if f"codes/{part}/by_class" in self.arrays:
                    expected[f"codes/{part}/by_class"] = (None, kind.size)
            if not isinstance(kind, Gaussian | Label):
                widths.append(None)  # such a model has points of its own
        expected["points"] = (None, None if None in widths else sum(width or 0 for width in widths))
        for name, shape in expected.items():
            found, kind_of_number = self.arrays.get(name), "u" if name.startswith(COUNTS) else "f"
            if found is None or not _fits(found.shape, shape) or found.dtype.kind != kind_of_number:
                what = "is missing" if found is None else f"came as {found.dtype} {found.shape}, expected {shape}"
                raise ValueError(
                    f'the summary of "{self.folder}" does not fit its model: {name} {what}. {_again(self.folder)}'
                )

    @property
    def codes(self) -> dict[str, CodeCounts]:
        """What is known of each part of codes."""
        parts = [name.split("/")[1] for name in self.arrays if name.startswith("codes/") and name.endswith("/counts")]
        return {
            part: CodeCounts(self.arrays[f"codes/{part}/counts"], self.arrays.get(f"codes/{part}/by_class"))
            for part in parts
        }

    @property
    def confusion(self) -> dict[str, np.ndarray]:
        """Of each part of classes, how often test images of a class (its row) were taken for each, (k, k) uint32."""
        return {name.split("/")[1]: table for name, table in self.arrays.items() if name.startswith("confusion/")}

    @property
    def errors(self) -> dict[str, Errors]:
        """Of each part of classes, how many test images were taken for another class than theirs."""
        totals = {
            part: (table.trace(dtype=np.int64), table.sum(dtype=np.int64)) for part, table in self.confusion.items()
        }
        return {part: Errors(int(total - right), int(total)) for part, (right, total) in totals.items() if total}

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


def _fits(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(shape) == len(wanted) and all(
        found == side or (side is None and found > 0) for found, side in zip(shape, wanted, strict=True)
    )


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
