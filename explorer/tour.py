"""The lecture tour: what a chapter is, what it links to, and the facts that a checkpoint itself gives. No screen.

The chapters are in tour_chapters. A new model adds one there; it is shown once one of its checkpoints is here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainer import Config, Summary


@dataclass(frozen=True)
class Link:
    """A view of a checkpoint on a page, and which of FACTS are shown beside it."""

    checkpoint: str
    label: str
    page: str = "traversals"
    at: Mapping[str, float] = field(default_factory=dict)  # axis (part/dimension) -> value; all others stand at 0
    settings: Mapping[str, str] = field(default_factory=dict)  # of a page that says its settings in its address
    facts: tuple[str, ...] = ()

    def query(self, summary: Summary) -> dict[str, str]:
        """The address's parameters for this view: all of them where they are known here, so that the link says the
        whole of it wherever it is opened. Raises ValueError where the checkpoint has no such dimension.
        """
        latent: dict[str, list[float]] = {}
        if self.page == "traversals":
            parts = (name.removeprefix("variance/") for name in summary.arrays if name.startswith("variance/"))
            latent = {part: [0.0] * len(summary.arrays[f"variance/{part}"]) for part in parts}
        for axis, value in self.at.items():
            part, _, dim = axis.partition("/")
            dims = len(summary.arrays.get(f"variance/{part}", ()))
            if int(dim) >= dims:
                raise ValueError(f"{self.checkpoint} has no dimension {axis}: {part} has {dims}")
            latent.setdefault(part, [0.0] * dims)[int(dim)] = value
        views = {part: ",".join(f"{value:g}" for value in values) for part, values in latent.items()}
        return {"checkpoint": self.checkpoint, **views, **self.settings}

    def said(self, config: Config, summary: Summary) -> list[str]:
        """The sentences of its facts; one that a checkpoint of another kind cannot give is left out."""
        sentences = []
        for name in self.facts:
            with suppress(KeyError):
                sentences.append(FACTS[name](config, summary))
        return sentences


@dataclass(frozen=True)
class Chapter:
    """One part of the lecture. Texts are Markdown with $…$, formulas KaTeX."""

    title: str
    text: str
    formulas: tuple[str, ...]
    links: tuple[Link, ...]
    misprint: str = ""  # what is often printed wrongly, and the right form
    figure: str = ""  # key of the page's interactive figures
    held: tuple[str, ...] = ()  # at most two checkpoints, and a figure of what each of their levels holds

    def shown(self, names: set[str]) -> bool:
        """Whether any of its checkpoints is among these."""
        return any(link.checkpoint in names for link in self.links)


def elbo(config: Config, summary: Summary) -> str:
    kl, loss = float(summary.arrays["mean/kl"]), float(summary.arrays["mean/loss"])
    sentence = f"ELBO {-loss:.1f} nats = {kl - loss:.1f} − {kl:.1f} (likelihood − KL), test images"
    return sentence.replace(" -", " −")


def kept(config: Config, summary: Summary) -> str:
    """The measured figures that its card shows, of test images all but the codes in use."""
    said = [f"{what} {value}" for what, value in config.measured.items()]
    return ", ".join(f"{one}, {'training' if one.startswith('perplexity') else 'test'} images" for one in said)


def active(config: Config, summary: Summary) -> str:
    kl, used = summary.arrays["kl/z"], summary.active("z")
    most = ", ".join(f"z{dim} {kl[dim]:.2f}" for dim in (-kl).argsort()[:3] if used[dim])
    return f"{int(used.sum())} of {len(used)} dimensions are active; the largest KL in nats: {most}, training images"


def beta_norm(config: Config, summary: Summary) -> str:
    beta, dims = float(config.options["beta"]), len(summary.arrays["variance/z"])
    c, h, w = config.shape
    return f"β_norm = {beta:g} · {dims} / {c * h * w:,} = {beta * dims / (c * h * w):#.3g}"


def codebook(config: Config, summary: Summary) -> str:
    """Of the first part of codes."""
    counts = next(iter(summary.codes.values()), None)
    if counts is None:
        raise KeyError("codes")
    size, pixels = len(counts.usage), math.prod(config.shape)
    return (
        f"{counts.used} of {size} codes are in use, perplexity {counts.perplexity:.1f}; an image takes "
        f"{counts.bits_uniform:.0f} bits where all are alike, {counts.bits_empirical:.0f} by how often each stands at "
        f"its place, and {8 * pixels:,} as bytes"
    )


def levels(config: Config, summary: Summary) -> str:
    """What each level holds, the coarsest first; 0 has no sign."""
    said = []
    for name, kl in summary.arrays.items():
        if name.startswith("kl/"):
            active = summary.active(part := name.removeprefix("kl/"))
            said.append(f"{part} {round(float(kl.sum()), 1) + 0:.1f} ({int(active.sum())}/{len(active)})")
    if len(said) < 2:
        raise KeyError("levels")
    return f"KL in nats (active dimensions): {', '.join(said)}, training images".replace(" -", " −")


Fact = Callable[["Config", "Summary"], str]
FACTS: dict[str, Fact] = {
    "elbo": elbo,
    "kept": kept,
    "active": active,
    "beta_norm": beta_norm,
    "codebook": codebook,
    "levels": levels,
}
