"""Measuring what `trainer.evaluation` keeps: how near decodes come to images, bounds on log p(x), what the KL is made
of, scores of dimensions.

A model that is told the class of an image bounds two quantities, which are kept apart: log p(x), the class being one
more latent, and log p(x|y), the class given.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from trainer import disentanglement, factors, likelihood, surgery
from trainer.data import Images, shuffled
from trainer.evaluation import Bounds, Codes, Evaluation, Figure
from trainer.latent import Density, Gaussian, LatentModel
from trainer.measuring import code_counts
from trainer.quality import psnr, squared_error, ssim
from trainer.summary import ACTIVE, Summary
from trainer.trainable import EXTRA, total

AT_ONCE = 10  # images whose bounds are estimated together
READ = 256  # images that are only encoded together
SURGERY = 5000  # test images at most, over which the KL is taken apart
STEPS = (5, 50)  # the S of the bounds on the way to the last one
ELBO = "ELBO"
DECODED = {"squared error": squared_error, "PSNR": psnr, "SSIM": ssim}  # mean over pixels; dB; −1 … 1


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
def evaluate(model: LatentModel, images: Images, asked: Asked, digest: str = "", training_seed: int = 0) -> Evaluation:
    """Measure a model on test images, drawn by the seed where not all are asked for; fewer than asked for where there
    are no more. Raises ValueError for what cannot be answered.
    """
    for name, value, least in (("samples", asked.samples, 1), ("images", asked.images, 2)):
        if value < least:
            raise ValueError(f"{name} came as {value}, expected {least} or more")
    if not 0 <= asked.seed < 2**31:
        raise ValueError(f"seed came as {asked.seed}, expected 0 to {2**31 - 1}")
    if len(images) < 2:
        raise ValueError(f'"{images.name}" has {len(images)} test images, expected 2 or more: one gives no error')
    model.eval()
    rows = shuffled(len(images), asked.seed)[: asked.images].sort().values
    found = Evaluation(
        digest=digest, data=images.name, images=len(rows), available=len(images), seed=asked.seed,
        training_seed=training_seed, facts=model.facts(), active=_active(model, images, rows),
    )  # fmt: skip
    _compare(model, images, rows, found)
    if images.factor_names:
        _score(model, images, asked, found)
    else:
        found.not_scored = f'"{images.name}" has no known factors, which the scores compare latents with'
    if isinstance(model, Density):
        found.samples, found.trained_with = asked.samples, getattr(model.options, "samples", None)
        found.bounds = [bounds for told in _ways(model, images) for bounds in _bounds(model, images, rows, asked, told)]
        _take_apart(model, images, asked, found)
    else:
        found.not_bounded = "this model has no density p(x, z) whose likelihood could be bounded"
    return found


def _active(model: LatentModel, images: Images, rows: Tensor) -> dict[str, int]:
    """How many dimensions of each Gaussian part have a posterior mean that varies."""
    parts = [name for name, part in model.space.items() if isinstance(part, Gaussian)]
    found = [model.encode(images.batch(some, model.device)) for some in rows.split(READ)]
    means = {part: torch.cat([z[part] for z in found]) for part in parts}  # (n, d)
    return {part: int((values.var(0, correction=0) > ACTIVE).sum()) for part, values in means.items()}


def _compare(model: LatentModel, images: Images, rows: Tensor, found: Evaluation) -> None:
    """How near the decodes of codes come to the images, and how evenly codes are used."""
    values = defaultdict[str, list[Tensor]](list)
    for some in rows.split(READ):
        x = images.batch(some, model.device)
        decoded = model.decode(model.encode(x))
        for name, measure in DECODED.items():
            values[name].append(measure(x, decoded).cpu())
    found.decoded = {name: _figure(torch.cat(each)) for name, each in values.items()}
    found.codes = {
        name: Codes(perplexity=counts.perplexity, used=counts.used, of=len(counts.usage), bits=counts.bits_uniform)
        for name, counts in Summary(code_counts(model, images, rows)).codes.items()
    }


# ---- bounds


def _ways(model: LatentModel, images: Images) -> list[bool]:
    """Without the class, and for a model that is told classes with it, where the images have any."""
    return [False, True] if model.labelled and images.labels is not None else [False]


def _bounds(model: LatentModel, images: Images, rows: Tensor, asked: Asked, told: bool) -> list[Bounds]:
    """Every bound on log p(x), or with the class given on log p(x|y), and the model's own terms."""
    if told:
        rows = rows[images.told[rows] >= 0]
        if len(rows) < 2:
            return []
    of = "log p(x|y)" if told else "log p(x)" if model.labelled else model.bounded
    torch.manual_seed(asked.seed)
    generator, values = torch.Generator().manual_seed(asked.seed), defaultdict[str, list[Tensor]](list)
    with tqdm(total=len(rows), unit=" images", desc=f"bounds on {of}", disable=None) as bar:
        for some in rows.split(AT_ONCE):
            given = images.given(some, model) if told else {}
            for name, each in _estimates(model, images.batch(some, model.device), given, asked, generator, of).items():
                values[name].append(each.cpu())
            bar.update(len(some))
    figures = {name: _figure(torch.cat(some)) for name, some in values.items()}
    ess, naive_ess = figures.pop("ess"), figures.pop("naive ess", None)
    found = Bounds(of=of, likelihood=model.family, images=len(rows), figures=figures, ess=ess, naive_ess=naive_ess)
    if model.labelled and not told:
        return [found]  # its terms are of the class that is given
    terms = _terms(model, images, rows)
    loss = terms.pop("loss")
    if of == model.bounded:
        found.terms = terms
        return [found]
    own = {ELBO: Figure(value=-loss.value, error=loss.error)}  # where log p(y) is one of the terms
    return [found, Bounds(of=model.bounded, likelihood=model.family, images=len(rows), figures=own, terms=terms)]


