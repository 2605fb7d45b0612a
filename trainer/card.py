"""The model card of a checkpoint, from what was measured."""

from __future__ import annotations

import math
from collections.abc import Sequence

from trainer import data
from trainer.config import Config
from trainer.data import Images
from trainer.latent import Gaussian, LatentModel, Visible
from trainer.measuring import MEASURED
from trainer.summary import Summary, dimension_name
from trainer.trainable import EXTRA, Figures, Trainable

VALUES = {"image": "pixels", "waveform": "samples"}  # what each is made of


def card(name: str, config: Config, model: LatentModel, summary: Summary, figures: Figures, test: Images) -> str:
    """README.md of a checkpoint folder."""
    size = f", {config.data.size:,} of them" if config.data.size else ""
    from_file = f" (from {config.model_file})" if config.model_file else ""
    learned = f"{config.parameters:,} parameters, {config.steps_done:,} steps"
    one, (c, h, w) = config.data.kind, config.shape
    shape = f"{w:,} samples" if config.data.rate else f"{c} × {h} × {w} (channels × height × width)"
    about = (
        f"A `{config.model}`{from_file} on `{config.data.title}`{size}, {one}s of {shape}, "
        f"{'fitted without gradient steps' if model.closed_form else learned}."
    )
    found = [
        *(f"* {what}: {value:.2f} {unit}" for what, (value, unit) in figures.items()),
        *(f"* {what}: {value}" for what, value in model.facts().items()),
        *dimension_lines(model, summary, one),
        *code_lines(model, summary, one),
        *error_lines(config, summary),
        *preview_lines(model),
    ]
    how = f", per {one}, with the {VALUES[one]} as they are unless this says otherwise"
    return laid_out(name, config, about, f"{min(len(test), MEASURED):,} {one}s of the test split{how}",
                    terms_table(model, summary), found)  # fmt: skip


def laid_out(
    name: str, config: Config, about: str, measured_on: str, table: Sequence[str], found: Sequence[str]
) -> str:
    """A card of any kind: what it is, how it was made, the table of its terms, what else was found, and its data."""
    lines = [
        f"# {name}",
        "",
        about,
        "",
        *training_lines(config),
        "",
        f"Measured on {measured_on}; seed of the training: {config.training.get('seed', 0)}.",
        "",
        *table,
        "",
        *found,
        "",
        data_line(config),
    ]
    return "\n".join(lines) + "\n"


def data_line(config: Config) -> str:
    """What the data are; a person's own by what the config knows of them, without their path."""
    of, (c, h, w) = config.data, config.shape
    if not data.is_path(of.name):
        return f"Data: {data.about(of.name)}"
    some = f"{of.size:,} " if of.size else ""
    what = f"waveforms of {w:,} samples, {of.rate:,} a second" if of.rate else f"images of {c} × {h} × {w}"
    count = len(of.class_names)
    classes = f", {count:,} class{'' if count == 1 else 'es'}" if count else ""
    return f"Data: `{of.title}`, a person's own: {some}{what}{classes}."


def training_lines(config: Config) -> list[str]:
    """How it was made: by which commands, when, with what, and what was changed meanwhile."""
    return [
        *([config.note, ""] if config.note else []),
        "Trained by",
        "",
        f"    {config.command}",
        "",
        f"on {config.trained:%Y-%m-%d} with {_listed(config.versions)}.",
        *resumed_lines(config),
        *stopped_line(config),
        *turned_lines(config),
        *weights_line(config),
    ]


def _listed(versions: dict[str, str]) -> str:
    return ", ".join(f"{what} {version}" for what, version in versions.items())


def stopped_line(config: Config) -> list[str]:
    """That a training ended before its steps did."""
    planned = config.training.get("steps", 0)
    return [f"Stopped after {config.steps_done:,} of {planned:,} steps."] if 0 < config.steps_done < planned else []


def resumed_lines(config: Config) -> list[str]:
    """Each time that the training went on: from where, by which command, when and with what."""
    lines = []
    for run in config.resumed:
        lines += ["", f"Went on from step {run.step:,} by", "", f"    {run.command}", ""]
        lines += [f"on {run.date:%Y-%m-%d} with {_listed(run.versions)}."]
    return lines


def turned_lines(config: Config) -> list[str]:
    """What a person changed while it trained, which the command does not say."""
    said = [
        f"* after step {turn.step:,}: {', '.join(f'{name} = {value:g}' for name, value in turn.changed.items())}"
        for turn in config.turned
    ]
    return ["", "Changed while it trained:", "", *said, ""] if said else []


def weights_line(config: Config) -> list[str]:
    """What float16 costs, where it was asked for."""
    if config.half_shift is None:
        return [f"Weights: {config.weights}."] if config.weights != "float32" else []
    if config.weights == "float16":
        return [f"Weights: float16; that moves the mean of the test terms by {config.half_shift:.4f} of their unit."]
    return [f"Weights: float32, since float16 would move the mean of the test terms by {config.half_shift:.4f}."]


