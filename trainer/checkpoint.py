"""A checkpoint is a folder: written whole or not at all, and opened without unpickling anything.

    config.json  model.safetensors  summary.npz  history.jsonl  README.md  preview.png  [state.safetensors]

Listing them needs no torch; loading one does.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from pydantic_core import from_json

from trainer.config import Config
from trainer.files import clear_leftovers, save_tensors, write_text

if TYPE_CHECKING:
    from trainer.latent import LatentModel
    from trainer.trainable import Trainable

ENVIRONMENT = "CHECKPOINTS"  # names another folder of checkpoints
LONGEST = 64  # characters of a checkpoint's name
NAMED = 12  # checkpoints in a sentence


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint folder that has a readable config."""

    path: Path
    config: Config

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def preview(self) -> Path | None:
        """A picture of samples, if there is one and it is whole."""
        from PIL import Image

        path = self.path / "preview.png"
        try:
            with Image.open(path) as picture:
                picture.verify()
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
            return None
        return path

    @cached_property
    def digest(self) -> str:
        """Hash of the weights: what is kept about a checkpoint is kept under this."""
        return hashlib.sha256((self.path / "model.safetensors").read_bytes()).hexdigest()[:16]

    @property
    def stages(self) -> list[Checkpoint]:
        """The second stages that were trained on top of it and have weights, by name."""
        return [found for found in checkpoints(self.path) if found.config.base]

    def history(self) -> list[dict[str, Any]]:
        """What happened in its training, oldest first: measures (lines with a "loss"), and what was changed or refused.

        A last line that is being written is left out. Raises ValueError that names the line that is damaged.
        """
        path = self.path / "history.jsonl"
        lines = path.read_bytes().split(b"\n")[:-1] if path.is_file() else []
        return [_measures(line, f"{path}, line {number}") for number, line in enumerate(lines, 1)]


def _measures(line: bytes, where: str) -> dict[str, Any]:
    try:
        measures = from_json(line)  # of a long history in half the time and memory that json takes
    except ValueError as error:
        raise ValueError(f"{where} cannot be read: {error}") from None
    if not (isinstance(measures, dict) and type(measures.get("step")) is int):
        wanted = "measures with a step, which is a whole number"
    elif type(measures.get("loss", 0.0)) not in (int, float):
        wanted = "a number as its loss"
    else:
        return measures
    raise ValueError(f"{where} came as {line[:60].decode(errors='replace')}, expected {wanted}")


def root() -> Path:
    """The folder of checkpoints: the environment's CHECKPOINTS, or `checkpoints/` beside this package."""
    return Path(os.environ.get(ENVIRONMENT) or Path(__file__).parent.parent / "checkpoints")


def checkpoints(folder: Path | None = None) -> list[Checkpoint]:
    """All checkpoints in a folder, by name; what cannot be read is left out."""
    found = []
    for path in sorted((folder or root()).glob("*/config.json")):
        try:
            found.append(describe(path.parent))
        except (ValueError, OSError):
            continue
    return found


def describe(folder: Path | str) -> Checkpoint:
    """The checkpoint in a folder, without its weights. Raises FileNotFoundError, or ValueError that says why."""
    found = describe_running(folder)
    if not (found.path / "model.safetensors").is_file():
        raise FileNotFoundError(f'the checkpoint "{folder}" has no weights yet (model.safetensors)')
    return found


def describe_running(folder: Path | str) -> Checkpoint:
    """The same for a folder whose training may not have ended, so that it may have no weights."""
    folder = Path(folder)
    path = folder / "config.json"
    if not path.is_file():
        if inside := checkpoints(folder):
            raise FileNotFoundError(f'"{folder}" holds checkpoints, name one: {_listed(inside)}')
        near = checkpoints(folder.parent)
        there = f" There are: {_listed(near)}." if near else ""
        why = "it has no config.json, so that nothing was saved there yet" if folder.is_dir() else "it is not there"
        raise FileNotFoundError(f'no checkpoint at "{folder}": {why}.{there}')
    try:
        return Checkpoint(folder, Config.model_validate_json(path.read_bytes()))
    except ValidationError as error:
        first = error.errors()[0]
        field, said = ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")
        raise ValueError(": ".join(filter(None, [str(path), field, said]))) from None


