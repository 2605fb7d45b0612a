"""Checkpoints by how many labels they were told and how many test images they took for another class. No screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trainer

if TYPE_CHECKING:
    from trainer import Checkpoint, Errors


@dataclass(frozen=True)
class Told:
    """One checkpoint, and what it got wrong."""

    name: str
    labels: int
    errors: Errors


def alike(own: Checkpoint, others: Sequence[Checkpoint]) -> list[Told]:
    """This checkpoint and others of the same model on the same data that were told some of the labels and counted what
    they got wrong, fewest labels first. One that cannot be read is left out.
    """
    found = []
    for each in (own, *others):
        labels = each.config.data.labels
        if each.config.model != own.config.model or each.config.data.name != own.config.data.name or not labels:
            continue
        try:
            errors = trainer.load_summary(each.path).errors
        except (ValueError, OSError):
            continue
        found += [Told(each.name, labels, counted) for counted in list(errors.values())[:1]]
    return sorted(found, key=lambda one: one.labels)
