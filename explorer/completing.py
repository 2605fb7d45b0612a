"""What the hidden pixels of a picture may be, and how sure that is. No screen."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

import trainer
from explorer.opened import Run, Track

if TYPE_CHECKING:  # it would load torch
    from torch import Tensor

    from trainer import Completion

QUADRANTS = {"Top left": (0, 0), "Top right": (0, 1), "Bottom left": (1, 0), "Bottom right": (1, 1)}
STAGE = "partial_encoder"  # that proposes, where it is there
DRAWS, MOVES, CHAINS, SHOWN = 1000, 200, 64, 8
LIKELY = 3  # classes that are named
FEW = 30  # effective draws, below which a mean and a spread are rough
GREY = 128  # of hidden pixels


@dataclass(frozen=True)
class Completed:
    """One picture, completed. Pictures are (h, w, c) uint8."""

    seen: np.ndarray  # hidden pixels grey
    images: np.ndarray  # (n, h, w, c) likely ones
    mean: np.ndarray
    std: np.ndarray  # (h, w) of the grey range, over completions
    sentence: str  # how they came about
    advice: str  # what to try where they are rough, else empty
    can_learn: bool  # whether a partial encoder would propose better, and is not there

    @property
    def row(self) -> np.ndarray:
        """What is seen, the mean and the completions, (n + 2, h, w, c) uint8."""
        return np.concatenate([self.seen[None], self.mean[None], self.images])


def has_condition(run: Run) -> bool:
    """Whether the model is given what is visible, and needs no likelihood for it."""
    return any(isinstance(part, trainer.Visible) for part in run.model.space.values())


def hidden_in_training(run: Run, image: np.ndarray) -> list[str]:
    """The quadrants that the model has learned to fill in; of one that has learned no such thing the lower right."""
    import torch

    if not has_condition(run):
        return ["Bottom right"]
    (name,) = (name for name, part in run.model.space.items() if isinstance(part, trainer.Visible))
    with torch.inference_mode():
        hidden = run.model.encode(_tensor(image))[name][0, 0].isnan().numpy()
    return [title for title, place in QUADRANTS.items() if hidden[_quadrant(hidden.shape, place)].all()]


def _quadrant(shape: tuple[int, ...], place: tuple[int, int]) -> tuple[slice, ...]:
    """Rows and columns of a quadrant of an image of `shape` (h, w)."""
    return tuple(
        slice(side // 2, None) if second else slice(side // 2) for side, second in zip(shape, place, strict=True)
    )


def visible(shape: tuple[int, int], quadrants: Collection[str], painted: np.ndarray | None) -> np.ndarray:
    """(h, w) bool: pixels in none of the quadrants, and not painted over by half or more; `painted` (side, side, 1)."""
    found = np.ones(shape, bool)
    for title in quadrants:
        found[_quadrant(shape, QUADRANTS[title])] = False
    if painted is not None:
        h, w = shape
        small = Image.fromarray(painted[..., 0]).resize((w, h), Image.Resampling.BOX)
        found &= np.asarray(small) < 128
    return found


def shown(image: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """A picture (h, w, c) in [0, 1] as bytes, grey where it is not seen (h, w)."""
    return np.where(seen[..., None], np.rint(255 * image), GREY).astype(np.uint8)


def _tensor(image: np.ndarray) -> Tensor:
    import torch

    return torch.from_numpy(np.ascontiguousarray(image, np.float32)).permute(2, 0, 1)[None]


def complete(run: Run, image: np.ndarray, seen: np.ndarray, langevin: bool, seed: int, track: Track) -> Completed:
    """A picture (h, w, c) in [0, 1], of the model's shape, where it is not seen (h, w)."""
    import torch

    found = trainer.complete(
        run.model, _tensor(image), torch.from_numpy(seen).expand(run.model.shape), DRAWS, MOVES if langevin else 0,
        CHAINS, SHOWN, torch.Generator().manual_seed(seed), track,
    )  # fmt: skip
    sentence, advice = _said(run, float(found.ess[0]), found.accepted, seen, hidden_in_training(run, image))
    sentence += _classes_said(run, found)
    return Completed(
        shown(image, seen), trainer.to_bytes(found.images[:, 0]), trainer.to_bytes(found.mean)[0],
        found.std[0].mean(0).numpy(), sentence, advice, _can_learn(run),
    )  # fmt: skip


def _can_learn(run: Run) -> bool:
    """Whether a partial encoder could stand on the model, and does not: it proposes one part of real numbers."""
    return len(run.gaussian) == len(run.model.space) == 1 and STAGE not in run.model.stages


def _classes_said(run: Run, found: Completion) -> str:
    """The most probable classes of the completions, where there are classes."""
    said = ""
    for part in run.labels:
        shares = (found.weights[..., None] * found.z[part]).sum(0)[0]
        names, best = run.class_names(part), shares.argsort(descending=True)[:LIKELY]
        likely = ", ".join(f"{names[int(i)]} ({100 * float(shares[i]):.0f} %)" for i in best if shares[i] >= 0.005)
        said += f" {part} given what is visible: {likely}."
    return said


def _said(run: Run, ess: float, accepted: float | None, seen: np.ndarray, usual: list[str]) -> tuple[str, str]:
    if has_condition(run):
        learned = np.array_equal(seen, visible(seen.shape, usual, None))
        return "Draws of what the model has learned to fill in; all of them count alike.", (
            "" if learned else f"It was trained with other pixels hidden ({', '.join(usual).lower()}): hide just those."
        )
    learned = STAGE in run.model.stages
    who = "the partial encoder, the encoder" if learned else "the encoder"
    counted = f"{ess:.0f} of {DRAWS:,} draws count (the effective sample size)"
    sentence = f"Proposed by {who} from filled-in pictures, and the prior, then weighted: {counted}."
    if accepted is not None:
        sentence += f" {CHAINS} of them made {MOVES} Langevin moves; {100 * accepted:.0f} % were accepted."
    more = "Take Langevin moves" + (", or train the partial encoder" if _can_learn(run) else "")
    rough = ess < FEW and accepted is None
    return sentence, f"So few that mean and spread are rough. {more}." if rough else ""
