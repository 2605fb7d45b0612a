"""The live canvas as browser tests see it: what it shows, and whether that is the decode of what it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from conftest import ROOT
from playwright.sync_api import Page

import trainer

READY = ".picture[data-state=ready]"
PIXELS = """canvas => {
    const { width, height } = canvas;
    return { width, height, rgba: Array.from(canvas.getContext("2d").getImageData(0, 0, width, height).data) };
}"""


def open_traversals(page: Page, app: str, checkpoint: str) -> None:
    page.goto(f"{app}/traversals?checkpoint={checkpoint}")
    page.wait_for_selector(READY)


def shown(page: Page) -> tuple[dict[str, float], np.ndarray]:
    """What the canvas says it shows, and the grey pixels (h, w) it does show, read in one go."""
    read: dict[str, Any] = page.locator(READY).evaluate(
        f"canvas => ({{ values: canvas.dataset.values, ...({PIXELS})(canvas) }})"
    )
    grey = np.array(read["rgba"], np.uint8).reshape(read["height"], read["width"], 4)[..., 0]
    return json.loads(read["values"]), grey


def decoded(checkpoint: str | Path, values: dict[str, float]) -> np.ndarray:
    """The decode of the same latent in this process, (h, w) uint8, red where there are colours."""
    model = trainer.load(ROOT / "checkpoints" / checkpoint)
    z = torch.tensor([[float(values[f"z/{dim}"]) for dim in range(model.space["z"].dims)]])
    with torch.no_grad():
        return trainer.to_bytes(model.decode({"z": z}))[0, ..., 0]


def assert_true_picture(page: Page, checkpoint: str | Path) -> dict[str, float]:
    values, grey = shown(page)
    assert np.abs(grey.astype(int) - decoded(checkpoint, values).astype(int)).max() <= 1  # a batch rounds differently
    return values


def drag(page: Page, slider: int, to: float) -> list[str]:
    """Drag a slider with the mouse to a fraction of its width; the latents that were drawn before the release."""
    track = page.locator(".track input").nth(slider)
    box = track.bounding_box()
    assert box
    thumb = float(track.input_value()) / float(track.get_attribute("max") or 1)
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 7 + thumb * (box["width"] - 14), y)
    page.mouse.down()
    seen = []
    for step in range(1, 9):
        part = thumb + (to - thumb) * step / 8
        page.mouse.move(box["x"] + 7 + part * (box["width"] - 14), y)
        seen.append(page.locator(".picture").get_attribute("data-values") or "")
    return seen
