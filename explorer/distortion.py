"""Rate against distortion: what codes cost and what they lose, and the best that a linear Gaussian model can do.

    rate Σ_i ½ ln(λ_i / t)₊,   distortion Σ_i min(λ_i, t)       reverse water-filling over the level t

λ are the eigenvalues of the images' covariance; a linear (β-)VAE whose decoder has variance v is at t = βv. No screen.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

import trainer
from explorer import figures
from explorer.comparing import Measured

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from trainer import Images

NATS, SQUARED = "nats", "squared error"
IMAGES = 10_000  # at most, of the test split: those that the terms were measured on
LARGEST = 4096  # numbers on a side of the matrix whose eigenvalues are taken
NAMED = 12  # points that a legend names; of more it would take the room of the plane, and the pointer names them
SHAPES = ("circle", "diamond", "square", "triangle-up", "cross", "x", "star", "pentagon")


@dataclass(frozen=True)
class Point:
    """One checkpoint: means over test images, with their standard errors."""

    name: str
    rate: float  # nats
    rate_error: float
    distortion: float  # nats, −E log p(x|z), or E‖x − g(z)‖²
    distortion_error: float


def planes(found: Sequence[Measured]) -> dict[str, list[Measured]]:
    """Checkpoints that share a plane, those of one data set and one likelihood, the fullest plane first."""
    shared: dict[str, list[Measured]] = {}
    for each in found:
        if each.bounded and each.unit == "nats":
            shared.setdefault(f"{each.data}: {each.bounded}, {each.family}", []).append(each)
    return dict(sorted(shared.items(), key=lambda item: (-len(item[1]), item[0])))


def points(found: Sequence[Measured], unit: str) -> list[Point]:
    """Where checkpoints lie, by name, beta2 before beta10. In squared error only those whose p(x|z) has one variance σ²
    for all pixels: −log p(x|z) = ‖x − g‖² / 2σ² + D/2 ln 2πσ².
    """
    placed = []
    for each in sorted(found, key=lambda each: _natural(each.name)):
        (rate, rate_error), (distortion, error) = each.terms["kl"], each.terms["reconstruction"]
        if unit == SQUARED:
            if each.std is None:
                continue
            var, pixels = each.std**2, math.prod(each.checkpoint.config.shape)
            distortion = 2 * var * (distortion - pixels / 2 * math.log(2 * math.pi * var))
            error *= 2 * var
        placed.append(Point(each.name, rate, rate_error, distortion, error))
    return placed


def _natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts numbers in names by their value."""
    return [(int(part) if part.isdecimal() else 0, part) for part in re.split(r"([0-9]+)", name)]


def spectrum(images: Images) -> np.ndarray | None:
    """(d,) the eigenvalues of the test images' covariance, largest first; None where that takes too large a matrix."""
    import torch

    rows = torch.arange(min(IMAGES, len(images)))
    if min(len(rows), math.prod(images.shape)) > LARGEST:
        return None
    x = torch.cat([images.batch(some) for some in rows.split(1000)]).flatten(1).double()
    centred = x - x.mean(0)
    square = centred.T @ centred if centred.shape[0] >= centred.shape[1] else centred @ centred.T  # the same λ > 0
    return torch.linalg.eigvalsh(square / len(rows)).clamp_min(0).flip(0).numpy()


def curve(eigenvalues: np.ndarray, most: float, count: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Rate and distortion (k,) of the best linear models, from no rate at all to about `most` nats."""
    import torch

    def at(levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rate, distortion = trainer.rate_distortion(torch.from_numpy(eigenvalues.copy()), torch.from_numpy(levels))
        return rate.numpy(), distortion.numpy()

    low, high = eigenvalues[0] * 1e-12, eigenvalues[0]
    for _ in range(60):  # the level at which the rate is `most`, by bisection of its logarithm
        middle = math.sqrt(low * high)
        low, high = (middle, high) if at(np.array([middle]))[0][0] > most else (low, middle)
    return at(np.geomspace(eigenvalues[0], high, count))


def figure(placed: Sequence[Point], unit: str, eigenvalues: np.ndarray | None) -> Figure:
    """The plane: a point per checkpoint, with the linear model's curve, or the line of the best ELBO in nats."""
    most = 1.15 * max(point.rate for point in placed)
    named = len(placed) <= NAMED
    traces = [_mark(point, number) | {"showlegend": named} for number, point in enumerate(placed)]
    if unit == SQUARED and eigenvalues is not None:
        rate, distortion = curve(eigenvalues, most)
        traces.insert(0, figures.line(rate, distortion, "best linear model", figures.SKY))
    elif unit == NATS:
        best = min(placed, key=lambda point: point.rate + point.distortion)
        ends, cost = np.array([0, most]), best.rate + best.distortion
        dashed = {"color": "#888", "width": 1, "dash": "dash"}
        title = f"ELBO {-cost:.1f} nats, that of {best.name}".replace("-", "−", 1)
        traces.insert(0, figures.line(ends, cost - ends, title, "#888", line=dashed, hoverinfo="skip"))
    across = "rate: KL(q(z|x) ‖ p(z)), nats per image"
    up = "distortion: −E log p(x|z), nats" if unit == NATS else "distortion: E‖x − g(z)‖²"
    return figures.figure(traces, "Rate and distortion, means over test images", across, up, height=480,
                          hovermode="closest", showlegend=True, xaxis={"rangemode": "tozero"})  # fmt: skip


def _mark(point: Point, number: int) -> dict[str, object]:
    colour = figures.CLASSES[number % len(figures.CLASSES)]
    bars = {"thickness": 1, "width": 3}
    return figures.point(point.rate, point.distortion, point.name, colour, SHAPES[number % len(SHAPES)]) | {
        "error_x": {"type": "data", "array": [point.rate_error], **bars},
        "error_y": {"type": "data", "array": [point.distortion_error], **bars},
        "hovertemplate": f"{point.name}: rate %{{x:.2f}} ± {point.rate_error:.2f} nats, distortion %{{y:.2f}} ± "
        f"{point.distortion_error:.2f}<extra></extra>",
    }
