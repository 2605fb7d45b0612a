"""What a latent is, and what every model of one promises.

A latent is a dict of named parts. A model's `space` says what kind each part is, coarse to fine, and everything
outside `trainer/models/` goes by that: no page and no command asks which model it has.

Letters in shapes: b batch, c channels, h w size, d latent dimensions, k classes, s samples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.linear import LinearGaussian
from trainer.trainable import NOTHING, Shape, Track, Trainable

Latent = dict[str, Tensor]


@dataclass(frozen=True)
class Gaussian:
    """A part of real numbers whose scale is such that about all of the data lies in -3 … 3."""

    dims: int
    unit: str = "one standard deviation of the prior"  # what one unit is, for people

    def check(self, name: str, values: Tensor) -> None:
        """Raise ValueError if `values` is not (b, dims)."""
        if values.ndim != 2 or values.shape[1] != self.dims:
            raise ValueError(f'latent part "{name}" came as {tuple(values.shape)}, expected (b, {self.dims})')

    def draw(self, n: int, temperature: float = 1.0, generator: torch.Generator | None = None) -> Tensor:
        """From the standard normal distribution, its standard deviations scaled by `temperature`, (n, dims)."""
        return temperature * torch.randn(n, self.dims, generator=generator)


@dataclass(frozen=True)
class Codes:
    """A part of whole numbers 0 … size−1, one at each place of a grid; that of a waveform has one row."""

    h: int
    w: int
    size: int  # codes to choose from, K

    def check(self, name: str, values: Tensor) -> None:
        """Raise ValueError if `values` is not (b, h, w) integers in 0 … size−1."""
        wanted = f"expected whole numbers (b, {self.h}, {self.w}) from 0 to {self.size - 1}"
        if values.ndim != 3 or values.shape[1:] != (self.h, self.w):
            raise ValueError(f'latent part "{name}" came as {tuple(values.shape)}, {wanted}')
        if values.dtype.is_floating_point or values.dtype.is_complex or values.dtype == torch.bool:
            raise ValueError(f'latent part "{name}" came as {str(values.dtype).removeprefix("torch.")}, {wanted}')
        if not len(values):
            return
        low, high = (int(end) for end in values.aminmax())
        if low < 0 or high >= self.size:
            raise ValueError(f'latent part "{name}" came with codes from {low} to {high}, {wanted}')

    def draw(self, n: int, temperature: float = 1.0, generator: torch.Generator | None = None) -> Tensor:
        """Every code alike, whatever the `temperature`, (n, h, w) int64."""
        return torch.randint(self.size, (n, self.h, self.w), generator=generator)


@dataclass(frozen=True)
class Label:
    """A part that is one of `size` classes, said as their probabilities, so that two classes can be blended."""

    size: int  # classes, k

    def check(self, name: str, values: Tensor) -> None:
        """Raise ValueError if `values` is not (b, size) probabilities."""
        wanted = f"expected probabilities (b, {self.size}), each row of sum 1"
        if values.ndim != 2 or values.shape[1] != self.size or not values.dtype.is_floating_point:
            kind = str(values.dtype).removeprefix("torch.")
            raise ValueError(f'latent part "{name}" came as {tuple(values.shape)} {kind}, {wanted}')
        if not bool(((values >= 0).all(1) & ((values.sum(1) - 1).abs() < 1e-3)).all()):
            raise ValueError(f'latent part "{name}" came with negative values or rows of another sum, {wanted}')

    def of(self, name: str, values: Tensor) -> Tensor:
        """Classes 0 … size−1 (b,), or probabilities (b, size), as probabilities (b, size). Raises ValueError."""
        if values.ndim != 1:
            self.check(name, values)
            return values
        if values.dtype.is_floating_point or not bool(((values >= 0) & (values < self.size)).all()):
            raise ValueError(
                f'latent part "{name}" came with classes {values.unique().tolist()[:9]}, expected whole numbers from 0 '
                f"to {self.size - 1}"
            )
        return F.one_hot(values.long(), self.size).to(torch.get_default_dtype())

    def draw(self, n: int, temperature: float = 1.0, generator: torch.Generator | None = None) -> Tensor:
        """Each class as often as another, (n, size); at `temperature` 0 their mean, whatever else it is one of them."""
        if temperature == 0:
            return torch.full((n, self.size), 1 / self.size)
        return self.of("", torch.randint(self.size, (n,), generator=generator))


@dataclass(frozen=True)
class Visible:
    """A part that is what is seen of an image: pixels in [0, 1], and NaN in every channel where it is hidden."""

    c: int
    h: int
    w: int

    def check(self, name: str, values: Tensor) -> None:
        """Raise ValueError if `values` is not (b, c, h, w) with pixels in [0, 1], or hidden."""
        wanted = f"expected (b, {self.c}, {self.h}, {self.w}) with pixels from 0 to 1, NaN where hidden"
        if values.ndim != 4 or values.shape[1:] != (self.c, self.h, self.w) or not values.dtype.is_floating_point:
            raise ValueError(f'latent part "{name}" came as {tuple(values.shape)}, {wanted}')
        hidden = values.isnan()
        if not bool((hidden | ((values >= 0) & (values <= 1))).all()):
            raise ValueError(f'latent part "{name}" came with pixels outside, {wanted}')
        if not bool((hidden == hidden[:, :1]).all()):
            raise ValueError(f'latent part "{name}" came with pixels that are hidden in some channels only, {wanted}')

    def draw(self, n: int, temperature: float = 1.0, generator: torch.Generator | None = None) -> Tensor:
        """Nothing to be seen, (n, c, h, w): what is visible is a condition, not something that is drawn."""
        return torch.full((n, self.c, self.h, self.w), math.nan)


Part = Gaussian | Codes | Label | Visible


def tally(codes: Tensor, groups: Tensor, shape: tuple[int, int]) -> Tensor:
    """How often each of K codes comes in each of g groups, `shape` (g, K) int64. Codes and groups broadcast: (b, t)
    codes are counted by place with groups (t,), and by class with groups (b, 1).
    """
    whole = codes + shape[1] * groups  # each group has numbers of its own
    return torch.bincount(whole.flatten(), minlength=math.prod(shape)).view(shape)


class LatentModel(Trainable):
    """An encoder into a `space` and a decoder out of it. Images are (b, c, h, w) in [0, 1]."""

    def __init__(self, shape: Shape, options: Any) -> None:
        super().__init__(shape, options)
        self.space: dict[str, Part] = {}
        self.stages: dict[str, Trainable] = {}  # that were trained on top; no part of the model's own weights
        self.refused: list[str] = []  # a sentence for each stage in its folder that could not be attached

    def attach(self, name: str, stage: Trainable) -> None:
        """Use a second stage that was trained on top of this model."""
        self.stages[name] = stage

    @property
    def prior(self) -> Any:
        """The second stage that has learned what `sample` draws from, None where there is none."""
        return None

    @property
    def pixels(self) -> int:
        """D, the number of values in one image."""
        return math.prod(self.shape)

    def looked_at(self, x: Tensor) -> Tensor:
        """Images (b, c, h, w) as the nets and the likelihood take them: in black and white where they are binarised."""
        return x

    def encode(self, x: Tensor, given: Mapping[str, Tensor] = NOTHING) -> Latent:
        """(b, c, h, w) -> the latent's posterior mean. Deterministic; parts in `given` are kept, others inferred."""
        raise NotImplementedError

    def decode(self, z: Latent) -> Tensor:
        """The mean of p(x|z), (b, c, h, w) in [0, 1]; never a sample."""
        raise NotImplementedError

    def sample(
        self,
        n: int,
        given: Mapping[str, Tensor] = NOTHING,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
        track: Track[Any] = iter,
    ) -> Latent:
        """n latents from the prior (or, where a model has none, from the Gaussian fitted to its codes).

        `temperature` scales standard deviations; parts in `given` are kept; `track` wraps the loop of what takes long.
        """
        drawn = {name: part.draw(n, temperature, generator).to(self.device) for name, part in self.space.items()}
        return {**drawn, **given}

    @property
    def sample_note(self) -> str:
        """A sentence for who looks at samples, where `sample` is not what the model has learned; else empty."""
        return ""

    @property
    def likelihood(self) -> str:
        """The family of p(x|z), such as "Bernoulli": what an ELBO can be compared within. Empty where none is said."""
        return ""

    @property
    def bounded(self) -> str:
        """The quantity whose negative bound its terms add up to, where they are an ELBO's."""
        return "log p(x)"

    @property
    def family(self) -> str:
        """The family of p(x|z) alone, and how grey pixels are taken: `likelihood` may say more, or less, for people."""
        return self.likelihood

    @property
    def pixel_std(self) -> float | None:
        """σ of p(x|z) = N(g(z), σ² I), of the grey range; None where it is not of that kind."""
        return None

    @property
    def is_code_length(self) -> bool:
        """Whether −log p(x|z) is the length of a code for the pixels: p a probability of finitely many values."""
        return False

    def receptive(self, part: str, row: int, column: int) -> tuple[int, int, int, int]:
        """The pixels that a code of a part can change: top, left, bottom, right, the last two outside."""
        return 0, 0, *self.shape[1:]

    def points(self, z: Latent) -> Tensor:
        """(b, d) for maps and distances: the parts side by side. A model with codes says what numbers they become."""
        self._widths()
        return torch.cat([z[name].flatten(1) for name in self.space], dim=1)

    def from_points(self, points: Tensor) -> Latent:
        """The inverse of `points`; near one, classes become probabilities again. Raises NotImplementedError where
        there is none, as for codes.
        """
        found = dict(zip(self.space, torch.split(points, self._widths(), dim=1), strict=True))
        for name, part in self.space.items():
            if isinstance(part, Label):
                weights = found[name].clamp_min(0) + 1e-12  # never all zero
                found[name] = weights / weights.sum(1, keepdim=True)
        return found

    def _widths(self) -> list[int]:
        """How many numbers of a point each part takes."""
        widths = {
            name: part.dims if isinstance(part, Gaussian) else part.size
            for name, part in self.space.items()
            if isinstance(part, Gaussian | Label)
        }
        if len(widths) < len(self.space):
            raise NotImplementedError("codes and pixels are no points, and points lead back to none")
        return list(widths.values())


