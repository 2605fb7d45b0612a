"""From a picture to what a model sees, in visible steps: a phone photo of a pen digit becomes one like the data's.

Images here are (h, w, c) float in [0, 1]. Paper is what most of a picture is, ink is what is drawn on it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from PIL import Image

import trainer
from explorer import ink
from explorer.ink import Shape

if TYPE_CHECKING:
    from explorer.uploads import Picture
    from trainer import Look


@dataclass(frozen=True)
class Step:
    """What a step made of the image, (h, w, c) in [0, 1], and one line that says what happened."""

    title: str
    image: np.ndarray
    note: str


@dataclass(frozen=True)
class Seeing:
    """What is switched on. turns: quarter turns to the left. crop: left, top, right, bottom as fractions.

    levels: even the light, paper to white (or black), ink to full. invert: light for dark. fit: cut to the ink, scaled
    and placed as in the data. letterbox: at last show all of the image, with paper around it, not fill the frame.
    """

    turns: int = 0
    crop: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    levels: bool = False
    invert: bool = False
    fit: bool = False
    letterbox: bool = False

    @classmethod
    def proposed(cls, picture: Picture, look: Look | None, shape: Shape) -> Self:
        """What brings `picture` to what the data look like. Ink is sought only where the data have a background, and
        what already has the model's size and the data's background is left alone.
        """
        if look is None or look.background is None:
            return cls()
        if not _plain(look):
            return cls(letterbox=True)
        image, _ = _channels(ink.scaled_to(_floats(picture), ink.WORK), shape[0])
        border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])  # (p, c)
        alike = np.abs(np.median(border, axis=0) - look.background).max() < 0.1
        if picture.pixels.shape[:2] == shape[1:] and alike:
            return cls(letterbox=True)
        return cls(levels=True, invert=ink.is_dark(image) == look.bright, fit=True, letterbox=True)


def see(picture: Picture, shape: Shape, look: Look | None, seeing: Seeing) -> list[Step]:
    """Every step from the picture to the model's input, whose image is the last step's, exactly (h, w, c) of `shape`.

    `shape` is the model's (c, h, w). A step that is off passes its image on, with the note "off".
    Raises ValueError where the crop leaves nothing.
    """
    look = look or trainer.Look()
    image = _floats(picture)
    steps: list[Step] = []
    for title, step in (
        ("Upright", lambda x: _upright(x, seeing.turns)),
        ("Crop", lambda x: _crop(x, seeing.crop)),
        ("Channels", lambda x: _channels(x, shape[0])),
        ("Levels", lambda x: _levels(x) if seeing.levels else (x, "off")),
        ("Invert", lambda x: (1 - x, "light for dark, dark for light") if seeing.invert else (x, "off")),
        ("Fit", lambda x: _fit(x, shape, look) if seeing.fit else (x, "off")),
        ("Size", lambda x: _size(x, shape, look, seeing.letterbox)),
    ):
        image, note = step(image)
        steps.append(Step(title, image, note))
    return steps


# ---- the steps: (h, w, c) -> (h, w, c) and what happened


def _upright(image: np.ndarray, turns: int) -> tuple[np.ndarray, str]:
    return np.rot90(image, turns), f"turned by {turns % 4 * 90}° to the left" if turns % 4 else "off"


def _crop(image: np.ndarray, crop: tuple[float, float, float, float]) -> tuple[np.ndarray, str]:
    height, width = image.shape[:2]
    left, right = round(crop[0] * width), round(crop[2] * width)
    top, bottom = round(crop[1] * height), round(crop[3] * height)
    cut = image[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    if not cut.size:
        raise ValueError(f"the crop {crop} leaves nothing of {width} × {height} px: make it larger")
    note = "off" if cut.shape == image.shape else f"cut to {_pixels(cut)}"
    smaller = ink.scaled_to(cut, ink.WORK)
    return smaller, note if smaller is cut else f"{note}, reduced to {_pixels(smaller)}".removeprefix("off, ")


def _channels(image: np.ndarray, count: int) -> tuple[np.ndarray, str]:
    if image.shape[2] == count:
        return image, "off"
    if image.shape[2] == 1:
        return image.repeat(count, axis=2), f"grey in {count} channels"
    grey = image @ np.array([0.299, 0.587, 0.114], np.float32)  # luma of ITU-R BT.601
    return grey[..., None].repeat(count, axis=2), "colour to grey"


def _levels(image: np.ndarray) -> tuple[np.ndarray, str]:
    """Paper becomes 1 and ink 0; on dark paper, the other way."""
    amount, dark = ink.amounts(image)
    if not amount.any():
        return np.full_like(image, dark), "no ink stands out from the paper"
    return (1 - amount if dark else amount), f"evened the light, {'dark' if dark else 'bright'} ink to full"


def _fit(image: np.ndarray, shape: Shape, look: Look) -> tuple[np.ndarray, str]:
    """Cut to the largest pieces of ink, in strokes as wide as the data's, scaled and placed as in the data."""
    if look.background is None:
        return image, "off: the data have no background"
    paper = np.array(look.background, np.float32)
    kept, left_out = ink.main_ink(np.abs(image - paper).mean(-1))
    if not kept.any():
        return image, "no ink found to cut to"
    top, left, bottom, right = trainer.ink_box(kept)
    image = np.where(kept[..., None], image, paper)[top:bottom, left:right]
    note = f"cut to the ink, {_pixels(image)}"
    image, thicker = ink.thickened(image, look, shape)
    amount = np.abs(image - paper).mean(-1)
    box = trainer.ink_box(amount > ink.SURE * amount.max())
    scale = ink.scale_of(box, look, shape)
    y, x = trainer.mass_centre(amount) if look.centred == "mass" else ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    rows = _span(box[0], box[2], y, look.centre[0], shape[1], scale)
    columns = _span(box[1], box[3], x, look.centre[1], shape[2], scale)
    more = [f"{thicker:.0f} px thicker"] * (thicker > 0) + [f"{left_out} other pieces left out"] * (left_out > 0)
    return ink.resampled(image, (*rows, *columns), shape, paper), ", ".join([note, *more])


