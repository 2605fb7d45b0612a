"""What the bounds on log p(x) of a picture are worth, and which pictures they are loosest for. No screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import numpy as np

import trainer
from explorer.opened import Run, Track, seeded

if TYPE_CHECKING:  # it would load torch
    from torch import Tensor

    from trainer import Bound, Density, Gaps

RUNGS = (1, 5, 50)  # the S of the bounds before the last one
DRAWS = (50, 500, 5000)  # what can be asked for
AT_ONCE = 2**19  # pixels that are decoded together, so that a bar moves
RANKED, RANKING = 100, 50  # test images that are ranked, and the S of their bounds
BETAS = (1.0, 2.0, 4.0, 8.0, 20.0)
MEASURED = 2000  # training images at most that a linear model is measured on


@dataclass(frozen=True)
class Rung:
    """One bound of one picture."""

    samples: int  # S
    value: float  # nats
    error: float  # its Monte-Carlo standard error; nan where too few draws are effective to tell
    ess: float  # effective sample size, 1 … S


@dataclass(frozen=True)
class Bounds:
    """Bounds of growing S by draws of q(z|x) and by draws of the prior, and what is exact."""

    posterior: tuple[Rung, ...]
    prior: tuple[Rung, ...]  # empty where the model is given what is visible
    exact: float | None  # nats


@dataclass(frozen=True)
class Ranked:
    """Test images by how loose their ELBO is, tightest first."""

    numbers: np.ndarray  # (n,) of the images
    gaps: np.ndarray  # (n,) L_S − ELBO, or log p(x) − ELBO where that is known; nats
    exact: bool


@dataclass(frozen=True)
class Row:
    """One β: the best linear model there, and the objective of the model on screen."""

    beta: float
    active: int
    rate: float
    distortion: float
    objective: float
    own: float  # E log p(x|z) − β KL, nats


@dataclass(frozen=True)
class Subspace:
    """A linear model beside what the training data's covariance allows."""

    angles: np.ndarray  # (k,) degrees, largest first
    table: tuple[Row, ...]
    active: int
    rate: float
    distortion: float
    images: int  # that it was measured on
    trained: float | None  # β in training; None where that was of another objective


def usual_draws(run: Run) -> int:
    """How many draws take a second or two."""
    return 500 if getattr(run.model.options, "net", "mlp") == "conv" else 5000


def is_linear(run: Run) -> bool:
    """Whether the model is linear, so that the data's eigenvalues say what is best."""
    return cast("Density", run.model).linear() is not None


def sees_parts(run: Run) -> bool:
    """Whether the model is given what is visible, so that p(x) is p(x | visible)."""
    return any(isinstance(part, trainer.Visible) for part in run.model.space.values())


def setting(run: Run) -> str:
    """What is bounded, and all that must be the same for two bounds to compare."""
    if run.model.labelled:  # no class is told here: it is inferred with z
        return f"Bounds on log p(x) in nats, the class inferred; p(x|z, y): {run.model.family}; draws by seed 0."
    parts = run.model.facts().get("p(x|z)", run.model.family)
    return f"Bounds on {run.model.bounded} in nats; p(x|z): {parts}; draws by seed 0."


def has_gaps(run: Run, image: np.ndarray) -> bool:
    """Whether q(z|x) is a Gaussian with a diagonal covariance, whose two gaps can be told apart."""
    with seeded():
        return cast("Density", run.model).diagonal(_tensor(image)) is not None


def drawn(run: Run, seed: int) -> np.ndarray:
    """A sample of the model: z from the prior, and a draw from p(x|z), (h, w, c) in [0, 1]."""
    import torch

    with seeded(seed):
        x = cast("Density", run.model).draw(run.sample(seed), torch.Generator().manual_seed(seed))
        return x[0].permute(1, 2, 0).float().numpy()


def bounds(run: Run, image: np.ndarray, samples: int, track: Track) -> Bounds:
    """All bounds of a picture (h, w, c) in [0, 1], from `samples` draws of each kind."""
    import torch

    model, x = cast("Density", run.model), _tensor(image)
    sizes = [size for size in RUNGS if size < samples] + [samples]
    with seeded():
        ours, naive = (torch.Generator().manual_seed(0) for _ in range(2))
        own = trainer.bounds(model, x, sizes, ours, {}, track, AT_ONCE)
        prior = [] if sees_parts(run) else trainer.prior_bounds(model, x, sizes, naive, track, AT_ONCE)
        known = trainer.exact_evidence(model, x)
    return Bounds(_rungs(own), _rungs(prior), None if known is None else float(known))


def _rungs(found: Sequence[Bound]) -> tuple[Rung, ...]:
    return tuple(Rung(each.samples, float(each.value), float(each.error), float(each.ess)) for each in found)


def gaps(run: Run, image: np.ndarray, samples: int, track: Track) -> Gaps:
    """The amortisation gap and the approximation gap of a picture."""
    return trainer.measure_gaps(cast("Density", run.model), _tensor(image), samples, track=track)


def ranked(run: Run, track: Track) -> Ranked:
    """The first test images, or the stand-ins for them, by how far their ELBO is from the best that is known."""
    import torch

    count = min(RANKED, run.numbers)
    found, exact = [], False
    for number in track(range(count)):
        model, x = cast("Density", run.model), _tensor(run.picture(number).astype(np.float32) / 255)
        with seeded(number):
            bound = trainer.importance_bound(model, x, RANKING, torch.Generator().manual_seed(number))
            known = trainer.exact_evidence(model, x)
        exact = known is not None
        found.append(float((bound.value if known is None else known) - bound.mean_log))
    order = np.argsort(found, kind="stable")
    return Ranked(order, np.array(found)[order], exact)


def subspace(run: Run, track: Track) -> Subspace:
    """A linear model, on the training data, beside the optimum that their eigenvalues give."""
    import torch

    model = cast("Density", run.model)
    linear = model.linear()
    assert linear
    images = run.checkpoint.config.data.load("train")
    (part,) = run.gaussian.values()
    latents = min(part.dims, run.model.pixels)
    spectrum = trainer.principal_components(images, latents, torch.device("cpu"), track)
    count = min(MEASURED, len(images))
    with seeded():
        terms = run.model.terms(images.batch(torch.arange(count)))
        kl = terms["kl/z"].mean(0)
        rate, expected = float(kl.sum()), -float(terms["reconstruction"].mean())
        active = kl > trainer.ACTIVE  # a column that tells nothing points anywhere
        angles = replace(linear, weight=linear.weight[:, active]).angles(spectrum.basis[:, : int(active.sum())])
    var = float(linear.var.detach())
    optima = trainer.water_filling(spectrum, var, BETAS)
    distortion = -2 * var * (expected + run.model.pixels / 2 * np.log(2 * np.pi * var))  # log p(x|z), solved for it
    table = tuple(Row(**vars(each), own=expected - each.beta * rate) for each in optima)
    return Subspace(angles.numpy(), table, int(active.sum()), rate, float(distortion), count, model.kl_weight)


def _tensor(image: np.ndarray) -> Tensor:
    import torch

    return torch.from_numpy(np.ascontiguousarray(image, np.float32)).permute(2, 0, 1)[None]
