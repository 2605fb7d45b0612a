"""A second stage: what is trained on top of a model, which itself stays as it is.

It trains in a folder of its own within the model's, CHECKPOINT/STAGE/, as any training does. Its config.json says by
their digest which weights it stands on; on others it is not used.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from trainer import checkpoint
from trainer.checkpoint import Checkpoint
from trainer.config import Config
from trainer.trainable import Track, Trainable

if TYPE_CHECKING:
    from trainer.data import Images
    from trainer.latent import LatentModel


class Stage(Trainable):
    """Something that is trained on top of a model.

    It is made of the model and of options that `fitted` has filled in; it raises ValueError for a model that it cannot
    stand on.
    """

    def __init__(self, base: LatentModel, options: Any) -> None:
        super().__init__(base.shape, options)

    def images_of(self, base: LatentModel, images: Images, track: Track[Tensor] = iter) -> Images:
        """What it is trained and measured on: the model's own images, unless a stage makes something of them."""
        return images


def base_folder(folder: Path) -> Path:
    """The folder of the model that the stage in a folder stands on."""
    return Path(os.path.abspath(folder)).parent


def build(config: Config, base: LatentModel) -> Stage:
    """A stage as configured, with fresh weights, where its model is."""
    from trainer import stages

    kind = stages.get(config.model)
    return kind(base, kind.Options.read(config.options)).to(base.device)


def load_base(folder: Path, config: Config, place: torch.device) -> LatentModel:
    """The model that the stage in a folder stands on. Raises ValueError if its weights are others than then."""
    base = checkpoint.describe(base_folder(folder))
    check_base(folder, config, base)
    return checkpoint.load(base.path, str(place))


def check_base(folder: Path, config: Config, base: Checkpoint) -> None:
    """Raise ValueError unless the stage in a folder was trained on these weights."""
    if config.base != base.digest:
        raise ValueError(
            f'"{folder}" was trained on other weights of {base.name} than it has now. Remove that folder and train '
            f"it anew: python -m trainer stage {config.model} {base.path}"
        )


def attach_all(base: LatentModel, where: Checkpoint) -> None:
    """Attach every stage in a model's checkpoint; `base.refused` says why one is not."""
    for found in where.stages:
        try:
            check_base(found.path, found.config, where)
            stage = build(found.config, base)
            checkpoint.read_weights(found.path, stage)
            base.attach(found.name, stage.eval())
        except (ValueError, OSError) as error:
            base.refused.append(str(error))


def assemble(
    folder: Path, config: Config, place: torch.device, images: Images, test: Images, track: Track[Tensor] = iter
) -> tuple[Trainable, Images, Images]:
    """What a run trains, with fresh weights, and what it is trained and tested on: a model and the images, or a stage
    and what it makes of them.
    """
    if not config.base:
        return checkpoint.build(config).to(place), images, test
    base = load_base(folder, config, place)
    stage = build(config, base)
    return stage, stage.images_of(base, images, track), stage.images_of(base, test, track)
