"""What the images of a data set have in common, so that a person's own picture can be brought to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from trainer.data import Images

MEASURED = 2_000  # images
LEVEL, INK = 0.05, 0.1  # a border pixel this near the background is background; a pixel this far off is ink
CENTRED = 0.5, 1 / 56  # px, of the longer side: how far a place may scatter and still be the same in all images


@dataclass(frozen=True)
class Look:
    """Ink on an even background: digits, letters, sprites. Where there is no background, the rest says nothing.

    background: (c,) the level that most border pixels of nearly all images share, or None (photographs).
    bright: whether ink is brighter than the background. box: median longer side of the ink's bounding box, px.
    stroke: median width of a stroke of ink, px. centred: what stands at the same place in all images, the "mass"
    (centre of the ink's mass), the "box" (middle of its bounding box), or "" for neither. centre: (y, x) that
    place, in px from the upper left corner of the image; the image's middle where nothing is centred.
    """

    background: tuple[float, ...] | None = None
    bright: bool = True
    box: float = 0.0
    stroke: float = 0.0
    centred: str = ""
    centre: tuple[float, float] = (0.0, 0.0)

    def arrays(self) -> dict[str, np.ndarray]:
        """As arrays of summary.npz; an empty "look/background" is None."""
        values = {**vars(self), "background": self.background or ()}
        return {f"look/{name}": np.asarray(value) for name, value in values.items()}

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray]) -> Look | None:
        """The inverse of `arrays`; None for a summary that has no look."""
        names = cls.__dataclass_fields__
        if not all(f"look/{name}" in arrays for name in names):
            return None
        values = {name: arrays[f"look/{name}"].tolist() for name in names}
        background, centre = tuple(values.pop("background")) or None, tuple(values.pop("centre"))
        return cls(background=background, centre=centre, **values)


def measure_look(images: Images) -> Look:
    """Measured on the first 2,000 images at most. Waveforms have no ink."""
    if images.rate is not None:
        return Look()
    import torch

    pixels = images.batch(torch.arange(min(MEASURED, len(images)))).permute(0, 2, 3, 1).cpu().numpy()  # (n, h, w, c)
    edges = [pixels[:, 0], pixels[:, -1], pixels[:, 1:-1, 0], pixels[:, 1:-1, -1]]
    border = np.concatenate(edges, axis=1)  # (n, p, c)
    background = np.median(border, axis=(0, 1))  # (c,)
    shared = (np.abs(border - background) < LEVEL).all(-1).mean(1)  # (n,)
    if np.quantile(shared, 0.1) < 0.4:
        return Look()
    signed = (pixels - background).mean(-1)
    amount = np.abs(pixels - background).mean(-1)  # (n, h, w)
    drawn = [image for image in amount if (image > INK).any()]
    if 2 * len(drawn) < len(amount):
        return Look()
    boxes = np.array([ink_box(image > INK) for image in drawn])  # (n, 4)
    places = {"mass": np.array([mass_centre(image) for image in drawn]), "box": (boxes[:, :2] + boxes[:, 2:]) / 2}
    spread = {name: float(place.std(0).max()) for name, place in places.items()}
    centred = min(spread, key=lambda name: spread[name])
    height, width = amount.shape[1:]
    if spread[centred] > max(CENTRED[0], CENTRED[1] * max(height, width)):
        centred = ""
    y, x = places[centred].mean(0).tolist() if centred else (height / 2, width / 2)
    return Look(
        background=tuple(background.tolist()),
        bright=bool(signed.sum() > 0),
        box=float(np.median((boxes[:, 2:] - boxes[:, :2]).max(1))),
        stroke=float(np.median([stroke_width(image) for image in drawn])),
        centred=centred,
        centre=(y, x),
    )


def ink_box(ink: np.ndarray) -> tuple[int, int, int, int]:
    """(h, w) booleans, not all False -> top, left, bottom, right of their bounding box; the last two are outside."""
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def mass_centre(amount: np.ndarray) -> tuple[float, float]:
    """(h, w) amounts of ink -> (y, x) of their centre of mass, px from the upper left corner."""
    rows, columns = amount.sum(1), amount.sum(0)
    y = float(rows @ (np.arange(len(rows)) + 0.5) / rows.sum())
    return y, float(columns @ (np.arange(len(columns)) + 0.5) / columns.sum())


def stroke_width(amount: np.ndarray) -> float:
    """(h, w) amounts of ink in [0, 1] -> about how wide its strokes are, px: area over half the length of its outline.

    The outline is the total variation, over cells between four pixels, which counts a slanting edge by its true
    length: a bar of width w and length l ≫ w has area w l and outline 2 l.
    """
    padded = np.pad(amount, 1)
    across, down = np.diff(padded, axis=1), np.diff(padded, axis=0)
    slopes = np.hypot(across[1:] + across[:-1], down[:, 1:] + down[:, :-1]) / 2  # (h + 1, w + 1)
    return float(2 * amount.sum() / slopes.sum())
