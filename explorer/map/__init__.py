"""The map: points of a latent space on a plane, to be moved over, coloured, and selected from.

The points travel once, in the packet of `draw`. What a person then asks for, by resting the pointer or by selecting,
comes back through `feed`, a component without a face, in packets of its own: the points need not be sent again.

    report = reported(key)
    …what report.asked asks for, what report.chosen selects…
    draw(pack_points(…), key=key)
    feed(pack_peek(…), key=f"{key}/peek")
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import streamlit as st
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from explorer.figures import AMOUNTS, CLASSES
from explorer.live import LIMIT
from explorer.packet import Packet
from explorer.parts import parts, scripts

if TYPE_CHECKING:
    from explorer.cloud import Cloud, Column

GRID_LIMIT = 2**20  # bytes of decodes of one view
PER_POINT = 16  # bytes of a point besides its thumbnail

_SCRIPTS = ("camera", "cloud", "scatter", "legend", "peek", "over", "looks", "talking", "pointing", "map")
_map = st.components.v2.component("latent_map", **parts("map", "map", _SCRIPTS))
_feed = st.components.v2.component("latent_map_feed", html="<span></span>", js=scripts("map", ["feed"]))

Place = tuple[float, float]


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    revision: str


class Chosen(_Message):
    """What a person selected: the points inside a polygon, one point, or none. Classes that the legend hides are not
    chosen.
    """

    kind: Literal["polygon", "point", "none"]
    number: int  # tells one selection from the next
    hidden: list[int] = Field(default=[], max_length=10_000)
    levels: str = "class"  # the column that these are levels of
    polygon: list[Place] = Field(default=[], max_length=1_000)
    point: int = Field(default=-1, ge=-1)


class Asked(_Message):
    """What a person looks at: the place under the pointer, the point nearest to it, and what part of the map is in
    sight (left, bottom, right, top).
    """

    point: int = Field(ge=-1)
    place: Place | None
    view: tuple[float, float, float, float]


@dataclass(frozen=True)
class Report:
    """What the map last reported of this revision."""

    chosen: Chosen | None
    asked: Asked | None


@dataclass(frozen=True)
class Mark:
    """A place of something that is no point of the cloud."""

    place: np.ndarray  # (2,)
    text: str


def draw(packet: bytes, *, key: str) -> None:
    """Draw the map; `reported` tells what a person did with it."""
    # Streamlit returns a component's state only if a callback is named for it.
    _map(key=key, data=packet, on_chosen_change=lambda: None, on_asked_change=lambda: None)


def feed(packet: bytes, *, key: str) -> None:
    """Bring the map an answer."""
    _feed(key=key, data=packet)


def reported(key: str, revision: str, count: int) -> Report:
    """What the map of this key last reported of `count` points of this revision; what cannot be that is left out."""
    state = st.session_state.get(key)
    return read(state if isinstance(state, dict) else {}, revision, count)


def read(raw: Mapping[str, Any], revision: str, count: int) -> Report:
    """The same of what a browser sent."""

    def of(kind: type[Any], what: str) -> Any:
        try:
            message = kind.model_validate(raw.get(what))
        except ValidationError:
            return None
        return message if message.revision == revision and message.point < count else None

    return Report(of(Chosen, "chosen"), of(Asked, "asked"))


def pack_points(
    cloud: Cloud,
    places: np.ndarray,
    colour: Column | None,
    *,
    key: str,
    points: str,
    revision: str,
    thumbnails: np.ndarray | None,
    about: str,
    behind: bool = False,
) -> bytes:
    """The points and how they are drawn. `points` names the points and `revision` also their places (n, 2), so that the
    browser shows new places of the same points as a move; `behind` draws decodes behind them. The legend's classes are
    the levels of `colour`, where it has some.

    Raises ValueError for more than LIMIT bytes.
    """
    packet = Packet()

    def put(values: np.ndarray, kind: type[np.generic]) -> dict[str, Any] | None:
        flat = np.ascontiguousarray(values, kind)
        return packet.put(flat.view(np.uint8).reshape(-1))

    levels = next((name for name, column in cloud.columns.items() if column is colour and column.levels), "class")
    known = cloud.columns.get(levels)
    header = {
        "key": key,
        "points": points,
        "revision": revision,
        "about": about,
        "empty": f"There are no {cloud.run.kind}s in this split. Choose the other one.",
        "kind": cloud.run.kind,
        "noun": f"{cloud.split} {cloud.run.kind}",
        "stand_in": cloud.images is None,
        "asks": cloud.images is not None or cloud.can_decode,
        "decodes": cloud.can_decode and len(cloud) > 0,
        "behind": behind,
        "extent": float(np.ptp(places, axis=0).max()) if len(places) else 0.0,
        "palette": CLASSES,
        "anchors": AMOUNTS,
        "places": put(places, np.float32),
        "ids": put(cloud.ids, np.uint32),
        "classes": known and {
            "name": levels, "title": known.title, "levels": known.levels, "values": put(known.values, np.uint16),
        },
        "labels": _labels(known, places) if known else [],
        "amount": None if colour is None or colour.levels or not len(places) else {
            "title": colour.label, "values": put(np.nan_to_num(colour.values), np.float32), **_range(colour.values),
        },
        "thumbnails": packet.put(thumbnails),
    }  # fmt: skip
    if packet.size > LIMIT:
        raise ValueError(f"points: {packet.size:,} bytes, limit {LIMIT:,}; send smaller thumbnails")
    return packet.sealed(header)


def room_for_thumbnails(count: int) -> int:
    """How many bytes the pictures of that many points may have beside them."""
    return LIMIT - PER_POINT * count


def _labels(known: Column, places: np.ndarray) -> list[dict[str, Any]]:
    """Each class's name where its middle is: the medians, which do not follow strays."""
    found = []
    for level, name in enumerate(known.levels):
        own = places[known.values == level]
        if len(own):
            found.append({"level": level, "text": name, "place": np.median(own, axis=0).tolist()})
    return found


