"""What took test images for which class, and how many labels that took: models, and second stages. No screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trainer
from explorer.opened import Run

if TYPE_CHECKING:
    import numpy as np

    from trainer import Checkpoint, Errors, Summary

STAGE = "semi_supervised"


@dataclass(frozen=True)
class Told:
    """What infers classes, and what it got wrong."""

    name: str  # of a checkpoint, or CHECKPOINT/STAGE
    checkpoint: Checkpoint  # or the stage's
    errors: Errors
    confusion: np.ndarray  # (k, k) counts: rows the true class

    @property
    def labels(self) -> int | None:
        """How many labels it was told; None: all of them."""
        return self.checkpoint.config.data.labels

    @property
    def class_names(self) -> list[str]:
        """What its k classes are called."""
        names, size = self.checkpoint.config.data.class_names, len(self.confusion)
        return names if len(names) == size else [str(label) for label in range(size)]

    @property
    def unseen(self) -> list[str]:
        """The classes that no test image is of."""
        return [name for name, row in zip(self.class_names, self.confusion, strict=True) if not row.any()]


def of_run(run: Run) -> Told | None:
    """The model of a checkpoint, or else the first stage in use on top of it that counted; None where nothing did."""
    own = run.checkpoint
    stages = [_read(each, f"{own.name}/{each.name}") for each in own.stages if each.name in run.model.stages]
    return next(filter(None, [_counted(own, own.name, run.summary), *stages]), None)


def can_learn(run: Run) -> bool:
    """Whether the stage could stand on the model, and the data have classes to learn."""
    return run.has_density and len(run.gaussian) == len(run.model.space) == 1 and bool(_classes_of(run))


def usual_labels(run: Run) -> tuple[int, int]:
    """The fewest labels that the stage can be told, one of each class, and ten of each."""
    k = len(_classes_of(run))
    return k, 10 * k


def _classes_of(run: Run) -> list[str]:
    return run.checkpoint.config.data.class_names


def alike(own: Told, others: Sequence[Checkpoint]) -> list[Told]:
    """Where this was told some of the labels: it, and of others and of the stages on top of them those of the same
    kind on the same data that were too, fewest labels first. One that cannot be read is left out.
    """
    each = [(other.name, other) for other in others]
    each += [(f"{other.name}/{stage.name}", stage) for other in others for stage in other.stages]
    wanted = own.checkpoint.config
    found = [own, *(_read(one, name) for name, one in each
                    if one.config.model == wanted.model and one.config.data.name == wanted.data.name)]  # fmt: skip
    return sorted((one for one in found if one and one.labels), key=lambda one: one.labels or 0)


def _read(checkpoint: Checkpoint, name: str) -> Told | None:
    try:
        return _counted(checkpoint, name, trainer.load_summary(checkpoint.path))
    except (ValueError, OSError):
        return None


def _counted(checkpoint: Checkpoint, name: str, summary: Summary) -> Told | None:
    for part, errors in summary.errors.items():
        return Told(name, checkpoint, errors, summary.confusion[part])
    return None
