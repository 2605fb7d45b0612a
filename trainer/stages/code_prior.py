"""A learned prior over codes: a causal transformer that reads a grid row by row.

    p(k | y) = Π_t p(k_t | k_1 … k_{t−1}, y)      k_t one of K codes, y a class or none
    loss     = −log p(k | y)

Where y is learned too, it is left out for some images, so that p(k) without a class is learned as well.

Letters in shapes: t places of the grid, k codes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from trainer import classes, distributed
from trainer.classes import ClassOptions
from trainer.data import Images
from trainer.latent import Codes, LatentModel, tally
from trainer.stage import Stage
from trainer.trainable import NOTHING, Figures, Piece, Shape, Track
from trainer.transformer import Block, Past

UNTOLD = 0.2  # share of the images whose class is left out in training
ROWS = 256  # images that are encoded, or drawn, at once
MEASURED = 10_000  # test images


class CodePriorOptions(ClassOptions):
    """The size of the transformer, and whether it knows classes."""

    width: int = Field(128, ge=4, le=2048, description="numbers at each place, a multiple of heads")
    layers: int = Field(4, ge=1, le=48, description="blocks of attention and two fully connected layers")
    heads: int = Field(4, ge=1, le=64, description="heads of each attention, which look at different places")
    dropout: float = Field(0.1, ge=0, le=0.9, description="share of what blocks add that is 0 while training")
    conditional: bool = Field(False, description="learn p(codes | class) beside p(codes), from the data set's labels")

    @model_validator(mode="after")
    def _fits(self) -> CodePriorOptions:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is no multiple of heads {self.heads}")
        if self.classes and not self.conditional:
            raise ValueError(f"classes came as {self.classes}, but has no effect without conditional")
        return self


class CodePrior(Stage):
    """p(codes) and, where `conditional`, p(codes | class)."""

    Options = CodePriorOptions
    labelled = True
    options: CodePriorOptions

    @classmethod
    def fitted(cls, options: CodePriorOptions, images: Images) -> CodePriorOptions:
        return classes.fitted(options, images, whole=False) if options.conditional else options

    def __init__(self, base: LatentModel, options: CodePriorOptions) -> None:
        super().__init__(base, options)
        parts = {name: part for name, part in base.space.items() if isinstance(part, Codes)}
        if len(parts) != 1:
            there = ", ".join(f"{name} ({type(part).__name__})" for name, part in base.space.items())
            raise ValueError(f"code_prior stands on a model whose latent has one part of codes; this one has {there}")
        if options.conditional and not options.classes:
            raise ValueError("classes came as 0: a data set, or a number, must say how many there are")
        ((self.part, self.grid),) = parts.items()
        self.shape: Shape = (1, self.grid.h, self.grid.w)
        self.known = options.classes if options.conditional else 0
        width, places = options.width, self.grid.h * self.grid.w
        self.codes = nn.Embedding(self.grid.size + 1, width)  # the last one stands before the first place
        self.places = nn.Embedding(places, width)
        self.classes = nn.Embedding(self.known + 1, width) if self.known else None  # the last one: not known
        self.blocks = nn.ModuleList(Block(width, options.heads, options.dropout) for _ in range(options.layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, self.grid.size)
        for table in (self.codes, self.places, self.classes):
            if table is not None:
                nn.init.normal_(table.weight, std=0.02)  # which the first layers hardly notice

    # ---- what it says of codes

    def log_prob(self, codes: Tensor, y: Tensor | None = None) -> Tensor:
        """log p(codes | y), (b,) nats; without a class, or where it is −1, log p(codes).

        Raises ValueError for codes that are not (b, h, w) integers of the grid, or classes that are not known.
        """
        self.grid.check(self.part, codes)
        return self._log_prob(codes, self._checked(y, len(codes)))

    def _log_prob(self, codes: Tensor, y: Tensor | None) -> Tensor:
        logits = self.logits(codes, y)  # (b, t, K)
        return -F.cross_entropy(logits.transpose(1, 2), codes.flatten(1), reduction="none").sum(1)

    def logits(self, codes: Tensor, y: Tensor | None = None) -> Tensor:
        """(b, h, w) -> (b, t, K) for each place, by what stands before it."""
        before = F.pad(codes.flatten(1)[:, :-1], (1, 0), value=self.grid.size)  # (b, t)
        return self._read(before, torch.arange(before.shape[1], device=before.device), y, [None] * len(self.blocks))

    def _read(self, before: Tensor, places: Tensor, y: Tensor | None, past: Past) -> Tensor:
        """(b, t, K) at `places` (t,), by the codes one place before each (b, t) and by `past`, which goes on."""
        x = self.codes(before) + self.places(places)  # (b, t, width)
        if self.classes is not None:
            unknown = torch.full_like(before[:, 0], self.known)
            x = x + self.classes(unknown if y is None else torch.where(y < 0, unknown, y))[:, None]
        for index, block in enumerate(self.blocks):
            x, past[index] = block(x, past[index])
        return self.head(self.norm(x))

    def _checked(self, y: Tensor | None, b: int) -> Tensor | None:
        if y is None:
            return None
        if not self.known:
            raise ValueError("a class was given, but this prior knows none: it was trained without `conditional`")
        if y.shape != (b,) or y.dtype.is_floating_point or not -1 <= int(y.min()) <= int(y.max()) < self.known:
            raise ValueError(
                f"classes came as {y.tolist()[:9]}, expected {b} whole numbers from −1 (not known) to {self.known - 1}"
            )
        return y.to(self.device)

    @torch.no_grad()
    def sample(
        self,
        n: int,
        given_codes: Tensor | None = None,
        y: Tensor | None = None,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
        track: Track[Any] = iter,
    ) -> Tensor:
        """(n, h, w) codes, drawn place by place; `track` wraps that loop.

        `given_codes` (n, h, w) are kept where they are not −1, and what comes after them follows them. `temperature`
        divides the logits; at 0 the likeliest code is taken.
        """
        grid = (n, self.grid.h, self.grid.w)
        kept = torch.full(grid, -1) if given_codes is None else given_codes
        if kept.shape != grid:
            raise ValueError(f"given codes came as {tuple(kept.shape)}, expected {grid}")
        self.grid.check(self.part, kept.clamp_min(0))
        y = self._checked(y, n)
        codes = kept.flatten(1).to(self.device)  # (n, t)
        past: Past = []
        parts = torch.arange(n).split(ROWS)
        for rows, place in track([(rows, place) for rows in parts for place in range(codes.shape[1])]):
            if place == 0:
                past = [None] * len(self.blocks)
                before = torch.full_like(codes[rows, :1], self.grid.size)
            here = torch.tensor([place], device=self.device)
            logits = self._read(before, here, None if y is None else y[rows], past)[:, 0]  # (b, K)
            drawn = _drawn(logits, temperature, generator)
            codes[rows, place] = torch.where(codes[rows, place] < 0, drawn, codes[rows, place])
            before = codes[rows, place, None]
        return codes.view(grid)

    # ---- training

    def images_of(self, base: LatentModel, images: Images, track: Track[Tensor] = iter) -> Images:
        """The codes of all images, (n, 1, h, w), with the labels."""
        found = []
        with torch.no_grad():
            for rows in track(torch.arange(len(images)).split(ROWS)):
                codes = base.encode(images.batch(rows, base.device))[self.part]
                found.append(codes.to("cpu", torch.int32))
        return Images(images.name, torch.cat(found)[:, None], images.labels, images.class_names, told=images.told)

    def terms(self, x: Tensor, given: Mapping[str, Tensor] = NOTHING) -> dict[str, Tensor]:
        """ "code_length" (b,) in nats, of codes (b, 1, h, w)."""
        y = given.get("y") if self.known else None
        if y is not None and self.training:
            share = torch.rand(len(y) * distributed.world(), device=y.device)[distributed.part(len(y))]
            y = y.masked_fill(share < UNTOLD, -1)
        return {"code_length": -self._log_prob(x[:, 0].long(), y)}

    def objective(self, terms: Mapping[str, Tensor]) -> list[Piece]:
        latex = r"-\textstyle\sum_t \log p(k_t \mid k_1 \ldots k_{t-1}" + (", y)" if self.known else ")")
        return [self.piece(terms, latex, "What the codes cost, each by those before it", "code_length")]

    # ---- what it is worth

    def facts(self) -> dict[str, str]:
        grid, options = self.grid, self.options
        facts = {
            "codes": f"{grid.h} × {grid.w} of {grid.size:,}, row by row",
            "transformer": f"{options.layers} blocks of width {options.width} with {options.heads} heads",
        }
        if self.known:
            facts["classes"] = f"{self.known}, left out for {100 * UNTOLD:.0f} % of the images in training"
        return facts

    @torch.no_grad()
    def figures(self, images: Images, test: Images) -> Figures:
        """Bits that the codes of a test image take."""
        rows = torch.arange(min(MEASURED, len(test))).split(ROWS)

        def mean_bits(told: bool) -> float:
            nats = 0.0
            for some in rows:
                y = test.given(some, self)["y"] if told else None
                nats -= float(self._log_prob(test.batch(some, self.device)[:, 0].long(), y).double().sum())
            return nats / sum(map(len, rows)) / math.log(2)

        found = {"prior": (mean_bits(told=False), "bits per image")}
        if self.known:
            found["prior, class known"] = (mean_bits(told=True), "bits per image")
        shares = place_shares(images, self.grid)  # (t, K)
        codes = torch.cat([test.batch(some)[:, 0].flatten(1).long() for some in rows])  # (n, t)
        each = shares.gather(1, codes.T)  # (t, n)
        found["each place alone"] = (float(-each.log2().sum(0).mean()), "bits per image")
        found["all codes alike"] = (shares.shape[0] * math.log2(self.grid.size), "bits per image")
        return found


def _drawn(logits: Tensor, temperature: float, generator: torch.Generator | None) -> Tensor:
    """(b, K) -> (b,)."""
    if temperature == 0:
        return logits.argmax(1)
    sharp = ((logits - logits.amax(1, keepdim=True)) / temperature).softmax(1)
    return torch.multinomial(sharp.cpu(), 1, generator=generator)[:, 0].to(logits.device)


def place_shares(images: Images, grid: Codes) -> Tensor:
    """(t, K) how often each code stands at each place, each count half a one more (Krichevsky and Trofimov 1981)."""
    places = grid.h * grid.w
    counts = torch.zeros(places, grid.size, dtype=torch.long)
    for x in images.stream():
        counts += tally(x[:, 0].flatten(1).long(), torch.arange(places), (places, grid.size))
    shares = counts.double() + 0.5
    return shares / shares.sum(1, keepdim=True)
