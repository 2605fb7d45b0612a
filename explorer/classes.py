"""Models of a class y and a style z: the priors of classes, what is typical of them, and swaps. No screen.

Letters in shapes: k classes, d latent dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

import trainer
from explorer.opened import Run

if TYPE_CHECKING:
    from torch import Tensor

    from trainer import Latent


def fits(run: Run) -> bool:
    """Whether the latent is one class and one vector of real numbers."""
    return len(run.labels) == len(run.gaussian) == 1 and len(run.model.space) == 2


def parts(run: Run) -> tuple[str, str]:
    """The names of the class and of the vector."""
    return next(iter(run.labels)), next(iter(run.gaussian))


def prior(run: Run, y: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of p(z|y), each (…, d), for probabilities (…, k)."""
    import torch

    if isinstance(run.model, trainer.Conditional):
        mean, log_var = run.model.class_prior(y)
        return mean, (log_var / 2).exp()
    _, z = parts(run)
    zeros = torch.zeros(*y.shape[:-1], run.gaussian[z].dims)
    return zeros, zeros + 1


def priors(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of every class's prior, each (k, d)."""
    import torch

    with torch.inference_mode():
        mean, std = prior(run, torch.eye(run.labels[parts(run)[0]].size))
    return mean.numpy(), std.numpy()


def is_dependent(run: Run) -> bool:
    """Whether classes differ in their priors."""
    return any(np.ptp(each, axis=0).max() > 1e-6 for each in priors(run))


def means(run: Run, rows: Sequence[int]) -> tuple[np.ndarray, np.ndarray | None]:
    """(r, h, w, c) uint8 each: classes at the mean of their prior, and at the mean of their training images' latents,
    None where there are no labels to tell them by.
    """
    import torch

    y_part, z_part = parts(run)
    y = torch.eye(run.labels[y_part].size)[list(rows)]
    with torch.inference_mode():
        mean, _ = prior(run, y)
    found = posterior_means(run)
    learned = None if found is None else run.decode({y_part: y, z_part: torch.from_numpy(found[list(rows)])})
    return run.decode({y_part: y, z_part: mean}), learned


def posterior_means(run: Run) -> np.ndarray | None:
    """(k, d) the mean z of each class's training images, where the data's classes are the model's."""
    means = run.summary.arrays.get("class_means")
    if means is None or len(means) != run.labels[parts(run)[0]].size:
        return None
    found = means[:, run.is_real].astype(np.float32)
    return found if np.isfinite(found).all() else None


@dataclass(frozen=True)
class Ellipses:
    """The classes' priors in the first two principal axes of their mixture, with all classes alike."""

    centres: np.ndarray  # (k, 2)
    outlines: np.ndarray  # (k, p, 2) one standard deviation from the centre
    learned: np.ndarray | None  # (k, 2) the means of the classes' training latents
    shares: np.ndarray  # (2,) of the mixture's variance


def ellipses(run: Run, points: int = 65) -> Ellipses:
    """The principal axes are those of the covariance of the mixture of the priors."""
    mean, std = priors(run)
    middle = mean.mean(0)
    covariance = np.cov(mean.T, bias=True).reshape(len(middle), -1) + np.diag((std**2).mean(0))
    variances, vectors = np.linalg.eigh(covariance)
    axes = vectors[:, ::-1][:, :2]  # (d, 2)
    if axes.shape[1] < 2:
        axes = np.concatenate([axes, np.zeros_like(axes)], axis=1)
    angles = np.linspace(0, 2 * np.pi, points)
    circle = np.stack([np.cos(angles), np.sin(angles)])  # (2, p)
    centres = (mean - middle) @ axes
    outlines = []
    for centre, each in zip(centres, std, strict=True):
        own, turns = np.linalg.eigh(axes.T @ np.diag(each**2) @ axes)
        outlines.append(centre + (turns @ (np.sqrt(np.maximum(own, 0))[:, None] * circle)).T)
    learned = posterior_means(run)
    shares = np.pad(variances[::-1][:2], (0, max(0, 2 - len(variances)))) / variances.sum()
    return Ellipses(centres, np.stack(outlines), None if learned is None else (learned - middle) @ axes, shares)


def swapped(run: Run, latent: dict[str, list[float]], relative: bool) -> Latent:
    """(k, …) latents: every class with the z of this one; or, `relative`, with the z that lies in the class's prior as
    this one does in the prior of its own most probable class.
    """
    import torch

    y_part, z_part = parts(run)
    found = run.tensors(latent)
    y, z = torch.eye(run.labels[y_part].size), found[z_part].expand(run.labels[y_part].size, -1)
    if relative:
        with torch.inference_mode():
            mean, std = prior(run, y)
            own = int(found[y_part].argmax())
            z = mean + std * ((z - mean[own]) / std[own])
    return {y_part: y, z_part: z}