def _range(values: np.ndarray) -> dict[str, Any]:
    """Where the scale ends: at the 1st and 99th percentile where a few values would take most of it."""
    finite = np.nan_to_num(values.astype(np.float64))
    least, low, high, most = (float(value) for value in np.percentile(finite, [0, 1, 99, 100]))
    cut = most - least > 1.5 * (high - low)
    return {"low": low if cut else least, "high": high if cut else most, "cut": cut}


def pack_marks(
    *, key: str, revision: str, mask: np.ndarray | None, chosen: int = -1, marks: Sequence[Mark] = ()
) -> bytes:
    """What is selected, (n,) bool or None, the point that was clicked, and places of what is no point."""
    packet = Packet()
    return packet.sealed({
        "key": key, "topic": "marks", "revision": revision, "chosen": chosen,
        "mask": None if mask is None else packet.put(np.packbits(mask)),
        "marks": [{"place": mark.place.astype(float).tolist(), "text": mark.text} for mark in marks],
    })  # fmt: skip


def pack_peek(
    asked: Asked,
    *,
    key: str,
    image: np.ndarray | None,
    decode: np.ndarray | None,
    here: np.ndarray | None,
    distance: float = 0.0,
    off: bool = False,
) -> bytes:
    """Pictures (h, w, c) uint8 of what was asked for: the point's image and decode, and the decode of the place, with
    the distance of its latent to the nearest one of the data.
    """
    packet = Packet()
    return packet.sealed({
        "key": key, "topic": "peek", "revision": asked.revision, "point": asked.point, "place": asked.place,
        "image": packet.put(image), "decode": packet.put(decode), "here": packet.put(here),
        "distance": distance, "off": off,
    })  # fmt: skip


def pack_grid(
    asked: Asked, *, key: str, rows: int, pictures: np.ndarray, distances: np.ndarray, off: np.ndarray
) -> bytes:
    """Decodes of the view in `rows` rows from the top left, (n, h, w, c) uint8, and of each the distance of its latent
    to the nearest one of the data, and whether its place is off the data.

    Raises ValueError for more than GRID_LIMIT bytes.
    """
    if pictures.nbytes > GRID_LIMIT:
        raise ValueError(f"grid: {pictures.nbytes:,} bytes, limit {GRID_LIMIT:,}; send smaller pictures")
    packet = Packet()
    return packet.sealed({
        "key": key, "topic": "grid", "revision": asked.revision, "view": asked.view, "rows": rows,
        "columns": len(pictures) // rows, "pictures": packet.put(pictures),
        "distances": distances.astype(float).round(4).tolist(), "off": off.tolist(),
    })  # fmt: skip
