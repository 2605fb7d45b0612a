"""What is measured of a trained model for its summary."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from trainer.data import Images
from trainer.latent import Codes, Gaussian, Label, LatentModel, tally
from trainer.look import measure_look
from trainer.quality import psnr, ssim
from trainer.summary import Summary
from trainer.train import evaluate
from trainer.trainable import Trainable

PERCENTILES = (5, 25, 50, 75, 95)
MEASURED, MAPPED = 10_000, 2_000  # images


@torch.no_grad()
def summarise(model: LatentModel, train: Images, test: Images) -> Summary:
    """Measure a trained model."""
    model.eval()
    torch.manual_seed(0)
    collected: dict[str, list[Tensor]] = defaultdict(list)
    rows = torch.arange(min(MEASURED, len(train)))
    gaussian = [name for name, part in model.space.items() if isinstance(part, Gaussian)]
    arrays = code_counts(model, train, rows)
    for some in rows.split(256):
        x = train.batch(some, model.device)
        z = model.encode(x)
        for name in gaussian:
            collected[f"z/{name}"].append(z[name].cpu())
        for name, values in model.terms(x, train.given(some, model)).items():
            if name.startswith("kl/"):
                collected[name].append(values.cpu())
        collected["points"].append(model.points(z).cpu())
    whole = {name: torch.cat(values).numpy() for name, values in collected.items()}

    arrays |= measure_look(train).arrays()
    for part in gaussian:
        means = whole[f"z/{part}"]
        arrays[f"variance/{part}"] = means.var(0)
        arrays[f"percentiles/{part}"] = np.percentile(means, PERCENTILES, axis=0)
        arrays[f"effect/{part}"] = effect(model, part).numpy()
        if f"kl/{part}" in whole:
            arrays[f"kl/{part}"] = whole[f"kl/{part}"].mean(0)
    if train.labels is not None:
        labels = train.labels[rows].numpy()
        arrays["class_means"] = np.stack(
            [_mean_or_nan(whole["points"][labels == label]) for label in range(len(train.class_names))]
        )
        arrays["labels"] = labels[:MAPPED].astype(np.int32)
    arrays["ids"] = rows[:MAPPED].numpy().astype(np.int32)
    arrays["points"] = whole["points"][:MAPPED].astype(np.float16)
    arrays |= quality(model, test) | term_arrays(model, test) | confusions(model, test)
    return Summary(halved(arrays))


def halved(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Arrays of a summary with float32 in place of float64; counts stay counts."""
    return {name: a.astype(np.float32) if a.dtype == np.float64 else a for name, a in arrays.items()}


def term_arrays(model: Trainable, test: Images) -> dict[str, np.ndarray]:
    """Quantiles, means and standard errors of the terms over the test images, as arrays of a summary."""
    arrays: dict[str, np.ndarray] = {}
    for name, values in evaluate(model, test, MEASURED).items():
        arrays[f"quantiles/{name}"] = _quantiles(values)
        arrays[f"mean/{name}"] = values.numpy().mean()
        spread = float(values.std()) if len(values) > 1 else float("nan")
        arrays[f"stderr/{name}"] = np.array(spread / len(values) ** 0.5)
    return arrays


def code_counts(model: LatentModel, images: Images, rows: Tensor) -> dict[str, np.ndarray]:
    """How often each code of each part stands at each place, and in each class, as arrays of a summary."""
    parts = {name: part for name, part in model.space.items() if isinstance(part, Codes)}
    places = {name: torch.zeros(part.h * part.w, part.size, dtype=torch.long) for name, part in parts.items()}
    classes = len(images.class_names) if images.labels is not None else 0
    by_class = {name: torch.zeros(classes, part.size, dtype=torch.long) for name, part in parts.items()}
    for some in rows.split(256) if parts else ():
        z = model.encode(images.batch(some, model.device))
        for name, part in parts.items():
            codes = z[name].flatten(1).cpu()  # (b, h·w)
            places[name] += tally(codes, torch.arange(codes.shape[1]), (codes.shape[1], part.size))
            if images.labels is not None:
                by_class[name] += tally(codes, images.labels[some, None], (classes, part.size))
    found = {f"codes/{name}/counts": places[name].view(part.h, part.w, -1) for name, part in parts.items()}
    if classes:
        found |= {f"codes/{name}/by_class": table for name, table in by_class.items()}
    return {name: counts.numpy().astype(np.uint32) for name, counts in found.items()}


def confusions(model: LatentModel, test: Images) -> dict[str, np.ndarray]:
    """How often test images of each class were taken for each, (k, k) for every part that has the classes of the data,
    where the model was told of these; as arrays of a summary.
    """
    if test.labels is None or not model.labelled:
        return {}
    k = len(test.class_names) or int(test.labels.max()) + 1
    tables = {
        name: torch.zeros(k, k, dtype=torch.long)
        for name, part in model.space.items()
        if isinstance(part, Label) and part.size == k
    }
    rows = torch.nonzero(test.labels[:MEASURED] >= 0)[:, 0]
    for some in rows.split(256) if tables else ():
        z = model.encode(test.batch(some, model.device))
        for name, table in tables.items():
            table += tally(z[name].argmax(1).cpu()[:, None], test.labels[some, None].long(), (k, k))
    return {f"confusion/{name}": table.numpy().astype(np.uint32) for name, table in tables.items()}


def quality(model: LatentModel, test: Images) -> dict[str, np.ndarray]:
    """Quantiles over the test images of how near the decode of an image's code comes to it."""
    found: dict[str, list[Tensor]] = defaultdict(list)
    for rows in torch.arange(min(MEASURED, len(test))).split(256):
        x = test.batch(rows, model.device)
        y = model.decode(model.encode(x))
        found["psnr"].append(psnr(x, y).cpu())
        found["ssim"].append(ssim(x, y).cpu())
    return {f"quantiles/{name}": _quantiles(torch.cat(values)) for name, values in found.items()}


def _quantiles(values: Tensor) -> np.ndarray:
    return np.quantile(values.numpy(), np.linspace(0, 1, 101))


def _mean_or_nan(points: np.ndarray) -> np.ndarray:
    """The mean of (n, d) points, NaN for a class that has none."""
    return points.mean(0) if len(points) else np.full(points.shape[1], np.nan)


def effect(model: LatentModel, part: str) -> Tensor:
    """(d,) squared change of the decoded image, summed over pixels, from −1 to 1 along each dimension at the prior's
    mean; where a model tells classes, the mean of that over them, each at the mean of its own prior.
    """
    kind = model.space[part]
    assert isinstance(kind, Gaussian)
    steps = torch.cat([-torch.eye(kind.dims), torch.eye(kind.dims)]).to(model.device)
    changes = []
    for given in every_class(model):
        z = model.sample(len(steps), {name: y.expand(len(steps), -1) for name, y in given.items()}, temperature=0.0)
        low, high = model.decode({**z, part: z[part] + steps}).chunk(2)
        changes.append((high - low).square().flatten(1).sum(1).cpu())
    return torch.stack(changes).mean(0)


def every_class(model: LatentModel) -> Iterator[dict[str, Tensor]]:
    """A class of each part of classes, (1, k) one-hot, in all combinations; without such a part, nothing, once."""
    parts = {name: kind.size for name, kind in model.space.items() if isinstance(kind, Label)}
    for chosen in itertools.product(*(torch.eye(size).to(model.device).split(1) for size in parts.values())):
        yield dict(zip(parts, chosen, strict=True))
