"""What a run writes into its folder while it goes on: its history, line by line, and its saves."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainer import interrupt
from trainer.config import Config
from trainer.snapshots import Snapshots
from trainer.state import save_running
from trainer.step import State
from trainer.tensorboard import Events
from trainer.train import TrainOptions
from trainer.trainable import Trainable

MEASURING = "measuring"


class Journal:
    """The history of a run: in memory, and in the folder as it grows once the first save has made that."""

    def __init__(self, folder: Path, config: Config, lines: Sequence[dict[str, Any]] = ()) -> None:
        self.folder, self.config, self.lines = folder, config, list(lines)
        self.known = len(self.lines)
        self.saved = time.perf_counter()
        self.seconds = next((line["seconds"] for line in reversed(self.lines) if "seconds" in line), 0.0)
        self.save_every = TrainOptions.read(config.training).save_every  # seconds
        self.events: Events | None = None
        self.is_there = False  # whether the file holds these lines

    def add(self, *lines: dict[str, Any]) -> None:
        self.lines += lines
        if self.events:
            self.events.add(*lines)
        if self.is_there:
            self._append(*lines)

    def _append(self, *lines: dict[str, Any]) -> None:
        self._check_there()
        path = self.folder / "history.jsonl"
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write("".join(json.dumps(line) + "\n" for line in lines))
        except OSError as error:
            raise OSError(f'"{path}" cannot be written: {error.strerror}. The state is as it was saved.') from None

    def say_measuring(self, step: int) -> None:
        """Tell who watches that the steps are taken; the line is in no history that is kept."""
        self._append({"step": step, MEASURING: True})

    def _check_there(self) -> None:
        if not self.folder.is_dir():
            raise FileNotFoundError(f'the folder "{self.folder}" was removed while its training ran, which ends here')

    def save(self, model: Trainable, state: State, snapshots: Snapshots) -> None:
        """Everything that a resume needs, and the pictures so far."""
        with interrupt.held():
            self._check_there()
            snapshots.write()  # before the state, as the history is: what is ahead of the state is cut when it goes on
            save_running(self.folder, model, state, self.config, self.lines)
        self.saved, self.is_there = time.perf_counter(), True

    def save_is_due(self) -> bool:
        """Every `save_every` seconds, and at the first measures, so that it can be watched."""
        first = not self.is_there and len(self.lines) > self.known
        return first or time.perf_counter() - self.saved > self.save_every
