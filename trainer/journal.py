"""What a run writes into its folder while it goes on: its history, line by line, and its saves."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainer import checkpoint, interrupt
from trainer.checkpoint import Config
from trainer.latent import LatentModel
from trainer.snapshots import Snapshots
from trainer.state import save_state
from trainer.train import State

SAVE_EVERY = 30  # seconds


class Journal:
    """The history of a run: in memory, and in the folder as it grows once the first save has made that."""

    def __init__(self, folder: Path, config: Config, lines: Sequence[dict[str, Any]] = ()) -> None:
        self.folder, self.config, self.lines = folder, config, list(lines)
        self.known = len(self.lines)
        self.saved = time.perf_counter()
        self.seconds = next((line["seconds"] for line in reversed(self.lines) if "seconds" in line), 0.0)
        self.is_there = False  # whether the file holds these lines

    def add(self, *lines: dict[str, Any]) -> None:
        self.lines += lines
        if self.is_there:
            with (self.folder / "history.jsonl").open("a", encoding="utf-8") as file:
                file.write("".join(json.dumps(line) + "\n" for line in lines))

    def save(self, model: LatentModel, state: State, snapshots: Snapshots) -> None:
        """Everything that a resume needs, and the pictures so far."""
        with interrupt.held():
            save_state(self.folder, model, state)
            checkpoint.save_history(self.folder, self.lines)
            checkpoint.save_config(self.folder, self.config)
            snapshots.write()
        self.saved, self.is_there = time.perf_counter(), True

    def save_is_due(self) -> bool:
        """Every 30 s, and at the first measures, so that it can be watched."""
        first = not self.is_there and len(self.lines) > self.known
        return first or time.perf_counter() - self.saved > SAVE_EVERY
