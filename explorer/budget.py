"""How many stops an axis gets, where its pictures must fit into a number of bytes."""

from __future__ import annotations


def stops_within(budget: int, frame_bytes: int) -> int:
    """How many stops an axis gets: 41 or 21 where the frames at all of them fit into `budget` bytes, else 11."""
    return next((count for count in (41, 21) if count * frame_bytes <= budget), 11)
