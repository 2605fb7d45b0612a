"""Ways from one image to another, and along an attribute, as pictures of one checkpoint. No screen."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

import trainer
from explorer import paths
from explorer.classes import prior as class_prior
from explorer.opened import Run
from explorer.paths import Attribute, Tell

STOPS = 33  # pictures of a path
EVERY = 4  # of them, one in so many stands in its row
STRAIGHT, SPHERICAL, DATA, METRIC = "Straight", "Spherical", "Through the data", "Shortest on screen"
KINDS = {
    STRAIGHT: "Equal steps in z",
    SPHERICAL: "Equal turns about the prior's mean, in its standard deviations: many dimensions lie on a shell",
    DATA: "From neighbour to neighbour among the latents of training images",
    METRIC: "The path whose images change least: a geodesic of the decoder's pull-back metric",
}
SHARES = np.linspace(0, 1, STOPS).round(4)
STRENGTHS = np.linspace(-2, 2, STOPS).round(4)
REST = "all others"


@dataclass(frozen=True)
class Route:
    """One way between two images, (k, …) each."""

    kind: str
    frames: np.ndarray  # (k, h, w, c) uint8
    density: np.ndarray  # (k,) log p(z) in nats; where a part is a class, log p(z|y)
    distance: np.ndarray  # (k,) to the nearest latent of the data, by its real numbers where it has any
    length: float  # how far the images move in all, in Euclidean distance
    settled: bool  # whether it is what its kind says; else the best that was found


def latents(run: Run) -> np.ndarray:
    """(n, d) the latents of training images that the summary holds."""
    return run.summary.arrays["points"].astype(np.float64)


def point_of(run: Run, latent: dict[str, list[float]]) -> np.ndarray:
    """(d,) a latent in plain numbers as a point."""
    return run.model.points(run.tensors(latent))[0].numpy().astype(np.float64)


def pictures(run: Run, path: np.ndarray) -> np.ndarray:
    """(k, h, w, c) uint8: the decodes of points (k, d)."""
    import torch

    return run.decode(run.model.from_points(torch.from_numpy(path).float()))


def route(run: Run, kind: str, a: np.ndarray, b: np.ndarray, tell: Tell = lambda done, of: None) -> Route:
    """The path of one of `KINDS` from point a (d,) to b (d,); of a slow one, `tell` hears how much is done, of what."""
    data, settled = latents(run), True
    own = run.is_real if run.gaussian else ~run.is_real  # a class's probabilities have another unit

    def decode(points):  # type: ignore[no-untyped-def]
        return run.model.decode(run.model.from_points(points))

    if kind == STRAIGHT:
        path = paths.straight(a, b, STOPS)
    elif kind == SPHERICAL:
        path = turned(run, a, b)
    elif kind == DATA:
        path = paths.through_data(a, b, data, STOPS)
    else:
        path, settled = paths.pulled_back(a, b, decode, STOPS, tell)
    return Route(
        kind, pictures(run, path), density(run, path), paths.to_data(path[:, own], data[:, own]),
        paths.image_length(path, decode), settled,
    )  # fmt: skip


def turned(run: Run, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(k, d) from a (d,) to b (d,) by equal turns about the prior's mean, in its standard deviations. Between classes
    there is only the straight way, and each of its mixtures has a prior of its own.
    """
    import torch

    path, real = paths.straight(a, b, STOPS), run.is_real
    mean, std = np.zeros((STOPS, 1)), np.ones((STOPS, 1))
    if isinstance(run.model, trainer.Conditional):
        (y,) = run.labels
        with torch.inference_mode():
            found = class_prior(run, run.model.from_points(torch.from_numpy(path).float())[y])
        mean, std = (values.numpy().astype(np.float64) for values in found)
    raw = (path[:, real] - mean) / std
    path[:, real] = mean + std * paths.spherical(raw[0], raw[-1], STOPS)
    return path


def density(run: Run, path: np.ndarray) -> np.ndarray:
    """(k,) the log density of the prior at points (k, d), in nats: log N(z; 0, I) where the model has no other."""
    import torch

    if not (run.labels and isinstance(run.model, trainer.Density)):
        return paths.log_prior_density(path[:, run.is_real])
    z = {name: values[None] for name, values in run.model.from_points(torch.from_numpy(path).float()).items()}
    with torch.inference_mode():
        return run.model.log_prior(z, {name: z[name] for name in run.labels})[0].numpy()


class Closed(Exception):
    """Nobody wants the path any more."""


class Search:
    """The search for the slow path from point a (d,) to b (d,), in a thread of its own, so that the page lives on."""

    def __init__(self, run: Run, a: np.ndarray, b: np.ndarray) -> None:
        self.found: Route | None = None
        self.problem = ""
        self.share, self.left = 0.0, float("nan")  # of the work that is done at most, and seconds of the rest
        self._closed, self._began = False, time.monotonic()

        def work() -> None:
            try:
                self.found = route(run, METRIC, a, b, self._tell)
            except Closed:
                pass
            except Exception as error:  # whatever it is, a page waits for this thread
                self.problem = str(error) or type(error).__name__

        threading.Thread(target=work, daemon=True).start()

    def _tell(self, done: int, of: int) -> None:
        if self._closed:
            raise Closed
        self.share, self.left = done / of, (time.monotonic() - self._began) * (of - done) / done

    @property
    def is_over(self) -> bool:
        """Whether it was found, or will not be."""
        return self._closed or self.found is not None or bool(self.problem)

    def close(self) -> None:
        """End it at its next step."""
        self._closed = True


def classes(run: Run) -> list[str]:
    """The names of the classes that an attribute can be made of; none where the data have no labels."""
    return list(run.checkpoint.config.data.class_names) if "labels" in run.summary.arrays else []


def attribute(run: Run, has: str, lacks: str) -> Attribute:
    """Class `has` minus class `lacks`, or minus `REST`. Raises ValueError where too few images are of one."""
    names, labels, data = classes(run), run.summary.arrays["labels"], latents(run)
    own = labels == names.index(has)
    rest = ~own if lacks == REST else labels == names.index(lacks)
    return Attribute.of(data[own | rest], own[own | rest])


def leakage(run: Run, found: Attribute) -> dict[str, float]:
    """Factor -> the share of its variance that goes along with the attribute; empty where factors are not known."""
    known = run.factors
    if known is None:
        return {}
    names, levels = known
    return dict(zip(names, found.leakage(latents(run), levels).tolist(), strict=True))


def along(run: Run, point: np.ndarray, direction: np.ndarray, strengths: Sequence[float] | np.ndarray) -> np.ndarray:
    """(k, h, w, c) uint8: the decodes of a point (d,) with so much of a direction added."""
    return pictures(run, point + np.asarray(strengths)[:, None] * direction)
