"""The hidden quadrants of an image from the visible ones by one net, the baseline of Sohn et al. 2015.

    p(hidden | visible) = Bernoulli(sigmoid(g(visible)))     every hidden pixel alone
    loss                = −log p(hidden | visible)

Which quadrants are visible, as in public reproductions of the paper: 1 the bottom left; 2 the left half; 3 all but
the top right. Pixels are binarised by a threshold at ½, those that are read and those that are predicted: the numbers
compare with published ones under that. (The paper's baseline, 100.03 nats with one quadrant, fits it: with a draw for
each grey pixel instead this net needs about 6 nats more.) The nets read −½ where a pixel is black, ½ where it is white
and 0 where it is hidden.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from trainer import formulas, nets
from trainer.data import Images
from trainer.latent import Density, Latent, LatentModel, Visible
from trainer.likelihood import importance_bound
from trainer.observed import AS_THEY_ARE
from trainer.options import Options
from trainer.probability import bernoulli_log_prob, per_image
from trainer.trainable import NOTHING, Figures, Piece, Shape

MEASURED, ROWS = 10_000, 50  # test images, and how many at once
NAMES = ("the bottom left quadrant", "the left half", "all but the top right quadrant")


class QuadrantBaselineOptions(Options):
    """Which quadrants are seen, and the net."""

    observed: int = Field(
        1,
        ge=1,
        le=3,
        description="quadrants that are seen: 1 the bottom left, 2 the left half, 3 all but the top right",
    )
    binarise: Literal["threshold", "none"] = Field(
        "threshold", description="pixels are 1 from ½ on and else 0; none: as they are, p is then a cross-entropy"
    )
    hidden: nets.Widths = Field((500, 500), max_length=8, description="widths of the fully connected layers")


class QuadrantBaseline(Density, LatentModel):
    """A deterministic net: there is no latent but what is visible, and one completion."""

    Options: ClassVar[type[QuadrantBaselineOptions]] = QuadrantBaselineOptions
    options: QuadrantBaselineOptions
    seen: Tensor
    draws: ClassVar[int] = 1  # importance samples of the conditional log-likelihood, S; without a z it is exact

    def __init__(self, shape: Shape, options: QuadrantBaselineOptions) -> None:
        super().__init__(shape, options)
        _, h, w = shape
        if min(h, w) < 2:
            raise ValueError(f"images of {h} × {w} have no quadrants")
        self.space = {"visible": Visible(*shape)}
        seen = torch.zeros(h, w, dtype=torch.bool)
        seen[h // 2 :, : w // 2] = True
        if options.observed > 1:
            seen[:, : w // 2] = True
        if options.observed > 2:
            seen[h // 2 :] = True
        self.seen: Tensor
        self.register_buffer("seen", seen, persistent=False)  # (h, w)
        self.generation = nets.Net(*nets.fully_connected([self.inputs, *options.hidden, self.pixels]))

    @property
    def inputs(self) -> int:
        """How many numbers the generation net reads."""
        return self.pixels

    def hide(self, x: Tensor) -> Tensor:
        """(b, c, h, w) with NaN in the quadrants that are not observed."""
        return x.masked_fill(~self.seen, torch.nan)

    def looked_at(self, x: Tensor) -> Tensor:
        return x if self.options.binarise == "none" else (x >= 0.5).to(x.dtype)

    def code(self, visible: Tensor) -> Tensor:
        """(b, c, h, w) with NaN where hidden -> (b, D): −½ where black, ½ where white and 0 where hidden; less in
        images of more than 28 × 28 values, whose sum would else run away in the first steps.
        """
        signs = (self.looked_at(visible) - 0.5).masked_fill(visible.isnan(), 0.0)
        return signs.flatten(1) * min(1.0, 784 / self.pixels)

    def logits(self, z: Latent) -> Tensor:
        """(b, c, h, w) of every pixel, also where it is visible."""
        return self.generation(self.code(z["visible"])).unflatten(1, self.shape)

    def encode(self, x: Tensor, given: Mapping[str, Tensor] = NOTHING) -> Latent:
        return {"visible": self.hide(x), **given}

    def decode(self, z: Latent) -> Tensor:
        self._check(z)
        return torch.where(z["visible"].isnan(), self.logits(z).sigmoid(), z["visible"])

    def draw(self, z: Latent, generator: torch.Generator | None = None) -> Tensor:
        mean = self.decode(z)
        drawn = (torch.rand(mean.shape, generator=generator).to(mean) < mean).to(mean.dtype)
        return torch.where(z["visible"].isnan(), drawn, mean)

    def _check(self, z: Latent) -> None:
        for name, part in self.space.items():
            part.check(name, z[name])

    def points(self, z: Latent) -> Tensor:
        """What is visible, (b, D)."""
        return self.code(z["visible"])

    # ---- the likelihood of what is hidden

    def log_prob_hidden(self, x: Tensor, logits: Tensor, visible: Tensor) -> Tensor:
        """log p(hidden | …) of each pixel's logits, summed, (b,) or (s, b) as they are; what is visible counts 0."""
        return per_image(bernoulli_log_prob(self.looked_at(x), logits) * visible.isnan(), logits.ndim - 3)

    def terms(self, x: Tensor, given: Mapping[str, Tensor] = NOTHING) -> dict[str, Tensor]:
        z = self.encode(x)
        return {"reconstruction": -self.log_prob_hidden(x, self.logits(z), z["visible"])}

    def objective(self, terms: Mapping[str, Tensor]) -> list[Piece]:
        return [self.hidden_piece(terms, "", "x_V")]

    def hidden_piece(self, terms: Mapping[str, Tensor], over: str, given: str) -> Piece:
        """−log p(hidden|given), H the hidden pixels and V the visible ones."""
        expanded = formulas.bernoulli(f"g({given})", r"i \in H")
        latex = formulas.lines(rf"-{over}\big[\log p(x_H \mid {given})\big]", *expanded)
        about = "How badly the hidden pixels H are foretold from the visible ones V"
        return self.piece(terms, latex, about, "reconstruction")

    def infer(
        self, x: Tensor, samples: int, given: Mapping[str, Tensor] = NOTHING, generator: torch.Generator | None = None
    ) -> tuple[Latent, Tensor]:
        visible = given.get("visible", self.hide(x))
        return {"visible": visible.expand(samples, *visible.shape)}, x.new_zeros(samples, len(x))

    def log_prior(self, z: Latent, given: Mapping[str, Tensor] = NOTHING) -> Tensor:
        """Of what is not visible, (s, b): the density is conditional."""
        return torch.zeros(z["visible"].shape[:2], device=z["visible"].device)

    def log_likelihood(self, x: Tensor, z: Latent, visible: Tensor | None = None) -> Tensor:
        """log p(hidden|visible, z), (s, b); `visible` leaves out more pixels."""
        shape = z["visible"].shape[:2]
        out = self.logits({name: values.flatten(0, 1) for name, values in z.items()}).unflatten(0, shape)
        left = z["visible"] if visible is None else z["visible"].masked_fill(visible == 0, 0)
        return self.log_prob_hidden(x, out, left)

    @property
    def bounded(self) -> str:
        return "log p(hidden|visible)"

    @property
    def likelihood(self) -> str:
        return "Bernoulli"

    @property
    def family(self) -> str:
        return f"Bernoulli{AS_THEY_ARE}" if self.options.binarise == "none" else "Bernoulli, pixels cut at ½"

    @property
    def sample_note(self) -> str:
        return (
            "Nothing is visible in these: the nets were trained with "
            f"{NAMES[self.options.observed - 1]} of an image visible, so that they say little of what the model can."
        )

    @torch.no_grad()
    def figures(self, images: Images, test: Images) -> Figures:
        """The negative conditional log-likelihood of the hidden quadrants of test images, and its standard error."""
        generator = torch.Generator().manual_seed(0)
        rows = torch.arange(min(MEASURED, len(test))).split(ROWS)
        bounds = [importance_bound(self, test.batch(some, self.device), self.draws, generator).value for some in rows]
        found = -torch.cat(bounds).double()
        error = float(found.std()) / len(found) ** 0.5 if len(found) > 1 else float("nan")
        return {"negative CLL": (float(found.mean()), "nats"), "standard error of the negative CLL": (error, "nats")}

    def facts(self) -> dict[str, str]:
        grey = self.options.binarise == "none"
        pixels = "on grey pixels a cross-entropy" if grey else "in these terms a pixel is 1 from ½ on and else 0"
        return {
            "visible": NAMES[self.options.observed - 1],
            "p(hidden|visible)": f"{self.likelihood}, {pixels}",
            "estimator": "exact: there is no z",
        }