def _estimates(
    model: Any, x: Tensor, given: Mapping[str, Tensor], asked: Asked, generator: torch.Generator, of: str
) -> dict[str, Tensor]:
    """Of each image (b,): the bounds in nats, all from the same draws, and effective sample sizes: "ess" of the last
    one, "naive ess".
    """
    steps = [s for s in STEPS if s < asked.samples] + [asked.samples]
    one, *bounds = likelihood.bounds(model, x, [1, *steps], generator, given)
    found = {ELBO: one.value, **{f"L_{bound.samples}": bound.value for bound in bounds}, "ess": bounds[-1].ess}
    if of != "log p(x)":
        return found
    (naive,) = likelihood.prior_bounds(model, x, [asked.samples], generator)
    found |= {"naive Monte Carlo": naive.value, "naive ess": naive.ess}
    known = likelihood.exact(model, x)
    return found if known is None else {**found, "exact": known}


def _terms(model: LatentModel, images: Images, rows: Tensor) -> dict[str, Figure]:
    """The model's own terms by family, and "loss", their sum but for what is no part of an ELBO."""
    values = defaultdict[str, list[Tensor]](list)
    for some in rows.split(READ):
        for name, each in total(model.terms(images.batch(some, model.device), images.given(some, model))).items():
            values[name].append(each.cpu())
    return {name: _figure(torch.cat(each)) for name, each in values.items() if name != EXTRA}


def _figure(values: Tensor) -> Figure:
    return Figure(value=float(values.double().mean()), error=float(values.double().std() / math.sqrt(len(values))))


# ---- dimensions


def _take_apart(model: Density, images: Images, asked: Asked, found: Evaluation) -> None:
    """The KL, where each posterior is one diagonal Gaussian and the prior standard normal."""
    assert isinstance(model, LatentModel)
    rows = shuffled(len(images), asked.seed)[:SURGERY]
    pairs = [model.diagonal(images.batch(some, model.device)) for some in rows.split(READ)]
    if all(pairs):
        mean, log_var = (torch.cat(some) for some in zip(*(pair for pair in pairs if pair), strict=True))
        found.surgery, found.surgery_images = vars(surgery.parts(mean, log_var, asked.seed)).copy(), len(rows)


def _score(model: LatentModel, images: Images, asked: Asked, found: Evaluation) -> None:
    """The metrics of disentanglement, or why there are none."""

    def track(loop: Iterable[Any]) -> Iterator[Any]:
        return iter(tqdm(loop, desc="metrics", disable=None))

    try:
        table = factors.encode(model, images, asked.train + asked.test, asked.seed)
        train = min(asked.train, len(table.codes) * 2 // 3)
        test = min(asked.test, len(table.codes) - train)
        scores = disentanglement.scores(table, train, test, asked.seed, track)
    except ValueError as error:  # too few images for a metric leave the bounds as they are
        found.not_scored = str(error)
    else:
        found.scores, found.factors, found.scored_on = scores.values, list(table.names), [train, test]
        found.scored_how = f"{scores.how}. {images.factor_note}".strip()
