"""Numbers as they are written in an address, read and checked. No screen."""

from __future__ import annotations

import re

from explorer.starts import DIGITS, blended

FARTHEST = 100.0  # of a latent from 0; a decoder says nothing beyond, and overflows in the end


def numbers(part: str, text: str, dims: int) -> list[float]:
    """The latent of one part. Raises ValueError unless it is that many numbers that a decoder can take."""
    texts = text.split(",")
    try:
        values = [float(value) for value in texts]
    except ValueError:
        values = []
    if len(values) != dims or not all(abs(value) <= FARTHEST for value in values):
        raise ValueError(f"{part} has {len(texts)} values, expected {dims} numbers from −{FARTHEST:g} to {FARTHEST:g}")
    return values


def probabilities(part: str, text: str, size: int) -> list[float]:
    """The class of one part, by its number or as the probabilities of all. Raises ValueError unless it is that."""
    if re.fullmatch("[0-9]{1,4}", text) and int(text) < size:
        return blended(size, int(text), int(text), 0.0)
    texts = text.split(",")
    try:
        values = [float(value) for value in texts]
    except ValueError:
        values = []
    if len(values) != size or not all(0 <= value <= 1 for value in values) or abs(sum(values) - 1) > 0.01:
        expected = f"a class 0 … {size - 1} or {size} probabilities whose sum is 1"
        raise ValueError(f"{part} came as “{text[:20]}”, expected {expected}")
    return values


def within(what: str, text: str, most: int) -> int:
    """A whole number of the address. Raises ValueError unless it is one from 0 to `most`."""
    number = int(text) if re.fullmatch("[0-9]{1,10}", text) else -1
    if not 0 <= number <= most:
        raise ValueError(f"{what} came as “{text[:20]}”, expected a whole number 0 … {most:,}")
    return number


def up_to(what: str, text: str, most: float) -> float:
    """A number of the address. Raises ValueError unless it is one from 0 to `most`."""
    number = float(text) if re.fullmatch(r"[0-9]{1,10}(\.[0-9]{1,10})?", text) else -1.0
    if not 0 <= number <= most:
        raise ValueError(f"{what} came as “{text[:20]}”, expected a number from 0 to {most:g}")
    return round(number, DIGITS)


def number(value: float) -> str:
    """A number as an address has it: no zeros at its end, and no sign before 0."""
    return f"{round(value, DIGITS) + 0.0:.{DIGITS}f}".rstrip("0").rstrip(".")
