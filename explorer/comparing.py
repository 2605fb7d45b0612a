"""What was measured of checkpoints -> tables whose rows say under which settings. No screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import trainer

if TYPE_CHECKING:  # these names would load torch, and the first paint does not wait for that
    from trainer import Bounds, Checkpoint, Evaluation, LatentModel, Summary

TERMS, BOUNDS, DIMENSIONS, DECODES = "Test terms", "Bounds", "Dimensions", "Decodes"
Cell = str | float | int | None
DECODED = (  # as an evaluation names it, its scale, and its column
    ("squared error", 1000, "squared error, ×10⁻³"), ("PSNR", 1, "PSNR, dB"), ("SSIM", 1, "SSIM"),
)  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """One checkpoint, with what its model says of its figures."""

    checkpoint: Checkpoint
    bounded: str  # what its terms bound, "" where they are no ELBO's
    family: str  # of p(x|z)
    std: float | None  # of a Gaussian p(x|z), one for all pixels
    estimator: str  # of its terms
    unit: str  # of the reconstruction
    terms: dict[str, tuple[float, float]]  # family of terms, and "loss" -> mean over test images, standard error
    active: tuple[int, int] | None  # dimensions whose posterior mean varies over training images, of how many
    errors: dict[str, float] = field(default_factory=dict)  # part of classes -> test images taken for another, %
    evaluation: Evaluation | None = None
    problem: str = ""  # why the evaluation that lies there is not shown

    @property
    def name(self) -> str:
        return self.checkpoint.name

    @property
    def data(self) -> str:
        """The data set, for people; what differs from its usual images is said."""
        data = self.checkpoint.config.data
        some = [f"{data.size:,} of them" if data.size else "", f"{data.side} px" if data.side else ""]
        return ", ".join([data.title, *filter(None, some)])


def measured(checkpoint: Checkpoint, model: LatentModel, summary: Summary) -> Measured:
    """What is known of an opened checkpoint. An evaluation that cannot be read is a problem of its own."""
    arrays = summary.arrays
    names = [name.removeprefix("mean/") for name in arrays if name.startswith("mean/")]
    parts = [name.removeprefix("variance/") for name in arrays if name.startswith("variance/")]
    active = [summary.active(part) for part in parts]
    try:
        evaluation, problem = trainer.load_evaluation(checkpoint.path), ""
    except (ValueError, OSError) as error:
        evaluation, problem = None, str(error)
    return Measured(
        checkpoint,
        model.bounded if "kl" in names else "",
        model.family,
        model.pixel_std,
        model.facts().get("estimator", ""),
        model.units.get("reconstruction", "nats"),
        {name: (float(arrays[f"mean/{name}"]), float(arrays[f"stderr/{name}"])) for name in names},
        (sum(int(some.sum()) for some in active), sum(map(len, active))) if active else None,
        {part: found.rate for part, found in summary.errors.items()},
        evaluation,
        problem,
    )


@dataclass(frozen=True)
class Row:
    """A line of a table: what must agree for two of them to compare, and the figures."""

    setting: str
    cells: dict[str, Cell]


def rows(table: str, found: Sequence[Measured]) -> list[Row]:
    """The lines of one of the tables, in the order of the checkpoints."""
    make = {TERMS: _terms, BOUNDS: _bounds, DIMENSIONS: _dimensions, DECODES: _decodes}[table]
    return [row for each in found for row in make(each)]


def settings(lines: Sequence[Row]) -> dict[str, int]:
    """The settings that there are, and how many lines each has, the most first."""
    names = [row.setting for row in lines]
    return {name: names.count(name) for name in sorted(set(names), key=lambda name: (-names.count(name), name))}


def columns(lines: Sequence[Row]) -> dict[str, list[Cell]]:
    """The table by columns; one in which no line has anything is left out."""
    names = [*dict.fromkeys(name for row in sorted(lines, key=lambda row: -len(row.cells)) for name in row.cells)]
    by_draws = sorted(filter(_draws, names), key=lambda name: (_draws(name), name[:1] == "±"))
    first = next((place for place, name in enumerate(names) if _draws(name)), len(names))
    names = [*names[:first], *by_draws, *(name for name in names[first:] if not _draws(name))]
    table = {name: [row.cells.get(name) for row in lines] for name in names}
    return {name: values for name, values in table.items() if any(value not in (None, "") for value in values)}


def _draws(name: str) -> int:
    """S, of the column of a bound L_S or of its error; 0 of any other."""
    return int(name.rpartition("L_")[2]) if name.removeprefix("± ").startswith("L_") else 0


def quantity(of: str, family: str) -> str:
    """What a bound is below, and the family of p(x|z) that it is of."""
    return f"{of}, {family}"


def _model(each: Measured) -> dict[str, Cell]:
    config = each.checkpoint.config
    return {"model": config.model, "parameters": config.parameters, "S in training": config.options.get("samples")}


def _terms(each: Measured) -> list[Row]:
    back = f"reconstruction, {each.family}" if each.family else f"reconstruction in {each.unit}"
    what = quantity(each.bounded, each.family) if each.bounded else back
    mean = {name: value for name, (value, _) in each.terms.items()}
    active, dims = each.active or (None, None)
    in_nats = each.unit == "nats"
    return [Row(f"{each.data}: {what}", {
        "checkpoint": each.name, "data": each.data, "measured": what,
        "ELBO": -mean["loss"] if each.bounded else None, "± ELBO": each.terms["loss"][1] if each.bounded else None,
        "reconstruction": mean.get("reconstruction") if in_nats else None, "KL": mean.get("kl"),
        **({} if in_nats else {each.unit: mean.get("reconstruction")}),
        "active": active, "dimensions": dims,
        **{f"test error of {part}, %": rate for part, rate in each.errors.items()},
        **_model(each), "estimator": each.estimator,
    })]  # fmt: skip


def _bounds(each: Measured) -> list[Row]:
    found = each.evaluation
    return [_bound(each, found, bounds) for bounds in found.bounds] if found else []


def _bound(each: Measured, found: Evaluation, bounds: Bounds) -> Row:
    what = quantity(bounds.of, bounds.likelihood)
    images = f"{bounds.images:,} of {found.available:,} images, seed {found.seed}"
    figures = {**bounds.figures, **bounds.terms}
    cells: dict[str, Cell] = {"checkpoint": each.name, "data": each.data, "measured": what, "images": images}
    for name in ("ELBO", *sorted((name for name in figures if name.startswith("L_")), key=lambda name: int(name[2:])),
                 "naive Monte Carlo", "exact", "reconstruction", "kl"):  # fmt: skip
        shown = {"naive Monte Carlo": f"naive, S = {found.samples:,}", "kl": "KL"}.get(name, name)
        cells[shown] = figures[name].value if name in figures else None
        if name in ("ELBO", f"L_{found.samples}"):
            cells[f"± {name}"] = figures[name].error if name in figures else None
    if bounds.ess:
        cells[f"effective draws of {found.samples:,}"] = bounds.ess.value
    return Row(f"{each.data}: {what}, {images}", {**cells, **_model(each)})


def _dimensions(each: Measured) -> list[Row]:
    found = each.evaluation
    if found is None or not (found.scores or found.surgery or found.active):
        return []
    images = f"{found.images:,} of {found.available:,} images, seed {found.seed}"
    learned = f", scores on {found.scored_on[0]:,} and {found.scored_on[1]:,}" if found.scores else ""
    parts = {f"{name.replace('_', ' ')}, {found.surgery_images:,} images": value
             for name, value in found.surgery.items() if name != "kl"}  # fmt: skip
    return [Row(f"{each.data}: {images}{learned}", {
        "checkpoint": each.name, "data": each.data, "images": images, "active": sum(found.active.values()),
        **found.scores, "scores learned on": found.scored_on[0] if found.scores else None,
        "scores tested on": found.scored_on[1] if found.scores else None, "scores, how": found.scored_how or None,
        **parts, **_model(each),
    })]  # fmt: skip


def _decodes(each: Measured) -> list[Row]:
    found = each.evaluation
    if found is None or not found.decoded:
        return []
    images = f"{found.images:,} of {found.available:,} images, seed {found.seed}"
    cells: dict[str, Cell] = {"checkpoint": each.name, "data": each.data, "images": images}
    for name, scale, title in DECODED:
        cells |= {title: scale * found.decoded[name].value, f"± {title}": scale * found.decoded[name].error}
    for part, codes in found.codes.items():
        cells |= {f"perplexity of {part}": codes.perplexity, f"{part}, used": codes.used, f"{part}, in all": codes.of,
                  f"{part}, bits per image at most": codes.bits}  # fmt: skip
    return [Row(f"{each.data}: {images}", {**cells, **_model(each)})]
