"""evaluation.json: what a trained model is worth on test images, with everything that must stand beside a likelihood.

Means over images, with their standard errors, in nats; scores of disentanglement where the data's factors are known.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor
from tqdm import tqdm

from trainer import disentanglement, likelihood, surgery
from trainer.data import Images
from trainer.files import write_text
from trainer.latent import Density, Gaussian, LatentModel, Visible
from trainer.likelihood import Estimate
from trainer.summary import ACTIVE
from trainer.trainable import EXTRA, total

FILE = "evaluation.json"
AT_ONCE = 20  # images whose bounds are estimated together
SURGERY = 5000  # test images at most, over which the KL is taken apart
STEPS = (5, 50)  # the S of the bounds on the way to the last one


class Figure(BaseModel):
    """A mean over images."""

    value: float
    error: float  # standard error of the mean, draws included


class Evaluation(BaseModel):
    """evaluation.json."""

    model_config = ConfigDict(extra="forbid")

    format: int = 1
    digest: str  # of the weights that were evaluated
    data: str
    split: str = "test"
    images: int
    seed: int
    samples: int = 0  # S of the last bound; 0 for a model without a density
    trained_with: int | None = None  # S in training
    likelihood: str = ""  # the family of p(x|z), and whether pixels were binarised
    bounds: dict[str, Figure] = {}  # nats: "ELBO", "L_5" …, "naive Monte Carlo", "exact"
    terms: dict[str, Figure] = {}  # nats, what the ELBO is made of
    ess: Figure | None = None  # effective sample size of the last bound, 1 … S
    surgery: dict[str, float] = {}  # nats
    surgery_images: int = 0  # n of them, of whose numbers a latent can tell at most ln n nats
    active: dict[str, int] = {}  # of each part, dimensions whose posterior mean varies
    factors: list[str] = []
    scored_on: list[int] = []  # images, or pairs' points, to learn from and to test on
    scores: dict[str, float] = {}  # 0 … 1


@dataclass(frozen=True)
class Asked:
    """How much is measured."""

    samples: int
    images: int
    seed: int = 0
    train: int = 10_000  # of the metrics of disentanglement
    test: int = 5_000


def defaults(model: LatentModel) -> tuple[int, int]:
    """Samples and images of an evaluation that takes minutes on a CPU."""
    return (500, 100) if getattr(model.options, "net", "mlp") == "conv" else (5000, 1000)


@torch.no_grad()
def evaluate(model: LatentModel, images: Images, asked: Asked, digest: str) -> Evaluation:
    """Measure a model on test images. Raises ValueError for what cannot be answered."""
    for name, value, least in (("samples", asked.samples, 1), ("images", asked.images, 2)):
        if value < least:
            raise ValueError(f"{name} came as {value}, expected {least} or more")
    count = min(asked.images, len(images))
    if count < 2:
        raise ValueError(f'"{images.name}" has {len(images)} test images, expected 2 or more: one gives no error')
    if not isinstance(model, Density) and not images.factor_names:
        raise ValueError(
            "this model has no density p(x, z) whose likelihood could be bounded, and its data have no known factors"
        )
    model.eval()
    found = Evaluation(digest=digest, data=images.name, images=count, seed=asked.seed)
    means = _means(model, images, count)
    found.active = {part: int((values.var(0, correction=0) > ACTIVE).sum()) for part, values in means.items()}
    if isinstance(model, Density):
        _bound(model, images, asked, count, found)
    if images.factor_names:
        _score(model, images, asked, found)
    return found


def _means(model: LatentModel, images: Images, count: int) -> dict[str, Tensor]:
    """The posterior means of each Gaussian part, (n, d)."""
    parts = [name for name, part in model.space.items() if isinstance(part, Gaussian)]
    found = [model.encode(images.batch(rows, model.device)) for rows in torch.arange(count).split(AT_ONCE)]
    return {part: torch.cat([z[part] for z in found]) for part in parts}


def _bound(model: LatentModel, images: Images, asked: Asked, count: int, found: Evaluation) -> None:
    """The terms, bounds of growing S, naive Monte Carlo where z alone decides, and what is exact."""
    assert isinstance(model, Density)
    found.samples, found.likelihood = asked.samples, model.likelihood
    found.trained_with = getattr(model.options, "samples", None)
    steps = [s for s in STEPS if s < asked.samples] + [asked.samples]
    naive = not any(isinstance(part, Visible) for part in model.space.values())
    torch.manual_seed(asked.seed)
    generator = torch.Generator().manual_seed(asked.seed)
    values: dict[str, list[Tensor]] = {}
    with tqdm(total=count, unit=" images", desc="bounds", disable=None) as bar:
        for rows in torch.arange(count).split(AT_ONCE):
            x = images.batch(rows, model.device)
            for name, each in total(model.terms(x)).items() if not model.labelled else ():
                if name not in ("loss", EXTRA):
                    values.setdefault(f"terms/{name}", []).append(each.cpu())
            estimates: dict[str, Estimate] = {}
            for s in steps:
                estimates[f"L_{s}"] = likelihood.importance_bound(model, x, s, generator)
            most = estimates[f"L_{asked.samples}"]
            values.setdefault("ess", []).append(most.ess.cpu())
            values.setdefault("bounds/ELBO", []).append(most.mean_log.cpu())
            if naive:
                estimates["naive Monte Carlo"] = likelihood.prior_estimate(model, x, asked.samples, generator)
            for name, estimate in estimates.items():
                values.setdefault(f"bounds/{name}", []).append(estimate.value.cpu())
            known = likelihood.exact(model, x)
            if known is not None:
                values.setdefault("bounds/exact", []).append(known.cpu())
            bar.update(len(rows))
    whole = {name: _figure(torch.cat(some)) for name, some in values.items()}
    found.ess = whole.pop("ess")
    found.terms = {name.removeprefix("terms/"): figure for name, figure in whole.items() if name.startswith("terms/")}
    bounds = {name.removeprefix("bounds/"): figure for name, figure in whole.items() if name.startswith("bounds/")}
    found.bounds = {"ELBO": bounds.pop("ELBO"), **bounds}
    found.surgery_images = min(SURGERY, len(images))
    rows_of_all = torch.arange(found.surgery_images).split(AT_ONCE)
    gaussian = [model.diagonal(images.batch(rows, model.device)) for rows in rows_of_all]
    if all(gaussian):
        mean, log_var = (torch.cat(some) for some in zip(*(pair for pair in gaussian if pair), strict=True))
        found.surgery = vars(surgery.parts(mean, log_var, asked.seed)).copy()


def _score(model: LatentModel, images: Images, asked: Asked, found: Evaluation) -> None:
    def track(names: object) -> Iterator[str]:
        return iter(tqdm(names, desc="metrics", disable=None))  # type: ignore[call-overload]

    table = disentanglement.encode(model, images, asked.train + asked.test, asked.seed)
    train = min(asked.train, len(table.codes) * 2 // 3)
    test = min(asked.test, len(table.codes) - train)
    found.factors, found.scored_on = list(table.names), [train, test]
    found.scores = disentanglement.scores(table, train, test, asked.seed, track)


def _figure(values: Tensor) -> Figure:
    return Figure(value=float(values.double().mean()), error=float(values.double().std() / math.sqrt(len(values))))


def save(folder: Path, found: Evaluation) -> None:
    write_text(folder / FILE, found.model_dump_json(indent=2) + "\n")


def lines(found: Evaluation) -> list[str]:
    """A table for a terminal, and what must be said beside it."""
    rows = [(name, f"{figure.value:.2f} ± {figure.error:.2f} nats") for name, figure in found.bounds.items()]
    rows += [(name, f"{figure.value:.2f} ± {figure.error:.2f} nats") for name, figure in found.terms.items()]
    if found.ess:
        rows.append(("effective sample size", f"{found.ess.value:.1f} of {found.samples:,}"))
    parts = {name.replace("_", " "): value for name, value in found.surgery.items() if name != "kl"}
    most = f" (of {found.surgery_images:,} images, at most {math.log(max(2, found.surgery_images)):.2f})"
    rows += [
        (f"of the KL, {name}", f"{value:.2f} nats{most if name.startswith('mutual') else ''}")
        for name, value in parts.items()
    ]
    rows += [(f"active dimensions of {part}", str(count)) for part, count in found.active.items()]
    rows += [(name, f"{value:.3f}") for name, value in found.scores.items()]
    about = f"{found.images:,} {found.split} images of {found.data}, seed {found.seed}"
    if found.samples:
        about += f"; p(x|z) {found.likelihood}; S = {found.samples:,} here, {found.trained_with or 'none'} in training"
    if found.scores:
        about += f"; scores learned on {found.scored_on[0]:,}, tested on {found.scored_on[1]:,}"
    width = max(len(name) for name, _ in rows)
    return [about, *(f"  {name:{width}}  {value}".replace("-", "−") for name, value in rows)]
