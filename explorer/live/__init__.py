"""The live canvas: sliders on the left, the decoded picture and its traversals on the right.

For each axis the canvas is handed the pictures at all of its stops, and draws the one under the pointer
without asking the server. Python hears of a move once, on release, and answers with what is right from there. Where
the frames of all axes are more than a message may hold, the axis that a person is about to move ("wanted") gets them,
and the others the pictures of their rows, made smaller.

A caller reads what was reported first, decodes from there, and draws last:

    event = reported(key)
    values = event.values if event.revision == revision else start
    canvas(axes_at(values), picture_at(values), key=key, revision=revision, unit="1 = one standard deviation")
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import streamlit as st

from explorer.packet import Packet
from explorer.parts import parts

LIMIT = 2 * 2**20  # bytes of pictures in one payload: a release may not cost more

_SCRIPTS = ("memory", "drawing", "building", "picking", "talking", "canvas")
_mount = st.components.v2.component("live_canvas", **parts("live", "canvas", _SCRIPTS))


@dataclass(frozen=True)
class Axis:
    """One thing that can be moved: a dimension, a class, a code, a step."""

    id: str  # stable name in events, e.g. "z/4"
    label: str  # what it is called without a person's own name: "z4"
    stops: np.ndarray  # (k,) positions, increasing
    value: float  # where it stands; may lie between or outside the stops
    frames: np.ndarray | None  # (k, h, w, c) uint8, at each stop, given the other axes; None = not sent
    columns: Sequence[int] = ()  # stops whose pictures make its row of the traversals; none, no row
    strip: np.ndarray | None = None  # (columns, h, w, c) uint8, the pictures of the row where no frames are sent
    home: float = 0.0  # where a double-click leads
    note: str = ""  # "3.41 nats"
    name: str = ""  # a person's own name for it
    nameable: bool = True
    band: tuple[float, float] | None = None  # marked on the track: 5th to 95th percentile of the data
    folded: bool = False  # listed under the fold, closed at first
    names: Sequence[str] = ()  # what its stops are called, where they are classes and not amounts


@dataclass(frozen=True)
class Cells:
    """A picture that is a sheet of `count` images, one of which can be chosen."""

    rows: int
    columns: int
    count: int
    help: str
    row_names: Sequence[str] = ()  # of the class that a row is of
    column_names: Sequence[str] = ()  # of groups of columns of one width


@dataclass(frozen=True)
class Event:
    """What the person did, as the canvas last reported it. A name or a choice is told in one run and then gone."""

    values: dict[str, float]  # axis id -> value; empty before the first move
    wanted: str  # axis id last grabbed, or about to be ("" if none): send the frames of this one
    revision: int | None  # the revision of the data these values started from; None before the first move
    named: tuple[str, str] | None = None  # axis id and the name just given to it; "" takes it away
    picked: tuple[int, int] | None = None  # the cell just chosen, and the revision of the data it was seen in

    def cell(self, revision: int, count: int) -> int | None:
        """The cell just chosen out of `count`, unless it was seen in data of another revision."""
        at, seen = self.picked or (count, revision)
        return at if seen == revision and at < count else None


def canvas(
    axes: Sequence[Axis],
    picture: np.ndarray,
    *,
    key: str,
    revision: int,
    unit: str,
    original: np.ndarray | None = None,
    cells: Cells | None = None,
    caption: str = "decoded",
    fold_label: str = "",
) -> None:
    """Draw the canvas; `reported` tells what a person did with it.

    `picture` is the decode at the exact values of the axes, `original` the data image they started from. Frames may be
    smaller than the picture; the canvas then says so while it draws them. Values must be those that were reported,
    unless `revision` changes: then the browser adopts these.
    """
    payload = pack(
        axes,
        picture,
        revision=revision,
        unit=unit,
        original=original,
        cells=cells,
        caption=caption,
        fold_label=fold_label,
    )
    # Streamlit returns a component's state only if a callback is named for it.
    _mount(
        key=key,
        data=payload,
        on_moved_change=lambda: None,
        on_named_change=lambda: None,
        on_picked_change=lambda: None,
    )


def reported(key: str) -> Event:
    """What the canvas of this key last reported, known before it is drawn in this run."""
    state = st.session_state.get(key)
    return _event(state if isinstance(state, dict) else {})


def pack(
    axes: Sequence[Axis],
    picture: np.ndarray,
    *,
    revision: int,
    unit: str,
    original: np.ndarray | None = None,
    cells: Cells | None = None,
    caption: str = "decoded",
    fold_label: str = "",
) -> bytes:
    """One payload, as `packet` says.

    Raises ValueError for pictures of a wrong shape, for ids that are not unique, and for more than LIMIT bytes.
    """
    if picture.ndim != 3 or picture.shape[2] not in (1, 3):
        raise ValueError(f"picture: expected (h, w, 1) or (h, w, 3), got {picture.shape}")
    if len({axis.id for axis in axes}) != len(axes):
        raise ValueError(f"axes: ids must differ, got {[axis.id for axis in axes]}")
    packet = Packet()

    def put(what: str, array: np.ndarray | None, *lead: int) -> dict[str, Any] | None:
        if array is not None:
            inner = array.shape[len(lead) :]
            right = array.shape[: len(lead)] == lead and len(inner) == 3 and inner[2] == picture.shape[2]
            if not right or array.dtype != np.uint8:
                raise ValueError(f"{what}: expected uint8 {(*lead, *picture.shape)}, got {array.dtype} {array.shape}")
        return packet.put(array)

    header = {
        "revision": revision,
        "unit": unit,
        "caption": caption,
        "fold": fold_label,
        "cells": None if cells is None else asdict(cells),
        "picture": put("picture", picture),
        "original": put("original", original),
        "axes": [
            {
                "id": axis.id,
                "label": axis.label,
                "stops": [float(stop) for stop in axis.stops],
                "value": float(axis.value),
                "columns": [int(column) for column in axis.columns],
                "frames": put(f"frames of {axis.id}", axis.frames, len(axis.stops)),
                "strip": put(f"strip of {axis.id}", axis.strip, len(axis.columns)),
                "home": axis.home,
                "note": axis.note,
                "name": axis.name,
                "nameable": axis.nameable,
                "band": None if axis.band is None else [float(edge) for edge in axis.band],
                "folded": axis.folded,
                "names": list(axis.names),
            }
            for axis in axes
        ],
    }
    sizes = {axis.id: sum(a.nbytes for a in (axis.frames, axis.strip) if a is not None) for axis in axes}
    if packet.size > LIMIT and any(sizes.values()):
        raise ValueError(f"pictures: {packet.size:,} bytes, limit {LIMIT:,}; send fewer frames ({sizes})")
    return packet.sealed(header)


def _event(raw: Mapping[str, Any]) -> Event:
    moved, named = raw.get("moved") or {"values": {}, "wanted": "", "revision": None}, raw.get("named")
    picked = raw.get("picked")
    return Event(
        {str(axis): float(value) for axis, value in moved["values"].items()},
        str(moved["wanted"]),
        moved["revision"],
        (str(named["axis"]), str(named["name"])) if named else None,
        (int(picked["at"]), int(picked["revision"])) if picked else None,
    )
