"""The live canvas: sliders on the left, the decoded picture and its traversals on the right.

For each axis the canvas is handed the pictures at all of its stops, and draws the one under the pointer
without asking the server. Python hears of a move once, on release, and answers with what is right from there.

A caller reads what was reported first, decodes from there, and draws last:

    event = reported(key)
    values = event.values if event and event.revision == revision else start
    canvas(axes_at(values), picture_at(values), key=key, revision=revision, unit="1 = one standard deviation")
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

LIMIT = 2 * 2**20  # bytes of frames in one payload: a release may not cost more

_HERE = Path(__file__).parent
_mount = st.components.v2.component(
    "live_canvas",
    html=(_HERE / "canvas.html").read_text(encoding="utf-8"),
    css=(_HERE / "canvas.css").read_text(encoding="utf-8"),
    js=(_HERE / "canvas.js").read_text(encoding="utf-8"),
)


@dataclass(frozen=True)
class Axis:
    """One thing that can be moved: a dimension, a class, a code, a step."""

    id: str  # stable name in events, e.g. "z/4"
    label: str  # what it is called without a person's own name: "z4"
    stops: np.ndarray  # (k,) positions, increasing
    value: float  # where it stands; may lie between or outside the stops
    frames: np.ndarray | None  # (k, h, w, c) uint8, at each stop, given the other axes; None = not sent
    note: str = ""  # "3.41 nats"
    name: str = ""  # a person's own name for it
    band: tuple[float, float] | None = None  # marked on the track: 5th to 95th percentile of the data
    folded: bool = False  # listed under the fold, closed at first


@dataclass(frozen=True)
class Event:
    """What the person did, as the canvas last reported it."""

    values: dict[str, float]  # axis id -> value
    wanted: str  # axis id last grabbed ("" if none): decode this one first
    names: dict[str, str]  # axis id -> name given by the person in this session
    revision: int  # the revision of the data these values started from


def canvas(
    axes: Sequence[Axis],
    picture: np.ndarray,
    *,
    key: str,
    revision: int,
    unit: str,
    original: np.ndarray | None = None,
    fold_label: str = "",
) -> Event | None:
    """Draw the canvas and return what it last reported, or None before the first move.

    `picture` is the decode at the exact values of the axes, `original` the data image they started from.
    Values must be those that were reported, unless `revision` changes: then the browser adopts these.
    """
    payload = pack(axes, picture, revision=revision, unit=unit, original=original, fold_label=fold_label)
    # Streamlit returns a component's state only if a callback is named for it.
    result = _mount(key=key, data=payload, on_moved_change=lambda: None)
    return _event(result.get("moved"))


def reported(key: str) -> Event | None:
    """What the canvas of this key last reported, known before it is drawn in this run."""
    state = st.session_state.get(key)
    return _event(state.get("moved")) if isinstance(state, dict) else None


def pack(
    axes: Sequence[Axis],
    picture: np.ndarray,
    *,
    revision: int,
    unit: str,
    original: np.ndarray | None = None,
    fold_label: str = "",
) -> bytes:
    """One payload: header length (u32, little endian), JSON header, pixels at the offsets it gives."""
    if picture.ndim != 3 or picture.shape[2] not in (1, 3):
        raise ValueError(f"picture: expected (h, w, 1) or (h, w, 3), got {picture.shape}")
    if len({axis.id for axis in axes}) != len(axes):
        raise ValueError(f"axes: ids must differ, got {[axis.id for axis in axes]}")
    sizes = {axis.id: axis.frames.nbytes for axis in axes if axis.frames is not None}
    if sum(sizes.values()) > LIMIT:
        raise ValueError(f"frames: {sum(sizes.values()):,} bytes, limit {LIMIT:,}; send fewer axes ({sizes})")

    chunks, offset = list[bytes](), 0

    def put(what: str, array: np.ndarray | None, shape: tuple[int, ...]) -> int | None:
        nonlocal offset
        if array is None:
            return None
        if array.shape != shape or array.dtype != np.uint8:
            raise ValueError(f"{what}: expected uint8 {shape}, got {array.dtype} {array.shape}")
        chunks.append(array.tobytes())
        start, offset = offset, offset + array.nbytes
        return start

    header = {
        "shape": picture.shape,
        "revision": revision,
        "unit": unit,
        "fold": fold_label,
        "picture": put("picture", picture, picture.shape),
        "original": put("original", original, picture.shape),
        "axes": [
            {
                "id": axis.id,
                "label": axis.label,
                "stops": [float(stop) for stop in axis.stops],
                "value": float(axis.value),
                "frames": put(f"frames of {axis.id}", axis.frames, (len(axis.stops), *picture.shape)),
                "note": axis.note,
                "name": axis.name,
                "band": None if axis.band is None else [float(edge) for edge in axis.band],
                "folded": axis.folded,
            }
            for axis in axes
        ],
    }
    head = json.dumps(header, allow_nan=False).encode()
    return b"".join([struct.pack("<I", len(head)), head, *chunks])


def _event(raw: Any) -> Event | None:
    if not isinstance(raw, dict):
        return None
    values = {str(axis): float(value) for axis, value in raw["values"].items()}
    names = {str(axis): str(name) for axis, name in raw["names"].items()}
    return Event(values, str(raw["wanted"]), names, int(raw["revision"]))