def _listed(found: Sequence[Checkpoint]) -> str:
    more = [f"and {len(found) - NAMED} more"] if len(found) > NAMED else []
    return ", ".join([*(each.name for each in found[:NAMED]), *more])


def build(config: Config) -> LatentModel:
    """A model as configured, with fresh weights. Raises ValueError for the config of a second stage."""
    from trainer import models

    if config.base:
        raise ValueError(f"a {config.model} is a stage on top of a model: open the folder around its own")
    if config.model_file and config.model not in models.names():
        raise ValueError(
            f'the model "{config.model}" is not known here; it came from {config.model_file}: pass --models FILE.py, '
            "or trainer.add_models(FILE) in a notebook; for the app, put that file into trainer/models/ as "
            f"{config.model}.py"
        )
    kind = models.get(config.model)
    return kind(config.shape, kind.Options.read(config.options))


def load(folder: Path | str, device: str = "cpu") -> LatentModel:
    """The trained model in a checkpoint folder, ready to encode, decode and sample.

    Raises FileNotFoundError where there is none, ValueError where the weights do not fit the config, or for a device
    that is not here. It never runs code from the folder: a model of one's own is added by `trainer.add_models` first.
    Second stages in the folder are attached; the model's `refused` says why one is not.
    """
    from trainer import device as devices
    from trainer.stage import attach_all

    checkpoint, place = describe(folder), devices.choose(device)
    model = build(checkpoint.config)
    read_weights(checkpoint.path, model)
    model = model.eval().to(place)
    attach_all(model, checkpoint)
    return model


def read_weights(folder: Path, model: Trainable) -> None:
    """Put the weights in a checkpoint's folder into a model. Raises ValueError where they do not fit it."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        weights = load_file(folder / "model.safetensors")
    except SafetensorError as error:
        raise ValueError(f'the weights of "{folder}" cannot be read: {error}') from None
    try:
        model.load_state_dict({name: value.to(torch.float32) for name, value in weights.items()})
    except RuntimeError as error:
        raise ValueError(f'the weights of "{folder}" do not fit its config.json: {error}') from None


def check_name(name: str) -> None:
    """Raise ValueError unless every file system and link can hold the name of a checkpoint."""
    if not re.fullmatch(rf"[a-z0-9][a-z0-9._-]{{0,{LONGEST - 1}}}", name):
        raise ValueError(
            f'"{name}" cannot name a checkpoint: use small letters, digits, dots, hyphens and underscores, a letter or '
            f"digit first, and at most {LONGEST} in all"
        )


def name_of(folder: Path) -> str:
    """The name of the checkpoint in a folder, which may be given as "."."""
    return Path(os.path.abspath(folder)).name  # a link keeps its own name


def check_folder(folder: Path) -> None:
    """Raise ValueError unless a new checkpoint can stand there: a name that can be one, and an empty folder or none."""
    check_name(name_of(folder))
    if folder.exists() and not folder.is_dir():
        raise ValueError(f'"{folder}" is a file: name another folder')
    clear_leftovers(folder)
    if (folder / "config.json").exists():
        more = f", or go on with it: python -m trainer resume {folder}" if can_go_on(folder) else ""
        raise ValueError(
            f'"{folder}" already holds a checkpoint. Choose another --out, or remove that folder first{more}'
        )
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f'"{folder}" is not empty. Choose another --out, so that nothing there is written over')


def can_go_on(folder: Path) -> bool:
    """Whether the training in a folder can take more steps: its state is there, or it ended before it had weights."""
    return (folder / "state.safetensors").is_file() or not (folder / "model.safetensors").exists()


def save(folder: Path, model: Trainable, config: Config, history: Iterable[dict[str, Any]]) -> None:
    """Write weights, history and config; the config last, so that a folder that has one is whole."""
    import torch

    half = config.weights == "float16"
    weights = {
        name: value.detach()
        .cpu()
        .to(torch.float16 if half and value.ndim and value.is_floating_point() else value.dtype)
        .contiguous()
        for name, value in model.state_dict().items()
    }
    save_tensors(folder / "model.safetensors", weights)
    save_history(folder, history)
    save_config(folder, config)


def save_history(folder: Path, history: Iterable[dict[str, Any]]) -> None:
    write_text(folder / "history.jsonl", "".join(json.dumps(line) + "\n" for line in history))


def save_config(folder: Path, config: Config) -> None:
    write_text(folder / "config.json", config.model_dump_json(indent=2) + "\n")
