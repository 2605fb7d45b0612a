"""What a running training is told: lines of control.jsonl in its folder, read between steps, answered in its history.

    {"knob": "beta", "value": 8.0}      {"rate": 3e-4}      {"stop": true}

The answer to line n is {"step": …, "order": n} with "changed", "stopped" or "refused". So a training that goes on from
an earlier step does again what it was told after that step, and nothing twice.
"""

from __future__ import annotations

import difflib
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from trainer.options import Options
from trainer.train import TrainOptions
from trainer.trainable import Trainable

FILE = "control.jsonl"
LOOK_EVERY = 0.25  # seconds between two looks at the file
LARGEST = 1e6  # of a knob that is no option and so has no bounds of its own


def send(folder: Path, order: Mapping[str, Any]) -> None:
    """Add a line for the training that runs in `folder`. Raises FileNotFoundError before it has saved anything."""
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f'"{folder}" holds no training yet, so that nothing there can be turned')
    with (folder / FILE).open("ab") as file:
        file.write(json.dumps(order).encode() + b"\n")


class Order(Options):
    """One line: a knob with its value, or a learning rate, or a stop."""

    knob: str | None = Field(None, description="a knob of the model")
    value: float | None = Field(None, strict=True, allow_inf_nan=False, description="what the knob is turned to")
    rate: float | None = Field(None, strict=True, allow_inf_nan=False, description="the learning rate before its decay")
    stop: bool = Field(False, strict=True, description="save and end")


def lines(path: Path) -> list[bytes]:
    """The lines of a control file that are whole."""
    try:
        return path.read_bytes().split(b"\n")[:-1]
    except OSError:
        return []


class Control:
    """The control file of one run, from the first line that its history does not answer. So many lines as were there
    `before` the run went on no longer stop it; with `renewed`, they no longer set the learning rate either.
    """

    def __init__(
        self, folder: Path, history: Sequence[Mapping[str, Any]], before: int = 0, renewed: bool = False
    ) -> None:
        self.path = folder / FILE
        self.before, self.renewed = before, renewed
        self.answered: int = max((line["order"] for line in history if "order" in line), default=0)
        self.size = 0  # bytes when the file was last read
        self.looked = 0.0

    def waiting(self) -> bool:
        """Whether there may be something new; cheap enough to ask at each step."""
        now = time.monotonic()
        if now - self.looked < LOOK_EVERY:
            return False
        self.looked = now
        return self._bytes() != self.size

    def _bytes(self) -> int:
        try:
            return self.path.stat().st_size
        except OSError:
            return 0

    def obey(self, model: Trainable, options: TrainOptions, step: int) -> tuple[TrainOptions, list[dict[str, Any]]]:
        """Do what came since; the training's options as they are from now on, and what the history shall say."""
        answers: list[dict[str, Any]] = []
        if self._bytes() == self.size:
            return options, answers
        self.size = self._bytes()
        for line in lines(self.path)[self.answered :]:
            self.answered += 1
            try:
                asked, answer = turned(line, model, options, step)
                if said := self._overrules(answer):
                    answer = {"refused": said}
                else:
                    options = asked
            except ValueError as error:
                answer = {"refused": str(error)}
            answers.append({"step": step, "order": self.answered, **answer})
        return options, answers

    def _overrules(self, answer: Mapping[str, Any]) -> str:
        """Why what the present line asks for no longer counts; empty where it does."""
        if self.answered > self.before:
            return ""
        if "rate" in answer.get("changed", {}) and self.renewed:
            return "the learning rate was set anew after this"
        return "the training went on after this" if "stopped" in answer else ""

    def too_late(self, step: int) -> list[dict[str, Any]]:
        """What the history shall say of what came after the last step, so that a resume does not do it."""
        first, self.answered = self.answered, max(self.answered, len(lines(self.path)))
        said = "the training had taken its last step"
        return [{"step": step, "order": n + 1, "refused": said} for n in range(first, self.answered)]


def turned(line: bytes, model: Trainable, options: TrainOptions, step: int) -> tuple[TrainOptions, dict[str, Any]]:
    """Turn what one line says. Raises ValueError that says why it cannot be; then nothing has changed."""
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"a line of {FILE} cannot be read: {error}") from None
    if not isinstance(values, dict):
        raise ValueError(f"a line of {FILE} came as {line[:60].decode()}, expected a knob, a rate or a stop")
    order = Order.read(values)
    if order.stop:
        return options, {"stopped": True}
    if order.rate is not None:
        return TrainOptions.read({**options.model_dump(), "rate": order.rate}), {"changed": {"rate": order.rate}}
    if order.knob is None or order.value is None:
        raise ValueError(f"a line of {FILE} came as {values}, expected a knob with a value, a rate or a stop")
    check_knob(model, order.knob, order.value, step)
    model.knobs[order.knob].fill_(order.value)
    return options, {"changed": {order.knob: order.value}}


def check_knob(model: Trainable, name: str, value: float, step: int) -> None:
    """Raise ValueError unless the model has the knob, leaves it to a person, and the value is one that it may have."""
    if name not in model.knobs:
        near = difflib.get_close_matches(name, model.knobs, n=1)
        hint = f' Did you mean "{near[0]}"?' if near else f" There are: {', '.join(turnable(model, step)) or 'none'}."
        raise ValueError(f'there is no knob "{name}".{hint}')
    if name not in turnable(model, step):
        raise ValueError(f"{name} follows the model's own schedule, which would turn it back at the next step")
    if name in type(model.options).model_fields:
        type(model.options).read({**model.options.model_dump(), name: value})
    elif not 0 <= value <= LARGEST:
        raise ValueError(f"{name} came as {value}: it should be from 0 to {LARGEST:,.0f}")


def turnable(model: Trainable, step: int) -> list[str]:
    """The knobs that no schedule turns."""
    return [name for name in model.knobs if name not in model.schedule(step)]


def as_turned(options: TrainOptions, history: Sequence[Mapping[str, Any]]) -> TrainOptions:
    """The options after all changes in a history; what knobs were turned to is in the model's own state."""
    rates = [line["changed"]["rate"] for line in history if "rate" in line.get("changed", {})]
    return options.model_copy(update={"rate": rates[-1]}) if rates else options
