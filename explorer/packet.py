"""What a component of this project is handed: header length (u32, little endian), JSON header, pixels.

Streamlit passes bytes through at the top level of a component's data only, so that everything travels as one block.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np


class Packet:
    """Arrays put one after another, and a header that says where each is."""

    def __init__(self) -> None:
        self.size = 0  # bytes of all arrays
        self._chunks: list[bytes] = []

    def put(self, array: np.ndarray | None) -> dict[str, Any] | None:
        """Where an array of uint8 will be found and its shape, for the header; None stays None."""
        if array is None:
            return None
        assert array.dtype == np.uint8, array.dtype
        self._chunks.append(array.tobytes())
        self.size += array.nbytes
        return {"offset": self.size - array.nbytes, "shape": array.shape}

    def sealed(self, header: Mapping[str, Any]) -> bytes:
        """The whole packet. Raises ValueError for a header with a number that is not finite."""
        head = json.dumps(header, allow_nan=False).encode()
        return b"".join([struct.pack("<I", len(head)), head, *self._chunks])
