"""How a model understands one image: what it keeps, what it loses, what it would say instead."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import trainer
from explorer import geometry
from explorer.opened import Run, seeded

DRAWS = 64  # draws of the posterior that a term is averaged over, and a spread that has no closed form
SHOWN = 4  # draws that are shown
TITLES = {"reconstruction": "Reconstruction", "kl": "KL"}


@dataclass(frozen=True)
class Figure:
    """One number about an image."""

    name: str
    value: float
    unit: str
    percentile: float | None = None  # share of the data's test images with a lower value, in %

    @property
    def digits(self) -> int:
        """Decimals that make sense."""
        return 1 if self.unit in ("nats", "dB") else 2


@dataclass(frozen=True)
class Understood:
    """What one checkpoint makes of one image. Pictures are (h, w, c) uint8."""

    seen: np.ndarray
    taken: np.ndarray  # as seen; black and white where the model binarises
    latent: dict[str, list[float]]  # in plain numbers, as `Run.plain` gives them
    reconstruction: np.ndarray
    difference: np.ndarray  # (h, w), reconstruction − seen in [−1, 1], the mean over channels
    samples: np.ndarray | None  # (s, h, w, c) decodes of draws from q(z|x); None where a code is a point
    figures: tuple[Figure, ...]
    spread: dict[str, list[float]]  # part -> std of q(z|x) per dimension; empty where a code is a point


def understand(run: Run, image: np.ndarray) -> Understood:
    """One image (h, w, c) in [0, 1], of the model's shape, through the model and back; a class that the model wants to
    be told is the most probable one.
    """
    import torch

    x = torch.from_numpy(np.ascontiguousarray(image, np.float32)).permute(2, 0, 1)[None]
    with seeded():
        z = run.model.encode(x)
        y = run.model.decode(z)
        told = {name: z[name].argmax(1).expand(DRAWS) for name in run.labels if run.model.labelled}
        terms = trainer.total(run.model.terms(x.expand(DRAWS, -1, -1, -1), told))
        samples, spread = None, {}
        if isinstance(run.model, trainer.Density):
            drawn, _ = run.model.infer(x, SHOWN, generator=torch.Generator().manual_seed(0))
            spread = {part: std[0].tolist() for part, std in run.model.spread(x, DRAWS).items()}
            samples = run.decode({part: values[:, 0] for part, values in drawn.items()})
        figures = [
            *_terms(run, {name: float(values.mean()) for name, values in terms.items()}),
            _figure(run, "PSNR", float(trainer.psnr(x, y)), "dB", "psnr"),
            _figure(run, "SSIM", float(trainer.ssim(x, y)), "", "ssim"),
        ]
    return Understood(
        seen=trainer.to_bytes(x)[0],
        taken=run.looked_at(image),
        latent=run.plain(z),
        reconstruction=trainer.to_bytes(y)[0],
        difference=(y - x)[0].mean(0).numpy(),
        samples=samples,
        figures=tuple(figures),
        spread=spread,
    )


def _terms(run: Run, terms: dict[str, float]) -> list[Figure]:
    """Each term with its unit, and the ELBO where all of them are nats."""
    units = run.model.units
    found = [
        _figure(run, TITLES.get(name, name), value, units.get(name, "nats"), name)
        for name, value in terms.items()
        if name != "loss" and not (name == "extra" and run.model.of_batch)  # which says nothing of one image
    ]
    if "kl" in terms:
        found.append(_figure(run, "ELBO", -terms["loss"], "nats", "loss", sign=-1))
    return found


def _figure(run: Run, name: str, value: float, unit: str, measured: str, sign: int = 1) -> Figure:
    """A figure with its place among the test images, where the summary has quantiles of that measure."""
    quantiles = run.summary.arrays.get(f"quantiles/{measured}")
    if quantiles is None:
        return Figure(name, value, unit)
    ordered = np.sort(sign * quantiles.astype(np.float64))
    return Figure(name, value, unit, float(np.interp(value, ordered, np.linspace(0, 100, len(ordered)))))


def prior_draws(run: Run, count: int) -> np.ndarray:
    """(count, h, w, c) uint8: decodes of draws from the prior, or from the Gaussian that stands in for one."""
    return run.decode(run.sample(0, count))


def interpolations(run: Run, one: Understood, other: Understood, count: int) -> np.ndarray:
    """(count, h, w, c) uint8: decodes along the straight line between two images' latents."""
    return run.decode(geometry.interpolate(run.tensors(one.latent), run.tensors(other.latent), count))
