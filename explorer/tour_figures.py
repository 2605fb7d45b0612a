"""The tour's interactive figures: one number that a person moves -> a figure, and a sentence that says the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from explorer import figures, laboratory, toys

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


@dataclass(frozen=True)
class Interactive:
    """A slider and what it draws."""

    label: str
    low: float
    high: float
    start: float
    step: float
    help: str
    draw: Callable[[float], tuple[Figure, str]]


def bounds(share: float) -> tuple[Figure, str]:
    """The importance-weighted bound against S; q is the prior at share 0 and the exact posterior at 1."""
    model = toys.Evidence(0.5 * share, 1 - 0.5 * share)
    samples = np.array([1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000])
    values = model.bounds(samples.tolist())
    traces = [
        figures.line(samples, values, "bound", figures.BLUE, mode="lines+markers"),
        figures.level(samples, model.exact, "log p(x)", figures.VERMILION),
    ]
    drawn = figures.figure(
        traces,
        "The bound rises to log p(x)",
        "draws S",
        "nats",
        xaxis={"type": "log", "dtick": 1},
        yaxis={"range": [-2, -1.45]},
    )
    return drawn, minus(
        f"log p(x) {model.exact:.3f} nats, ELBO {values[0]:.3f}, gap {model.gap:.3f}; KL to the prior "
        f"{model.to_prior:.3f}"
    )


def linear(s2: float) -> tuple[Figure, str]:
    """The ELBO of a VAE with two linear maps against its encoder's slope, for a variance s² of q."""
    model = laboratory.LinearVAE(s2=s2)
    slopes = np.linspace(0, 1.5, 301) / model.std
    elbo = model.best(slopes)
    best, top = model.optimum[0], float(model.elbo(model.optimum))  # which lies between two of the slopes
    lecture = laboratory.LinearVAE()  # with s² = 1
    slope, printed = lecture.printed[0], float(lecture.elbo(lecture.printed))
    traces = [
        figures.line(slopes, elbo, "ELBO, best b, c, d", figures.BLUE),
        figures.level(slopes, model.evidence, "E log p(x)", figures.VERMILION),
        figures.point(best, top, "highest", figures.BLUE),
        figures.point(slope, printed, "a = 1/σ, c = σ, s² = 1", figures.ORANGE, "x"),
    ]
    title = f"ELBO of the linear VAE, μ = {model.mean:g}, σ = {model.std:g}"
    drawn = figures.figure(traces, title, "encoder's slope a", "nats", yaxis={"range": [-3.6, -1.9]})
    return drawn, minus(
        f"highest ELBO {top:.3f} nats at a = {best:.3f}, {model.evidence - top:.3f} below "
        f"E log p(x); the point with a = 1/σ is {model.evidence - printed:.3f} below"
    )


def water(beta: float) -> tuple[Figure, str]:
    """Reverse water-filling: what a linear β-VAE keeps of each eigenvalue."""
    best = toys.water_filling(beta)
    names = [f"λ{i}" for i in range(1, len(best.eigenvalues) + 1)]
    traces = [
        figures.bars(names, best.lost, "lost", figures.ORANGE, "/"),
        figures.bars(names, best.kept, "kept", figures.BLUE),
    ]
    title = f"What passes at β = {beta:g}, v = {toys.NOISE:g}"
    drawn = figures.figure(traces, title, "eigenvalue", "variance", barmode="stack", yaxis={"range": [0, 9.5]})
    active = int((best.kept > 0).sum())
    return drawn, (
        f"{active} active dimension{'s' * (active != 1)}, rate {best.rate:.2f} nats, distortion {best.distortion:.2f} "
        "squared distance"
    )


def quantiser(bits: float) -> tuple[Figure, str]:
    """2^bits codes for a normal variable, how often each is used, and what they cost and lose."""
    best = toys.quantiser(2 ** int(bits))
    x = np.linspace(-4, 4, 161)
    used = figures.bars(best.codes, best.shares, "share of a code", figures.BLUE)
    traces = [
        {**used, "width": 0.06},
        figures.line(x, np.exp(toys.normal(x, 0.0, 1.0)), "density of z", figures.VERMILION),
    ]
    title = f"{len(best.codes)} codes for a normal variable"
    drawn = figures.figure(
        traces, title, "z", "share of uses, and density", hovermode="closest", yaxis={"range": [0, 0.55]}
    )
    return drawn, (
        f"{bits:g} bit{'s' * (bits != 1)}, {bits * np.log(2):.3f} nats, where all codes are alike, and {best.rate:.2f} "
        f"bits by how often each is used; squared error {best.distortion:.4f}, "
        f"where {best.least_distortion:.4f} is the least of any code of that rate"
    )


def minus(text: str) -> str:
    """With minus signs in place of hyphens before digits."""
    return text.replace(" -", " −")


FIGURES = {
    "bounds": Interactive(
        "q, from prior to posterior",
        0.0,
        1.0,
        0.0,
        0.05,
        "0: q is the prior. 1: q is the exact posterior. Between them, its mean and variance are blended.",
        bounds,
    ),
    "linear": Interactive(
        "Variance s² of q", 0.1, 1.5, 1.0, 0.1, "The lecture has 1; at ½ the best ELBO reaches E log p(x).", linear
    ),
    "quantiser": Interactive(
        "log₂ K", 1, 5, 2, 1, "Each step doubles the codes, and costs one bit more at every place.", quantiser
    ),
    "water": Interactive("β", 0.5, 20.0, 4.0, 0.5, "Weight of the KL; the level of the water is βv.", water),
}