def condition(model: LatentModel, x: Tensor) -> Latent:
    """What of images (b, c, h, w) is visible to the model: nothing, unless its latent has such a part."""
    parts = [name for name, part in model.space.items() if isinstance(part, Visible)]
    found = model.encode(x) if parts else {}
    return {name: found[name] for name in parts}


class Density:
    """A model with q(z|x) and p(x, z), so that its likelihood can be bounded. Latent parts are (s, b, …) here."""

    def infer(
        self, x: Tensor, samples: int, given: Mapping[str, Tensor] = NOTHING, generator: torch.Generator | None = None
    ) -> tuple[Latent, Tensor]:
        """`samples` draws from q(z|x) and their log q(z|x) (s, b), in nats; where a class "y" is given, of q(z|x,y)."""
        raise NotImplementedError

    def log_prior(self, z: Latent, given: Mapping[str, Tensor] = NOTHING) -> Tensor:
        """log p(z), (s, b); where a class "y" is given, log p(z|y)."""
        raise NotImplementedError

    def log_likelihood(self, x: Tensor, z: Latent, visible: Tensor | None = None) -> Tensor:
        """log p(x|z), (s, b); `visible` (c, h, w) or (b, c, h, w), 1 where a pixel counts."""
        raise NotImplementedError

    def diagonal(self, x: Tensor) -> tuple[Tensor, Tensor] | None:
        """Mean and log-variance, each (b, d), where q(z|x) is one Gaussian with a diagonal covariance; else None."""
        return None

    def spread(self, x: Tensor, draws: int) -> Latent:
        """The standard deviation of each part of q(z|x), (b, d): exactly where `diagonal` is known, or else of draws,
        by seed 0.
        """
        known, generator = self.diagonal(x), torch.Generator().manual_seed(0)
        drawn, _ = self.infer(x, 1 if known else draws, generator=generator)  # (s, b, …)
        if known is None:
            return {part: values.std(0) for part, values in drawn.items()}
        stds = (0.5 * known[1]).exp().split([values.shape[2] for values in drawn.values()], dim=1)
        return dict(zip(drawn, stds, strict=True))

    @property
    def kl_weight(self) -> float | None:
        """Of a model that `linear` knows: β where it is trained on E log p(x|z) − β KL, but for a constant; None where
        on something else.
        """
        return 1.0

    def linear(self) -> LinearGaussian | None:
        """W, b and σ² where p(z) = N(0, I) and p(x|z) = N(W z + b, σ² I); else None."""
        return None

    def log_evidence(self, x: Tensor) -> Tensor | None:
        """log p(x), exactly, (b,) in nats, where it has a closed form; else None."""
        linear = self.linear()
        return linear.log_evidence(x) if linear else None

    def draw(self, z: Latent, generator: torch.Generator | None = None) -> Tensor:
        """One draw from p(x|z) per latent, (b, c, h, w), cut to [0, 1] for the screen. Parts are (b, …) here."""
        raise NotImplementedError


class Conditional:
    """A model of p(x|z, y) whose space is a class "y" (`Label`) and a "z" (`Gaussian`) with a prior for each class."""

    def class_prior(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """(…, k) probabilities -> mean and log-variance of p(z|y), each (…, d): 0 where z does not depend on y."""
        raise NotImplementedError
