"""The colours of classes are told apart, whoever looks and on whichever theme."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest

from explorer import figures

CONES = {  # Machado et al. 2009, severity 1
    "full": np.eye(3),
    "protanopia": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                            [-0.003882, -0.048116, 1.051998]]),
    "deuteranopia": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                              [-0.011820, 0.042940, 0.968881]]),
}  # fmt: skip
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)


def linear(colours: Sequence[str]) -> np.ndarray:
    values = np.array([[int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)] for colour in colours])
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


@pytest.mark.parametrize("vision", CONES)
def test_classes_are_told_apart(vision: str) -> None:
    xyz = np.clip(linear(figures.CLASSES) @ CONES[vision].T, 0, 1) @ XYZ.T / np.array([0.95047, 1, 1.08883])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    lab = np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], -1)
    assert len(lab) == 10
    assert min(np.linalg.norm(one - other) for one, other in itertools.combinations(lab, 2)) > 15  # ΔE 1976


def test_classes_are_seen_on_both_themes() -> None:
    bright = linear(figures.CLASSES) @ XYZ[1]
    dark = float((linear(["#0E1117"]) @ XYZ[1])[0])
    assert (1.05 / (bright + 0.05) > 1.7).all() and ((bright + 0.05) / (dark + 0.05) > 2.9).all()
