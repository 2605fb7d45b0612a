"""The drawing pad: white ink on black paper, as in the handwritten data sets.

The browser sends a drawing as strokes, not as a picture; they are checked and bounded here, and drawn here, so that
what a model is shown does not depend on a browser.
"""

from __future__ import annotations

import base64
import io
from typing import Annotated, Any

import numpy as np
import streamlit as st
from PIL import Image, ImageDraw
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from explorer.parts import parts

STROKES, POINTS = 200, 5_000  # at most, in one drawing
OUTSIDE = 1.0  # how far outside the pad a point may lie
SUPERSAMPLING = 4  # an edge pixel has 4 × 4 subpixels
LARGEST = 1024  # pixels on a side

_mount = st.components.v2.component("drawing_pad", **parts("pad", "pad", ["pad"], shared=()))

Coordinate = Annotated[float, Field(ge=-OUTSIDE, le=1 + OUTSIDE, allow_inf_nan=False)]


class Stroke(BaseModel):
    """A line drawn with a round brush: points (x, y) from the top left, in units of the pad's side, as the width is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    points: list[tuple[Coordinate, Coordinate]] = Field(min_length=1, max_length=POINTS)
    width: float = Field(ge=0.01, le=0.25, allow_inf_nan=False)
    erase: bool = False


class Drawing(BaseModel):
    """What the browser reports."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    strokes: list[Stroke] = Field(default=[], max_length=STROKES)

    @model_validator(mode="after")
    def _bounded(self) -> Drawing:
        count = sum(len(stroke.points) for stroke in self.strokes)
        if count > POINTS:
            raise ValueError(f"{count:,} points, at most {POINTS:,} are drawn")
        return self


def read(raw: Any) -> Drawing:
    """The drawing that a browser reported; None is an empty one. Raises ValueError that says what is wrong with it."""
    try:
        return Drawing.model_validate({} if raw is None else raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"{where}: {first['msg']}" if where else first["msg"]) from None


def rasterise(strokes: list[Stroke], side: int) -> np.ndarray:
    """Strokes -> (side, side, 1) uint8, 255 where all of a pixel is ink, 0 where none is.

    Raises ValueError unless 1 ≤ side ≤ 1024.
    """
    if not 1 <= side <= LARGEST:
        raise ValueError(f"side: expected 1 to {LARGEST} pixels, got {side}")
    fine = SUPERSAMPLING * side
    image = Image.new("L", (fine, fine))
    draw = ImageDraw.Draw(image)
    for stroke in strokes:
        ink = 0 if stroke.erase else 255
        points = np.array(stroke.points) * fine
        radius = stroke.width * fine / 2
        # Pillow fills the pixels on an outline too, and its pixel 0 has its middle at 0.
        for before, after in zip(points - 0.5, points[1:] - 0.5, strict=False):
            draw.polygon(_bar(before, after, radius - 0.5), fill=ink)
        for (left, top), (right, bottom) in zip((points - radius).round(), (points + radius).round() - 1, strict=True):
            draw.ellipse((left, top, max(left, right), max(top, bottom)), fill=ink)
    return np.asarray(image.reduce(SUPERSAMPLING))[..., None]


def _bar(before: np.ndarray, after: np.ndarray, radius: float) -> list[tuple[float, float]]:
    """The corners of the straight part between two points."""
    along = after - before
    length = float(np.hypot(*along))
    across = np.array([-along[1], along[0]]) * (radius / length) if length else np.zeros(2)
    return [tuple(corner) for corner in (before + across, after + across, after - across, before - across)]


def _address(picture: np.ndarray) -> str:
    """A picture as a PNG in a data address."""
    out = io.BytesIO()
    Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture).save(out, "png")
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"


def pad(key: str, size: int = 280, width: float = 0.08, under: np.ndarray | None = None) -> np.ndarray | None:
    """A pad of `size` CSS pixels; what is drawn on it, (size, size, 1) uint8 with ink bright on black, or None.

    `width` is the brush's diameter at first, in units of the side. Over a picture (h, w, c) uint8 that lies `under` it,
    the ink is a veil. A drawing that cannot be read is None, and says so. A pad that is built anew, as on another page,
    has the last drawing of its `key`.
    """
    state = st.session_state.get(key)
    raw = state.get("drawing") if isinstance(state, dict) else None
    if raw is None:
        raw = st.session_state.get(f"{key}/last")
    problem = ""
    try:
        drawing = read(raw)
        st.session_state[f"{key}/last"] = raw
    except ValueError as error:
        drawing, problem = Drawing(), str(error)
    _mount(
        key=key,
        data={
            "size": size,
            "width": width,
            "under": None if under is None else _address(under),
            "strokes": drawing.model_dump()["strokes"],  # for a pad that is built anew while its drawing is kept
            "most_strokes": STROKES,
            "most_points": POINTS,
        },
        # Streamlit returns a component's state only if a callback is named for it.
        on_drawing_change=lambda: None,
    )
    if problem:
        st.error(f"The drawing cannot be read ({problem}). Draw again to replace it.")
    picture = rasterise(drawing.strokes, size)
    return picture if picture.any() else None
