"""Folders of images of a person's own, and what is kept of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from trainer import data


def kept(home: Path) -> list[str]:
    return sorted(path.name for path in home.rglob("*") if path.is_file())


def picture(seed: int, side: int = 12, channels: int = 1) -> np.ndarray:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, channels), np.uint8)
    return pixels[..., 0] if channels == 1 else pixels


def folder_of(path: Path, count: int = 20, classes: tuple[str, ...] = ("cat", "dog"), channels: int = 1) -> Path:
    for number in range(count):
        place = path / (classes[number % len(classes)] if classes else "")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(number, channels=channels)).save(place / f"{number:03}.png")
    return path


def all_of(path: Path) -> torch.Tensor:
    sets = [data.load(str(path), split) for split in ("train", "test")]
    return torch.cat([images.batch(torch.arange(len(images))) for images in sets])
