"""What the training loop asks of a module, whether it is a model or a second stage on top of one.

Letters in shapes: b batch, c channels, h w size, d latent dimensions, s samples.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

import torch
from torch import Tensor, nn

from trainer import distributed
from trainer.options import Options
from trainer.probability import per_image

if TYPE_CHECKING:
    from trainer.data import Images

Shape = tuple[int, int, int]  # (c, h, w)
EXTRA = "extra"  # the family of terms that are no part of an ELBO
Figures = dict[str, tuple[float, str]]  # what is measured -> number, unit; the first one is what a short line says
NOTHING: Mapping[str, Tensor] = {}
T = TypeVar("T")
Symbols = Mapping[str, Tensor | float]
Track = Callable[[Iterable[T]], Iterable[T]]  # wraps a loop that may take long, to show its progress


@dataclass(frozen=True)
class Piece:
    """One summand of a loss: how it is written, and what it is."""

    latex: str  # with its weight
    about: str  # in plain words, one line
    value: Tensor  # what each image adds to the loss, weight included, (b,); or (), where it is of the whole batch
    terms: tuple[str, ...] = ()  # that it is made of
    symbols: Symbols = field(default_factory=dict)  # LaTeX of a weight, or another number in it -> its present value
    unit: str = "nats"


class Trainable(nn.Module):
    """A module with options and knobs that says, per image, what its objective is made of."""

    Options: ClassVar[type[Options]] = Options
    closed_form: ClassVar[bool] = False  # `begin` does it all, so that no option of the steps has an effect
    of_batch: ClassVar[bool] = False  # whether an image's terms depend on the batch that it is in
    labelled: ClassVar[bool] = False  # whether `terms` is given "y", the labels (b,) int64, −1 where one is not known
    needs_labels: ClassVar[bool] = False  # whether none of them may be −1
    units: Mapping[str, str] = {}  # term or measure -> unit, where it is not nats

    @classmethod
    def fitted(cls, options: Any, images: Images) -> Any:
        """The options with what a data set decides filled in. Raises ValueError for one that cannot be learned from."""
        return options

    def __init__(self, shape: Shape, options: Any) -> None:
        super().__init__()
        self.shape: Shape = (shape[0], shape[1], shape[2])
        self.options = options
        self.knobs: dict[str, Tensor] = {}

    @property
    def device(self) -> torch.device:
        return next(itertools.chain(self.parameters(), self.buffers())).device

    def add_knob(self, name: str, value: float) -> None:
        """A 0-d buffer that a schedule, or a person, may turn during training. It is part of a resume's state."""
        self.register_buffer(f"knob_{name}", torch.tensor(float(value)))
        self.knobs[name] = getattr(self, f"knob_{name}")

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)
        self.knobs = {name: getattr(self, f"knob_{name}") for name in self.knobs}  # .to(device) made new buffers
        return self

    # ---- the objective

    def terms(self, x: Tensor, given: Mapping[str, Tensor] = NOTHING) -> dict[str, Tensor]:
        """What the objective is made of, a row per image, unreduced: "reconstruction" (b,), "kl/z" (b, d), …

        Nats where a term is a log-probability, summed over pixels; `units` names the others.
        """
        raise NotImplementedError

    def draw_noise(self, samples: int, batch: int, *rest: int) -> Tensor:
        """Standard normal noise (s, b, …) for `terms`: of several processes each has its slice of one draw."""
        whole = torch.randn(samples, batch * distributed.world(), *rest, device=self.device)
        return whole[:, distributed.part(batch)]

    def loss(self, terms: Mapping[str, Tensor]) -> Tensor:
        """The batch mean of the terms' sum. A variant overrides this, with `distributed.all_mean` of a batch mean that
        it is not linear in.
        """
        return total(terms)["loss"].mean()

    def objective(self, terms: Mapping[str, Tensor]) -> list[Piece]:
        """The pieces whose batch means sum to `loss(terms)`, as the model's equations have them. A variant that
        overrides `loss` overrides this too; it is for people to read, and no step asks for it.
        """
        names = [name for name in terms if name.split("/")[0] != EXTRA]
        return [
            self.piece(terms, rf"\text{{{name.replace('_', ' ')}}}", name.replace("_", " "), name) for name in names
        ]

    def added(self, x: Tensor, given: Mapping[str, Tensor] = NOTHING) -> list[Piece]:
        """What training adds to the objective for such images, and evaluation leaves out; no part of `loss` there."""
        return []

    def piece(
        self,
        terms: Mapping[str, Tensor],
        latex: str,
        about: str,
        *names: str,
        weight: Tensor | float = 1.0,
        symbols: Symbols = NOTHING,
    ) -> Piece:
        """The terms of some `names`, summed for each image, times a weight."""
        value = torch.stack([per_image(terms[name]) for name in names]).sum(0)
        return Piece(latex, about, weight * value, names, symbols, self.units.get(names[0], "nats"))

    # ---- what is not a gradient

    def begin(self, images: Images, track: Track[Tensor] = iter) -> bool:
        """Before the first step: what has a closed form. True: nothing is left to train."""
        return False

    def schedule(self, step: int) -> dict[str, float]:
        """Knob values that depend on the step alone, in [0, …). The loop writes them into `knobs`."""
        return {}

    def after_step(self, terms: Mapping[str, Tensor]) -> None:
        """What is not a gradient, after each optimiser step, from the step's own terms (detached)."""

    def after_epoch(self) -> None:
        """When every image has been learned from once more, before the measures of that step."""

    def measures(self) -> dict[str, float]:
        """What the history says besides terms and knobs: what makes sense over the last whole epoch, not a batch."""
        return {}

    def end(self, images: Images) -> None:
        """When training ends or is stopped: what is not trained but measured over the data, such as a unit."""

    def figures(self, images: Images, test: Images) -> Figures:
        """What it is worth on the test set beside its terms; `images` are those that it was trained on."""
        return {}

    def facts(self) -> dict[str, str]:
        """What a person should know of this beside its options, each a number with its unit."""
        return {}


def total(terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Each family of terms summed to one number per image, (b,), and "loss", the sum of them all but "extra".

    The family is what stands before the slash: "kl/z3" and "kl/z2" are both of "kl". What is "extra" is what a
    variant asks beyond its ELBO, which so stays one whatever else is asked.
    """
    families: dict[str, Tensor] = {}
    for name, values in terms.items():
        family = name.split("/")[0]
        each = per_image(values)  # (b,)
        families[family] = families[family] + each if family in families else each
    return {**families, "loss": torch.stack([values for name, values in families.items() if name != EXTRA]).sum(0)}
