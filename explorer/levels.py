"""Levels of a latent, coarse to fine: what each holds, and decodes with some kept and others resampled. No screen."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import trainer
from explorer.opened import Run, seeded

if TYPE_CHECKING:
    from trainer import Latent, Summary

DRAWS = 64  # draws of the posterior that the KL of one image is averaged over
CARRIES = 0.01  # nats in the mean above which a dimension of a training's history is said to carry something
EACH, BELOW, ABOVE = "Each level alone", "A level and all below", "A level and all above"


@dataclass(frozen=True)
class Level:
    """What one level holds, over the data that the summary was measured on."""

    part: str
    dims: int
    active: int  # dimensions whose posterior mean varies over the data by more than .01
    nats: float | None  # mean KL; None where the model has no posterior
    share: float | None  # of the KL of all levels


def levels(summary: Summary) -> list[Level]:
    """Every part of real numbers, coarse to fine."""
    parts = [name.removeprefix("variance/") for name in summary.arrays if name.startswith("variance/")]
    nats = {part: float(summary.arrays[f"kl/{part}"].sum()) for part in parts if f"kl/{part}" in summary.arrays}
    whole = max(sum(nats.values()), 1e-12)
    return [
        Level(
            part,
            len(summary.arrays[f"variance/{part}"]),
            int(summary.active(part).sum()),
            nats.get(part),
            nats[part] / whole if part in nats else None,
        )
        for part in parts
    ]


@dataclass(frozen=True)
class Course:
    """The KL of each level over a training."""

    parts: tuple[str, ...]
    steps: np.ndarray  # (k,)
    nats: np.ndarray  # (k, levels) mean per image
    carrying: np.ndarray  # (k, levels) dimensions whose KL is above .01 nats


def course(history: Sequence[Mapping[str, Any]], parts: Sequence[str]) -> Course | None:
    """From the lines of a history; None where they do not have the KL of every level."""
    lines = [line for line in history if all(isinstance(line.get(f"kl/{part}"), list) for part in parts)]
    if not lines:
        return None
    by_level = [np.array([line[f"kl/{part}"] for line in lines], float) for part in parts]  # each (k, d)
    return Course(
        tuple(parts),
        np.array([line["step"] for line in lines]),
        np.stack([values.sum(1) for values in by_level], axis=1),
        np.stack([(values > CARRIES).sum(1) for values in by_level], axis=1),
    )


def rows(parts: Sequence[str], way: str) -> list[tuple[str, ...]]:
    """Which levels are resampled together, from the coarsest row to the finest; `parts` are coarse to fine."""
    spans = {EACH: (0, 1), BELOW: (0, len(parts)), ABOVE: (-len(parts), 1)}
    before, after = spans[way]
    return [tuple(parts[max(0, at + before) : at + after]) for at in range(len(parts))]


def resampled(run: Run, z: Latent, parts: Collection[str], count: int, seed: int) -> Latent:
    """`count` latents: those `parts` of one latent (each part (1, …)) drawn from the prior, the others kept.

    The same seed gives a part the same draws, whichever others are drawn with it.
    """
    fresh = run.sample(seed, count)
    return {part: fresh[part] if part in parts else values.expand(count, -1) for part, values in z.items()}


def resampled_pictures(run: Run, z: Latent, parts: Collection[str], count: int, seed: int) -> np.ndarray:
    """(count, h, w, c) uint8. With nothing resampled it is the one decode of the latent, to the last bit."""
    if not parts:
        return run.decode(z).repeat(count, axis=0)
    return run.decode(resampled(run, z, parts, count, seed))


def swapped(run: Run, one: Latent, other: Latent) -> np.ndarray:
    """(2, levels + 1, h, w, c) uint8: two latents that have exchanged their 0, 1, … all upper levels."""
    parts = list(one)
    pairs = []
    for lower, upper in ((one, other), (other, one)):
        mixed = [{p: (upper if at < k else lower)[p] for at, p in enumerate(parts)} for k in range(len(parts) + 1)]
        pairs.append(np.concatenate([run.decode(z) for z in mixed]))
    return np.stack(pairs)


@dataclass(frozen=True)
class Step:
    """One more level of an image put in the place of its prior mean."""

    part: str  # "" where all levels are at their prior means
    picture: np.ndarray  # (h, w, c) uint8
    change: np.ndarray  # (h, w) in [−1, 1]: what the level changed, the mean over channels; 0 at first
    nats: float | None  # KL of this level for this image; None where there is none
    gain: float | None  # nats by which log p(x|z) rose; None where there is no likelihood


def progressive(run: Run, image: np.ndarray, z: Latent) -> list[Step]:
    """Decodes of one image (h, w, c) in [0, 1] and its latent (each part (1, …)): prior means everywhere, then with its
    own coarsest level, and so on to its reconstruction.
    """
    import torch

    x = torch.from_numpy(np.ascontiguousarray(image, np.float32)).permute(2, 0, 1)[None]
    parts = list(z)
    with seeded():
        terms = run.model.terms(x.expand(DRAWS, -1, -1, -1))
        costs = {part: float(terms[f"kl/{part}"].mean(0).sum()) for part in parts if f"kl/{part}" in terms}
        found: list[Step] = []
        before: Any = None
        fit_before: float | None = None
        for k in range(len(parts) + 1):
            own = {part: values if at < k else torch.zeros_like(values) for at, (part, values) in enumerate(z.items())}
            decoded = run.model.decode(own)
            fit = _fit(run, x, own)
            change = torch.zeros_like(decoded) if before is None else decoded - before
            gain = None if fit is None or fit_before is None else fit - fit_before
            part = parts[k - 1] if k else ""
            picture = trainer.to_bytes(decoded)[0]
            found.append(Step(part, picture, change[0].mean(0).numpy(), costs.get(part), gain))
            before, fit_before = decoded, fit
    return found


def _fit(run: Run, x: Any, z: Latent) -> float | None:
    """log p(x|z) in nats, where the model has one."""
    if not isinstance(run.model, trainer.Density):
        return None
    return float(run.model.log_likelihood(x, {part: values[None] for part, values in z.items()}))