def terms_table(model: Trainable, summary: Summary) -> list[str]:
    """A markdown table, a row per term, each with its unit; the ELBO where all terms are nats."""
    rows = ["| term | mean | standard error | median | unit |", "| --- | --- | --- | --- | --- |"]
    names = [name.removeprefix("mean/") for name in summary.arrays if name.startswith("mean/")]
    for name in names:
        if name in ("loss", EXTRA):
            continue
        rows.append(_row(name, summary, model.units.get(name, "nats")))
    if "kl" in names:
        rows.append(_row("loss", summary, "nats", label="ELBO", sign=-1))
    return rows


def preview_lines(model: LatentModel) -> list[str]:
    """What the preview shows, where it is not samples of what the model has learned."""
    if any(isinstance(kind, Visible) for kind in model.space.values()):
        return ["* preview: what is seen of an empty picture, hidden pixels grey, and below it completions of that"]
    return [f"* preview: {model.sample_note}"] if model.sample_note else []


def headline(model: LatentModel, summary: Summary) -> dict[str, str]:
    """The figures that a short description shows: the ELBO, or the reconstruction where there is none, and how many
    codes are in use.
    """
    if "mean/kl" in summary.arrays:
        family = f" ({model.likelihood})" if model.likelihood else ""  # ELBOs of different ones do not compare
        bound = f"{-float(summary.arrays['mean/loss']):.1f} nats".replace("-", "−") + family
        return {"ELBO": bound, **error_headline(summary)}
    used = {
        f"perplexity of {part}": f"{found.perplexity:.0f} of {len(found.usage):,}"
        for part, found in summary.codes.items()
    }
    if model.is_code_length and summary.codes:
        return {"bits per dimension": f"{bits_per_dimension(model, summary):.2f}", **used}
    unit = model.units.get("reconstruction", "nats")
    return {"reconstruction": f"{float(summary.arrays['mean/reconstruction']):.2f} {unit}", **used}


def error_headline(summary: Summary) -> dict[str, str]:
    """How many test images were taken for another class than theirs, for each part of classes, in a short line."""
    return {f"test error of {part}": str(found) for part, found in summary.errors.items()}


def bits_per_dimension(model: LatentModel, summary: Summary) -> float:
    """The length of a code for a test image's codes, all alike, and then its pixels: bits over the number of values."""
    pixels = float(summary.arrays["mean/reconstruction"]) / math.log(2)
    return (pixels + sum(found.bits_uniform for found in summary.codes.values())) / model.pixels


def _row(name: str, summary: Summary, unit: str, label: str = "", sign: int = 1) -> str:
    mean, median = sign * float(summary.arrays[f"mean/{name}"]), sign * float(summary.arrays[f"quantiles/{name}"][50])
    row = f"| {label or name} | {mean:z.2f} | {float(summary.arrays[f'stderr/{name}']):.2f} | {median:z.2f} | {unit} |"
    return row.replace("-", "−")


def dimension_lines(model: LatentModel, summary: Summary, one: str) -> list[str]:
    """How many dimensions of each part are active, and how much each carries; without a KL all of them are."""
    lines = []
    for part, kind in model.space.items():
        if not isinstance(kind, Gaussian):
            continue
        values, _ = summary.importance(part)
        has_kl = f"kl/{part}" in summary.arrays
        active = summary.active(part) | (not has_kl)
        order = values.argsort()[::-1]
        shown = ", ".join(f"{dimension_name(part, int(i))} {values[i]:z.2f}" for i in order if active[i])
        change = f"squared change of the decoded {one} from −1 to 1, summed over {VALUES[one]}"
        if has_kl:
            carried = f"; their mean KL in nats: {shown}" if shown else ""
            lines.append(
                f"* {active.sum()} of {len(active)} dimensions of `{part}` are active on training {one}s{carried}"
            )
        else:
            lines.append(f"* {len(active)} dimensions of `{part}`; {change}: {shown}")
    return lines


def error_lines(config: Config, summary: Summary) -> list[str]:
    """The share of the test images whose most probable class is not theirs, and how many labels that took."""
    told = f", with {config.data.labels:,} labels told" if config.data.labels else ""
    of = f"{config.data.kind}s"
    return [
        f"* test error of `{part}`: {found}, Wilson's 95 % interval; {found.wrong:,} of {found.total:,} {of}{told}"
        for part, found in summary.errors.items()
    ]


def code_lines(model: LatentModel, summary: Summary, one: str) -> list[str]:
    """How many codes of each part are in use and what an image, or a waveform, takes; bits per dimension where
    they are a code's.
    """
    lines = []
    for part, found in summary.codes.items():
        bits = f"{found.bits_uniform:,.0f} bits where all codes are alike, {found.bits_empirical:,.0f}"
        lines.append(
            f"* {found.used:,} of {len(found.usage):,} codes of `{part}` are in use on training {one}s, perplexity "
            f"{found.perplexity:.1f}; "
            f"{'an' if one == 'image' else 'a'} {one} takes {bits} by how often each stands at its place"
        )
    if lines and model.is_code_length:
        bits = f"{bits_per_dimension(model, summary):.3f} bits per dimension"
        lines.append(f"* {bits}: codes, all alike, and {VALUES[one]}")
    return lines
