"""The history of a run as a TensorBoard event file in its folder: `tensorboard --logdir checkpoints` shows all runs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PATTERN = "events.out.tfevents.*"


def check() -> None:
    """Raise ValueError where the package that writes event files is not installed."""
    try:
        import tensorboardX  # noqa: F401
    except ImportError:
        raise ValueError("--tensorboard needs a package that is not installed: pip install tensorboardX") from None


class Events:
    """Writes measures as they come. `wanted` begins it; a run that goes on with event files in its folder goes on
    with them too.
    """

    def __init__(self, folder: Path, wanted: bool, step: int) -> None:
        self.writer: Any = None
        if not wanted and not any(folder.glob(PATTERN)):
            return
        check()
        from tensorboardX import SummaryWriter

        # what an earlier process wrote after the state that this one goes on from is hidden; files are named by second
        purge = step + 1 if step else None
        self.writer = SummaryWriter(str(folder), purge_step=purge, filename_suffix=f".{step}.{os.getpid()}")

    def add(self, *lines: Mapping[str, Any]) -> None:
        """Lines of the history; of a term with a number per dimension, each, and their sum."""
        for line in lines if self.writer else ():
            if "loss" in line:
                self._add(line)

    def _add(self, line: Mapping[str, Any]) -> None:
        for name, value in line.items():
            if name == "step":
                continue
            if isinstance(value, list):
                for dim, each in enumerate(value):
                    self.writer.add_scalar(f"{name}/{dim}", each, line["step"])
            self.writer.add_scalar(name, sum(value) if isinstance(value, list) else value, line["step"])
        self.writer.flush()

    def __enter__(self) -> Events:
        return self

    def __exit__(self, *_: object) -> None:
        if self.writer is not None:
            self.writer.close()
