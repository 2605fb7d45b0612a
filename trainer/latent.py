"""What a latent is, and what every model of one promises.

A latent is a dict of named parts. A model's `space` says what kind each part is, coarse to fine, and everything
outside `trainer/models/` goes by that: no page and no command asks which model it has.

Letters in shapes: b batch, c channels, h w size, d latent dimensions, s samples.
"""

from __future__ import annotations

import difflib
import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar, cast

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor, nn

from trainer import distributed

if TYPE_CHECKING:
    from trainer.data import Images

Latent = dict[str, Tensor]
Shape = tuple[int, int, int]  # (c, h, w)
NOTHING: Mapping[str, Tensor] = {}
T = TypeVar("T")
Track = Callable[[Iterable[T]], Iterable[T]]  # wraps a loop that may take long, to show its progress


def needs(**others: list[str]) -> dict[str, Any]:
    """For `Field(json_schema_extra=...)`: the option has an effect only while each of `others` is one of its values.

    No values at all stand for any but None.
    """
    return {"needs": others}


class Options(BaseModel):
    """What a person may choose of a model. Every field has bounds and a help text; what is unknown is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Self:
        """Options from plain values. Raises ValueError that names the field, what came, and the nearest right name."""
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise ValueError("; ".join(cls._sentence(dict(problem)) for problem in error.errors())) from None

    def check_needs(self) -> None:
        """Raise ValueError that names each option that was set and has no effect without another one: see `needs`."""
        idle = []
        for name, info in type(self).model_fields.items():
            extra = info.json_schema_extra
            if not isinstance(extra, dict) or "needs" not in extra or getattr(self, name) == info.default:
                continue
            for other, wanted in dict(cast(Any, extra["needs"])).items():
                is_there = getattr(self, other) in wanted if wanted else getattr(self, other) is not None
                if not is_there:
                    needed = f"{other} {' or '.join(wanted)}" if wanted else other
                    idle.append(f"{name} came as {getattr(self, name)!r}, but has no effect without {needed}")
        if idle:
            raise ValueError("; ".join(idle))

    @classmethod
    def _sentence(cls, problem: Mapping[str, Any]) -> str:
        field = ".".join(str(place) for place in problem["loc"])
        if problem["type"] == "extra_forbidden":
            near = difflib.get_close_matches(field, cls.model_fields, n=1)
            hint = f' Did you mean "{near[0]}"?' if near else f" There are: {', '.join(cls.model_fields)}."
            return f'there is no option "{field}".{hint}'
        message = problem["msg"].removeprefix("Value error, ")
        return f"{field} came as {problem['input']!r}: {message}" if field else message


@dataclass(frozen=True)
class Gaussian:
    """A part of real numbers whose scale is such that about all of the data lies in -3 … 3."""

    dims: int
    unit: str = "one standard deviation of the prior"  # what one unit is, for people

    def check(self, name: str, values: Tensor) -> None:
        """Raise ValueError if `values` is not (b, dims)."""
        if values.ndim != 2 or values.shape[1] != self.dims:
            raise ValueError(f'latent part "{name}" came as {tuple(values.shape)}, expected (b, {self.dims})')


class LatentModel(nn.Module):
    """An encoder into a `space` and a decoder out of it. Images are (b, c, h, w) in [0, 1]."""

    Options: ClassVar[type[Options]] = Options
    closed_form: ClassVar[bool] = False  # `begin` does it all, so that no option of the steps has an effect

    def __init__(self, shape: Shape, options: Any) -> None:
        super().__init__()
        self.shape: Shape = (shape[0], shape[1], shape[2])
        self.options = options
        self.space: dict[str, Gaussian] = {}
        self.knobs: dict[str, Tensor] = {}

    @property
    def pixels(self) -> int:
        """D, the number of values in one image."""
        return math.prod(self.shape)

    @property
    def device(self) -> torch.device:
        return next(itertools.chain(self.parameters(), self.buffers())).device

    def add_knob(self, name: str, value: float) -> None:
        """A 0-d buffer that a schedule, or a person, may turn during training. It is part of a resume's state."""
        self.register_buffer(f"knob_{name}", torch.tensor(float(value)))
        self.knobs[name] = getattr(self, f"knob_{name}")

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> LatentModel:
        super()._apply(fn, recurse)
        self.knobs = {name: getattr(self, f"knob_{name}") for name in self.knobs}  # .to(device) made new buffers
        return self

    # ---- what a model answers

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
    ) -> Latent:
        """n latents from the prior (or, where a model has none, from the Gaussian fitted to its codes).

        `temperature` scales standard deviations; parts in `given` are kept.
        """
        drawn = {
            name: temperature * torch.randn(n, part.dims, generator=generator).to(self.device)
            for name, part in self.space.items()
        }
        return {**drawn, **given}

    def terms(self, x: Tensor, given: Mapping[str, Tensor] = NOTHING) -> dict[str, Tensor]:
        """What the objective is made of, a row per image, unreduced: "reconstruction" (b,), "kl/z" (b, d), …

        Nats where a term is a log-probability, summed over pixels; `units` names the others.
        """
        raise NotImplementedError

    units: Mapping[str, str] = {}  # term -> unit, where it is not nats

    @property
    def likelihood(self) -> str:
        """The family of p(x|z), such as "Bernoulli": what an ELBO can be compared within. Empty where none is said."""
        return ""

    def draw_noise(self, samples: int, batch: int, *rest: int) -> Tensor:
        """Standard normal noise (s, b, …) for `terms`: of several processes each has its slice of one draw."""
        whole = torch.randn(samples, batch * distributed.world(), *rest, device=self.device)
        return whole[:, distributed.part(batch)]

    def loss(self, terms: Mapping[str, Tensor]) -> Tensor:
        """The batch mean of the terms' sum. A variant overrides this, with `distributed.all_mean` of a batch mean that
        it is not linear in.
        """
        return total(terms)["loss"].mean()

    def points(self, z: Latent) -> Tensor:
        """(b, d) for maps and distances: the parts side by side."""
        return torch.cat([z[name].flatten(1) for name in self.space], dim=1)

    def from_points(self, points: Tensor) -> Latent:
        """The inverse of `points`."""
        parts = torch.split(points, [part.dims for part in self.space.values()], dim=1)
        return dict(zip(self.space, parts, strict=True))

    # ---- what training asks of a model

    def begin(self, images: Images, track: Track[Tensor] = iter) -> bool:
        """Before the first step: what has a closed form. True: nothing is left to train."""
        return False

    def schedule(self, step: int) -> dict[str, float]:
        """Knob values that depend on the step alone, in [0, …). The loop writes them into `knobs`."""
        return {}

    def after_step(self, terms: Mapping[str, Tensor]) -> None:
        """What is not a gradient, after each optimiser step, from the step's own terms (detached)."""

    def end(self, images: Images) -> None:
        """When training ends or is stopped: what is not trained but measured over the data, such as a unit."""

    def facts(self) -> dict[str, str]:
        """What a person should know of this model beside its options, each a number with its unit."""
        return {}


