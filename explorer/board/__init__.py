"""The board: an image, the grid of its codes, their decode and the difference, over a palette of all codes.

The palette is an axis: the browser is handed what the image becomes for every code in the chosen cells, and shows the
one under the pointer without asking. It keeps its own undo. Python hears, once and when a change is made, how the grids
and the choice of cells then are, and answers with their decodes and with the candidates from there.

    edited = reported(key, part, grids)
    …decode edited.grids, find candidates for edited.cells…
    board(Board(…), key=key)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st
from pydantic import BaseModel, ConfigDict, ValidationError

from explorer.live import LIMIT
from explorer.packet import Packet
from explorer.parts import parts

if TYPE_CHECKING:
    from explorer.codes import Box, Candidates

_SCRIPTS = ("decodes", "painting", "edits", "choosing", "palette", "stage", "board")
_mount = st.components.v2.component("code_board", **parts("board", "board", _SCRIPTS))


@dataclass(frozen=True)
class Board:
    """What is shown. Pictures are (…, h, w, c) uint8; of a pair of images, the first is edited."""

    starts: np.ndarray  # (1 or 2, rows, columns) the grids that editing began with
    grids: np.ndarray  # the same, as they are
    cells: Sequence[int]  # the chosen cells of the first grid
    started: np.ndarray  # (1 or 2, h, w, c) decodes of the starts
    pictures: np.ndarray  # and of the grids
    originals: Sequence[np.ndarray | None]  # the images themselves, where there are any
    candidates: Candidates
    palette: np.ndarray  # (n,) codes, in the order in which they are offered
    usage: np.ndarray  # (n,) the share of the data's cells that hold each
    tiles: np.ndarray  # (n, height, width, c) what each looks like
    own: Sequence[Box]  # per cell, the pixels that it stands for
    reach: Sequence[Box]  # per cell, the pixels that it can change
    revision: int  # changes with each new start: then the browser takes these grids for its own

    @property
    def is_line(self) -> bool:
        """Whether the images are waveforms."""
        return self.pictures.shape[1] == 1

    def pack(self) -> bytes:
        """One payload. Raises ValueError for more than LIMIT bytes of candidates."""
        if self.candidates.pictures.nbytes > LIMIT:
            raise ValueError(f"candidates: {self.candidates.pictures.nbytes:,} bytes, limit {LIMIT:,}; send fewer")
        packet = Packet()
        return packet.sealed({
            "revision": self.revision,
            "line": self.is_line,
            "rows": self.grids.shape[1],
            "columns": self.grids.shape[2],
            "starts": _flat(self.starts),
            "grids": _flat(self.grids),
            "cells": list(self.cells),
            "started": packet.put(self.started),
            "pictures": packet.put(self.pictures),
            "originals": [packet.put(image) for image in self.originals],
            "candidates": {
                "codes": self.candidates.codes.tolist(),
                "box": self.candidates.box,
                "pictures": packet.put(self.candidates.pictures),
            },
            "palette": self.palette.tolist(),
            "usage": self.usage.round(6).tolist(),
            "tiles": packet.put(self.tiles),
            "own": list(self.own),
            "reach": list(self.reach),
        })  # fmt: skip


class _Report(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    grids: list[list[int]]
    cells: list[int]
    revision: int


@dataclass(frozen=True)
class Edited:
    """How a person left the grids, (1 or 2, rows, columns), and which cells of the first are chosen."""

    grids: np.ndarray
    cells: list[int]


def board(shown: Board, *, key: str) -> None:
    """Draw the board; `reported` tells what a person did with it."""
    # Streamlit returns a component's state only if a callback is named for it.
    _mount(key=key, data=shown.pack(), on_edited_change=lambda: None)


def reported(key: str, starts: np.ndarray, size: int, revision: int) -> Edited | None:
    """What the board of this key last reported of these starts, (1 or 2, rows, columns); None where it did not, or
    where that is no choice of cells and no grids of codes 0 … size−1.
    """
    state = st.session_state.get(key)
    return read(state.get("edited") if isinstance(state, dict) else None, starts, size, revision)


def read(raw: Any, starts: np.ndarray, size: int, revision: int) -> Edited | None:
    """The same of what a browser sent."""
    try:
        report = _Report.model_validate(raw)
    except ValidationError:
        return None
    places = starts[0].size
    codes = [len(grid) == places and all(0 <= code < size for code in grid) for grid in report.grids]
    cells = bool(report.cells) and all(0 <= cell < places for cell in report.cells)
    if report.revision != revision or len(codes) != len(starts) or not all([*codes, cells]):
        return None
    return Edited(np.array(report.grids, np.int64).reshape(starts.shape), sorted(set(report.cells)))


def _flat(grids: np.ndarray) -> list[list[int]]:
    return [grid.flatten().tolist() for grid in grids]
