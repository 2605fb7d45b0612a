"""evaluation.json: what a trained model is worth on test images, with everything that must stand beside a likelihood.

Means over images, with their standard errors, in nats; scores of disentanglement where the data's factors are known.
Reading one needs no torch; `trainer.evaluating` measures.
"""

from __future__ import annotations

import math
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from trainer.checkpoint import describe
from trainer.files import write_text

FILE = "evaluation.json"


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="constants")


class Figure(_Record):
    """A mean over images."""

    value: float
    error: float  # standard error of the mean, draws included


class Bounds(_Record):
    """What is below one quantity, over images on which all of it was measured."""

    of: str  # "log p(x)", "log p(x|y)": the class given, "log p(x, y)", "log p(hidden|visible)"
    likelihood: str  # the family of p(x|z), and whether pixels were binarised
    images: int
    figures: dict[str, Figure] = {}  # nats: "ELBO", "L_5" …, "naive Monte Carlo", "exact"
    terms: dict[str, Figure] = {}  # nats, what the ELBO is made of
    ess: Figure | None = None  # effective sample size of the last bound, 1 … S
    naive_ess: Figure | None = None  # that of naive Monte Carlo


class Codes(_Record):
    """How evenly the codes of a part are used."""

    perplexity: float  # exp of the usage's entropy, 1 … of
    used: int  # codes
    of: int  # codes that there are
    bits: float  # per image, at most: log₂ of that at each place


class Evaluation(_Record):
    """evaluation.json."""

    format: int = 1
    digest: str = ""  # of the weights that were evaluated
    data: str
    split: str = "test"
    images: int  # that were drawn by the seed
    available: int  # images of the split
    seed: int  # of all draws
    training_seed: int = 0
    trained_with: int | None = None  # S in training
    samples: int = 0  # S of the last bound; 0 for a model without a density
    facts: dict[str, str] = {}  # what the model says of itself: p(x|z), the estimator of its terms, …
    decoded: dict[str, Figure] = {}  # decodes of codes beside the images: "squared error" per value, "PSNR" dB, "SSIM"
    codes: dict[str, Codes] = {}
    bounds: list[Bounds] = []
    not_bounded: str = ""  # why there are no bounds
    surgery: dict[str, float] = {}  # nats
    surgery_images: int = 0  # n of them, of whose numbers a latent can tell at most ln n nats
    active: dict[str, int] = {}  # of each part, dimensions whose posterior mean varies
    factors: list[str] = []
    scored_on: list[int] = []  # images, or pairs' points, to learn from and to test on
    scores: dict[str, float] = {}  # 0 … 1
    scored_how: str = ""  # what must stand beside the scores
    not_scored: str = ""  # why there are no scores

    @property
    def measured_on(self) -> str:
        """The images, for people."""
        some = f"all {self.images:,}" if self.images == self.available else f"{self.images:,} of {self.available:,}"
        return f"{some} {self.split} images of {self.data}"


def save(folder: Path, found: Evaluation) -> None:
    write_text(folder / FILE, found.model_dump_json(indent=2) + "\n")


def load(folder: Path) -> Evaluation | None:
    """What is known of a checkpoint's weights; None where they were not evaluated yet.

    Raises ValueError with a sentence where the file is damaged, or is about other weights than lie there.
    """
    path, again = folder / FILE, f"Evaluate again: python -m trainer evaluate {folder}"
    if not path.is_file():
        return None
    try:
        found = Evaluation.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f'"{path}" cannot be read: {f"{where}: " if where else ""}{first["msg"]}. {again}') from None
    own = describe(folder).digest
    if found.digest != own:
        raise ValueError(f'"{path}" is about other weights ({found.digest or "none"}, here are {own}). {again}')
    return found


def lines(found: Evaluation) -> list[str]:
    """Tables for a terminal, and what must be said beside them."""
    seeds = f"seed {found.seed} here, {found.training_seed} in training"
    draws = f"; S = {found.samples:,} here, {found.trained_with or 'none'} in training" if found.samples else ""
    said = [f"{found.measured_on}, {seeds}{draws}", *(f"{name}: {fact}" for name, fact in found.facts.items())]
    said += [f"decodes beside the {found.images:,} images", *_table(_decoded_rows(found))] if found.decoded else []
    for bounds in found.bounds:
        said += [f"{bounds.of}, {bounds.likelihood}, {bounds.images:,} images", *_table(_bound_rows(bounds, found))]
    parts = {name.replace("_", " "): value for name, value in found.surgery.items() if name != "kl"}
    if parts:
        said += [
            f"KL taken apart, {found.surgery_images:,} images, one draw of each; mutual information at most "
            f"{math.log(found.surgery_images):.2f} nats"
        ]
        said += _table([(name, f"{value:.2f} nats") for name, value in parts.items()])
    if found.active:
        said += [f"active dimensions, {found.images:,} images"]
        said += _table([(part, str(count)) for part, count in found.active.items()])
    if found.scores:
        said += [f"factors {', '.join(found.factors)}. {found.scored_how}"]
        said += _table([(name, f"{value:.3f}") for name, value in found.scores.items()])
    missing = {"no bounds": found.not_bounded, "no scores": found.not_scored}
    return [*said, *(f"{what}: {why}" for what, why in missing.items() if why)]


def _decoded_rows(found: Evaluation) -> list[tuple[str, str]]:
    units = {"squared error": (5, " per pixel and channel"), "PSNR": (2, " dB")}
    rows = []
    for name, figure in found.decoded.items():
        digits, unit = units.get(name, (3, ""))
        rows.append((name, f"{figure.value:.{digits}f} ± {figure.error:.{digits}f}{unit}"))
    for name, codes in found.codes.items():
        rows.append((name, f"perplexity {codes.perplexity:.1f}, {codes.used:,} of {codes.of:,} codes used, "
                     f"at most {codes.bits:,.0f} bits per image"))  # fmt: skip
    return rows


def _bound_rows(bounds: Bounds, found: Evaluation) -> list[tuple[str, str]]:
    figures = {**bounds.figures, **bounds.terms}
    rows = [(name, f"{figure.value:.2f} ± {figure.error:.2f} nats") for name, figure in figures.items()]
    for name, ess in (("effective sample size", bounds.ess), ("that of naive Monte Carlo", bounds.naive_ess)):
        if ess:
            rows.append((name, f"{ess.value:.1f} of {found.samples:,}"))
    return rows


def _table(rows: list[tuple[str, str]]) -> list[str]:
    width = max(len(name) for name, _ in rows)
    return [f"  {name:{width}}  {value}".replace("-", "−") for name, value in rows]