class Density:
    """A model with q(z|x) and p(x, z), so that its likelihood can be bounded. Latent parts are (s, b, …) here."""

    def infer(
        self, x: Tensor, samples: int, given: Mapping[str, Tensor] = NOTHING, generator: torch.Generator | None = None
    ) -> tuple[Latent, Tensor]:
        """`samples` draws from q(z|x) and their log q(z|x) (s, b), in nats."""
        raise NotImplementedError

    def log_prior(self, z: Latent, given: Mapping[str, Tensor] = NOTHING) -> Tensor:
        """log p(z), (s, b)."""
        raise NotImplementedError

    def log_likelihood(self, x: Tensor, z: Latent, visible: Tensor | None = None) -> Tensor:
        """log p(x|z), (s, b); `visible` (c, h, w) or (b, c, h, w), 1 where a pixel counts."""
        raise NotImplementedError

    def draw(self, z: Latent, generator: torch.Generator | None = None) -> Tensor:
        """One draw from p(x|z) per latent, (b, c, h, w), cut to [0, 1] for the screen. Parts are (b, …) here."""
        raise NotImplementedError


def total(terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Each family of terms summed to one number per image, (b,), and "loss", the sum of them all.

    The family is what stands before the slash: "kl/z3" and "kl/z2" are both of "kl".
    """
    families: dict[str, Tensor] = {}
    for name, values in terms.items():
        family = name.split("/")[0]
        per_image = values.flatten(1).sum(1) if values.ndim > 1 else values  # (b,)
        families[family] = families[family] + per_image if family in families else per_image
    return {**families, "loss": torch.stack(list(families.values())).sum(0)}
