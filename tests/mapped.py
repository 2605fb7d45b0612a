"""Maps as tests make them, and what is sent of them to a browser."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
from coded import run_of

import trainer
from explorer import cloud as clouds
from explorer import projection
from explorer.atlas import Projected, Shown
from explorer.cloud import Cloud
from explorer.opened import Run


def digits_run() -> Run:
    return run_of(trainer.root() / "vae-digits")


def some_of(run: Run) -> Cloud:
    """300 of the images that it was trained on."""
    return clouds.from_images(run, run.checkpoint.config.data.load("train"), "train", 300, lambda done: None)


def shown(cloud: Cloud, places: np.ndarray | None = None, **more: Any) -> Shown:
    found = projection.pca(cloud.points) if places is None else places
    return Shown(cloud, "points", Projected(found, "PCA", "pca", linear=places is None, **more), "key")


def opened(packet: bytes) -> tuple[dict[str, Any], bytes]:
    (length,) = struct.unpack("<I", packet[:4])
    return json.loads(packet[4 : 4 + length]), packet[4 + length :]


def array(packet: bytes, part: dict[str, Any], kind: Any = np.uint8) -> np.ndarray:
    body = opened(packet)[1]
    size = int(np.prod(part["shape"]))
    return np.frombuffer(body[part["offset"] : part["offset"] + size], kind)