def _span(first: int, last: int, place: float, target: float, side: int, scale: float) -> tuple[float, float]:
    """From where to where the frame reaches along one side, in px of the image.

    `place` comes as near to `target` (px of the frame) as it can with the box, first … last, inside the frame and
    beginning on a whole pixel of it, as a glyph that was scaled and then moved does.
    """
    edge = round(target - (place - first) * scale)
    edge = max(0, min(edge, math.floor(side - (last - first) * scale + 1e-6)))
    return first - edge / scale, first + (side - edge) / scale


def _size(image: np.ndarray, shape: Shape, look: Look, letterbox: bool) -> tuple[np.ndarray, str]:
    """Area averages on the way down, bicubic on the way up."""
    _, height, width = shape
    if image.shape[:2] == (height, width):
        return image, f"{_pixels(image)} as the model takes it"
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    paper = np.array(look.background or np.median(border, axis=0), np.float32)
    ratios = height / image.shape[0], width / image.shape[1]
    scale = min(ratios) if letterbox else max(ratios)
    middle, half = (image.shape[0] / 2, image.shape[1] / 2), (height / scale / 2, width / scale / 2)
    window = middle[0] - half[0], middle[0] + half[0], middle[1] - half[1], middle[1] + half[1]
    how = "whole, with paper around it" if letterbox else "filling the frame"
    return ink.resampled(image, window, shape, paper), f"{_pixels(image)} to {width} × {height} px, {how}"


def _plain(look: Look) -> bool:
    """Whether the data's background is about black or about white."""
    return look.background is not None and all(min(level, 1 - level) < 0.1 for level in look.background)


def _floats(picture: Picture) -> np.ndarray:
    """What is far larger than any model sees is reduced first, so that it takes no gigabyte."""
    pixels = picture.pixels
    factor = -(-max(pixels.shape[:2]) // (2 * ink.WORK))
    if factor > 1:
        squeezed = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).reduce(factor)
        pixels = np.array(squeezed).reshape(squeezed.height, squeezed.width, -1)
    return pixels.astype(np.float32) / 255


def _pixels(image: np.ndarray) -> str:
    return f"{image.shape[1]} × {image.shape[0]} px"
