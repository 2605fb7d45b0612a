"""config.json: what must be known of a checkpoint to build its model again, and to train it the same way."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, field_validator

if TYPE_CHECKING:
    from trainer.data import Images, Split


class Data(BaseModel):
    """Which images a model was trained on."""

    name: str  # of a data set, or the path of a folder or an .npz file
    size: int | None = None
    side: int | None = None  # px, to which the images of a folder were brought
    class_names: list[str] = []
    rate: int | None = None  # samples per second, where they are waveforms
    labels: int | None = None  # that the model was told, of those there are
    seed: int = 0  # by which these were drawn

    @property
    def title(self) -> str:
        """For people: of a path only the last name, since the rest is nobody else's business."""
        return Path(self.name).name or self.name

    @property
    def kind(self) -> str:
        """What one of them is, for people."""
        return "waveform" if self.rate else "image"

    def load(self, split: Split) -> Images:
        """The images themselves. Raises ValueError or OSError where they cannot be had."""
        from trainer import data

        return data.load(self.name, split, self.size, self.side, self.labels, self.seed)


PIXELS = 2**24  # of an image, times channels: more is no image that a model was made for


class Resumed(BaseModel):
    """One time that a training went on."""

    step: int  # it went on from here
    command: str
    date: datetime  # UTC
    versions: dict[str, str]


class Turned(BaseModel):
    """What a person changed while it trained."""

    step: int  # after this one
    changed: dict[str, float]


class Config(BaseModel):
    """config.json: what must be known to build the model again."""

    model_config = ConfigDict(extra="forbid")

    format: int = 1
    model: str
    model_file: str = ""  # the name of the file of a person's own model
    base: str = ""  # of a second stage, the digest of the weights that it stands on; `model` is then the stage's name
    options: dict[str, Any]
    shape: tuple[int, int, int]
    data: Data
    training: dict[str, Any]
    command: str
    trained: datetime  # when, UTC
    parameters: int
    steps_done: int
    half: bool = False  # float16 was asked for; `weights` says what was written
    half_shift: float | None = None  # how far float16 moves the mean sum of the test terms
    weights: str = "float32"
    note: str = ""  # a sentence for the card
    measured: dict[str, str] = {}  # a figure or two for people, with units
    versions: dict[str, str]
    resumed: list[Resumed] = []  # oldest first
    turned: list[Turned] = []  # oldest first

    @field_validator("shape")
    @classmethod
    def _is_of_an_image(cls, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        if min(shape) < 1 or math.prod(shape) > PIXELS:
            raise ValueError(f"{shape} came, expected channels, height and width, at most {PIXELS:,} numbers in all")
        return shape


def versions() -> dict[str, str]:
    """What a result depends on besides this code."""
    import platform

    import numpy
    import torch

    return {"python": platform.python_version(), "torch": torch.__version__, "numpy": numpy.__version__}


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
