"""state.safetensors: all that going on with a training needs, in full precision. It is opened without unpickling.

Weights, the optimiser's moments, random generators, the step, and the sums of the measures that are not yet in the
history: a run that is stopped and resumed is the same as one that never stopped, but for its clock.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from trainer import models
from trainer.checkpoint import describe_running, save_config, save_history
from trainer.config import Config
from trainer.files import save_tensors
from trainer.step import State
from trainer.trainable import Trainable


def save_running(
    folder: Path, model: Trainable, state: State, config: Config, history: Iterable[dict[str, Any]]
) -> None:
    """Write all that going on needs. The state comes last: a kill before it leaves the one before, and a history that
    is ahead of the state is cut when the run goes on.

    Raises OSError, or FloatingPointError that names what is not finite; the state on disk is then as it was.
    """
    check_weights(model, state)
    save_config(folder, config)
    save_history(folder, history)
    save_state(folder, model, state)


def check_weights(model: Trainable, state: State) -> None:
    """Raise FloatingPointError that names the first weight, or moment of the optimiser, that is not finite."""
    for name, parameter in model.named_parameters():
        values = {f'the weights "{name}"': parameter}
        for moment, value in state.optimizer.state.get(parameter, {}).items():
            values[f'the {moment} of the weights "{name}"'] = value
        for what, value in values.items():
            if not value.isfinite().all():
                raise FloatingPointError(
                    f"{what} stopped being finite by step {state.step}. Try a lower learning rate."
                )


def save_state(folder: Path, model: Trainable, state: State) -> None:
    """Write the state of a run into its checkpoint folder."""
    tensors: dict[str, Tensor] = {f"model/{name}": value for name, value in model.state_dict().items()}
    for index, moments in state.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{index}/{name}": value for name, value in moments.items()}
    tensors |= {f"sums/{name}": value for name, value in state.sums.items()}
    tensors["random/cpu"] = torch.get_rng_state()
    if model.device.type == "cuda":
        tensors["random/cuda"] = torch.cuda.get_rng_state(model.device)
    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    numbers = {"step": state.step, "since": state.since, "seconds": state.seconds}
    about = {name: json.dumps(value) for name, value in numbers.items()}
    save_tensors(folder / "state.safetensors", tensors, about)


def saved_step(folder: Path) -> int:
    """The step that a run was saved at; 0 where it ended before anything was. Raises what `load_state` raises."""
    if not any((folder / f"{name}.safetensors").exists() for name in ("state", "model")):
        return 0
    with _opened(folder, "numpy") as file:  # which opens the file once: it may be replaced meanwhile
        return int(file.metadata()["step"])


def is_finished(folder: Path, steps: int) -> bool:
    """Whether a run has taken that many steps and all is written; a closed form takes none, and keeps no state."""
    if not (folder / "model.safetensors").is_file():
        return False
    config = describe_running(folder).config
    if not (folder / "state.safetensors").is_file():
        return config.steps_done >= steps or (not config.base and models.get(config.model).closed_form)
    done = saved_step(folder)
    return done >= steps and config.steps_done == done


def load_state(folder: Path, model: Trainable, state: State) -> None:
    """Put a saved state back into a model and a fresh `State`.

    Raises FileNotFoundError if none was saved, ValueError if it cannot be read or is of another model.
    """
    parts: dict[str, dict[str, Tensor]] = {"model": {}, "optimizer": {}, "random": {}, "sums": {}}
    with _opened(folder) as file:
        for name in file.keys():  # noqa: SIM118
            part, _, rest = name.partition("/")
            parts[part][rest] = file.get_tensor(name)
        numbers = {name: json.loads(text) for name, text in file.metadata().items()}
        state.step, state.since, state.seconds = int(numbers["step"]), int(numbers["since"]), float(numbers["seconds"])
    try:
        _restore(model, state, parts)
    except (RuntimeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f'the state of "{folder}" does not fit its config.json: {error}') from None


def _restore(model: Trainable, state: State, parts: dict[str, dict[str, Tensor]]) -> None:
    model.load_state_dict(parts["model"])
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in parts["optimizer"].items():
        index, _, moment = name.partition("/")
        moments.setdefault(int(index), {})[moment] = value
    state.optimizer.load_state_dict({**state.optimizer.state_dict(), "state": moments})
    for parameter, moved in state.optimizer.state.items():  # fused Adam needs moments laid out as their parameter is
        for name in ("exp_avg", "exp_avg_sq"):
            moved[name] = torch.empty_like(parameter.detach()).copy_(moved[name])
    state.sums = {name: value.to(model.device) for name, value in parts["sums"].items()}
    torch.set_rng_state(parts["random"]["cpu"])
    if "cuda" in parts["random"] and model.device.type == "cuda":
        torch.cuda.set_rng_state(parts["random"]["cuda"], model.device)


@contextmanager
def _opened(folder: Path, framework: str = "pt") -> Iterator[Any]:
    path = folder / "state.safetensors"
    if not path.is_file():
        raise FileNotFoundError(f'"{folder}" has no state.safetensors: only a training that ran here can be resumed')
    try:
        with safe_open(path, framework) as file:
            yield file
    except (SafetensorError, RuntimeError, KeyError, AttributeError, TypeError, ValueError) as error:
        raise ValueError(f'the state "{path}" cannot be read: {error}') from None
