"""A checkpoint is a folder: written whole or not at all, and opened without unpickling anything.

    config.json  model.safetensors  summary.npz  history.jsonl  README.md  preview.png  [state.safetensors]

Listing them needs no torch; loading one does.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

if TYPE_CHECKING:
    from torch import Tensor

    from trainer.latent import LatentModel
    from trainer.train import State

ENVIRONMENT = "CHECKPOINTS"  # names another folder of checkpoints


class Data(BaseModel):
    """Which images a model was trained on."""

    name: str
    size: int | None = None
    class_names: list[str] = []


class Config(BaseModel):
    """config.json: what must be known to build the model again."""

    model_config = ConfigDict(extra="forbid")

    format: int = 1
    model: str
    options: dict[str, Any]
    shape: tuple[int, int, int]
    data: Data
    training: dict[str, Any]
    command: str
    trained: datetime  # when, UTC
    parameters: int
    steps_done: int
    weights: str = "float32"
    note: str = ""  # a sentence for the card
    measured: dict[str, str] = {}  # a figure or two for people, with units
    versions: dict[str, str]


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
        """A picture of samples, if there is one."""
        path = self.path / "preview.png"
        return path if path.is_file() else None

    @cached_property
    def digest(self) -> str:
        """Hash of the weights: what is kept about a checkpoint is kept under this."""
        return hashlib.sha256((self.path / "model.safetensors").read_bytes()).hexdigest()[:16]

    def history(self) -> list[dict[str, Any]]:
        """The measures of its training, oldest first."""
        path = self.path / "history.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


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
        near = [found.name for found in checkpoints(folder.parent)]
        there = f" There are: {', '.join(near)}." if near else ""
        raise FileNotFoundError(f'no checkpoint at "{folder}": it has no config.json.{there}')
    try:
        return Checkpoint(folder, Config.model_validate_json(path.read_text()))
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def build(config: Config) -> LatentModel:
    """A model as configured, with fresh weights."""
    from trainer import models

    kind = models.get(config.model)
    return kind(config.shape, kind.Options.read(config.options))


def load(folder: Path | str, device: str = "cpu") -> LatentModel:
    """The trained model in a checkpoint folder, ready to encode, decode and sample.

    Raises FileNotFoundError where there is none, ValueError where the weights do not fit the config.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    checkpoint = describe(folder)
    model = build(checkpoint.config)
    try:
        weights = load_file(checkpoint.path / "model.safetensors")
    except SafetensorError as error:
        raise ValueError(f'the weights of "{folder}" cannot be read: {error}') from None
    try:
        model.load_state_dict({name: value.to(torch.float32) for name, value in weights.items()})
    except RuntimeError as error:
        raise ValueError(f'the weights of "{folder}" do not fit its config.json: {error}') from None
    return model.eval().to(device)


def check_folder(folder: Path) -> None:
    """Raise ValueError unless a checkpoint can stand there under a name that every file system and link can hold."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", folder.name):
        raise ValueError(f'"{folder.name}" cannot name a checkpoint: use small letters, digits, dots and hyphens')
    if folder.exists() and not folder.is_dir():
        raise ValueError(f'"{folder}" is a file: name another folder')


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write to a temporary name beside `path`; on success it is made durable and takes the name, else it is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text)


def save(folder: Path, model: LatentModel, config: Config, history: Iterable[dict[str, Any]]) -> None:
    """Write weights, history and config; the config last, so that a folder that has one is whole."""
    import torch
    from safetensors.torch import save_file

    half = config.weights == "float16"
    weights = {
        name: value.detach().cpu().to(torch.float16 if half and value.ndim else value.dtype).contiguous()
        for name, value in model.state_dict().items()
    }
    with replacing(folder / "model.safetensors") as temporary:
        save_file(weights, temporary)
    write_text(folder / "history.jsonl", "".join(json.dumps(line) + "\n" for line in history))
    write_text(folder / "config.json", config.model_dump_json(indent=2) + "\n")


def save_state(folder: Path, model: LatentModel, state: State) -> None:
    """state.safetensors: all that going on needs, in full precision: weights, optimiser, random generators, step."""
    import torch
    from safetensors.torch import save_file

    tensors: dict[str, Tensor] = {f"model/{name}": value for name, value in model.state_dict().items()}
    for index, moments in state.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{index}/{name}": value for name, value in moments.items()}
    tensors["random/cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["random/cuda"] = torch.cuda.get_rng_state()
    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    with replacing(folder / "state.safetensors") as temporary:
        save_file(tensors, temporary, metadata={"step": str(state.step)})


def load_state(folder: Path, model: LatentModel, state: State) -> None:
    """Put a saved state back into a model and a fresh `State`.

    Raises FileNotFoundError if none was saved, ValueError if it cannot be read or is of another model.
    """
    import torch
    from safetensors import SafetensorError, safe_open

    path = folder / "state.safetensors"
    if not path.is_file():
        raise FileNotFoundError(f'"{folder}" has no state.safetensors: only a training that ran here can be resumed')
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            state.step = int(file.metadata()["step"])
    except SafetensorError as error:
        raise ValueError(f'the state "{path}" cannot be read: {error}') from None
    parts: dict[str, dict[str, Tensor]] = {"model": {}, "optimizer": {}, "random": {}}
    for name, value in tensors.items():
        part, _, rest = name.partition("/")
        parts[part][rest] = value
    try:
        model.load_state_dict(parts["model"])
    except RuntimeError as error:
        raise ValueError(f'the state "{path}" does not fit its config.json: {error}') from None
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in parts["optimizer"].items():
        index, _, moment = name.partition("/")
        moments.setdefault(int(index), {})[moment] = value
    state.optimizer.load_state_dict({**state.optimizer.state_dict(), "state": moments})
    for parameter, held in state.optimizer.state.items():  # fused Adam needs moments laid out as their parameter is
        for name in ("exp_avg", "exp_avg_sq"):
            held[name] = torch.empty_like(parameter.detach()).copy_(held[name])
    torch.set_rng_state(parts["random"]["cpu"])
    if "cuda" in parts["random"] and torch.cuda.is_available():
        torch.cuda.set_rng_state(parts["random"]["cuda"])


def versions() -> dict[str, str]:
    """What a result depends on besides this code."""
    import platform

    import numpy
    import torch

    return {"python": platform.python_version(), "torch": torch.__version__, "numpy": numpy.__version__}


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
