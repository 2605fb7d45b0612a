"""An opened checkpoint with its data, and what the pages ask of it. No screen."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import trainer

if TYPE_CHECKING:  # these names would load torch, and the first paint does not wait for that
    from trainer import Checkpoint, Codes, Gaussian, Images, Label, Latent, LatentModel, Summary

BATCH = 512  # decodes at once
Track = Callable[[Iterable[Any]], Iterable[Any]]  # wraps a loop that may take long, to show its progress
drawing = threading.Lock()  # held by who draws from torch's generator, which all threads share: a new model does too


@dataclass(frozen=True)
class Run:
    """One checkpoint, shared by everybody who looks at it: nothing here may be changed."""

    checkpoint: Checkpoint
    model: LatentModel
    summary: Summary
    version: str = ""  # of the weights and of every second stage on top of them: what is computed is kept under this

    @cached_property
    def images(self) -> Images:
        """The test split of the data that the model was trained on; where they are not `here`, that fetches them."""
        return self.checkpoint.config.data.load("test")

    @property
    def images_were_fetched(self) -> bool:
        """Whether the data lie on this machine, whole or not; asking reads nothing."""
        return trainer.data_is_here(self.checkpoint.config.data.name)

    @cached_property
    def images_problem(self) -> str | None:
        """Why the data that lie here are not the model's images, in a sentence; None where they are. Found out once."""
        name = self.checkpoint.config.data.name
        try:
            found = self.images.shape
        except (ValueError, OSError) as error:
            why = str(error).replace(name, self.data_title)
        else:
            if found == self.model.shape:
                return None
            why = f"they are {found}, and the model takes {tuple(self.model.shape)}"
        return (
            f"The images of {self.data_title} cannot be shown: {why.rstrip('.')}. Mend that, then start the app again."
        )

    @property
    def images_are_here(self) -> bool:
        """Whether the data's images can be shown without fetching anything. Asking reads them."""
        return self.images_were_fetched and self.images_problem is None

    @cached_property
    def look(self) -> trainer.Look | None:
        """What the images of the data have in common."""
        return trainer.Look.of(self.summary.arrays)

    @property
    def gaussian(self) -> dict[str, Gaussian]:
        """The latent's parts of real numbers."""
        return {name: part for name, part in self.model.space.items() if isinstance(part, trainer.Gaussian)}

    @property
    def codes(self) -> dict[str, Codes]:
        """The latent's grids of codes."""
        return {name: part for name, part in self.model.space.items() if isinstance(part, trainer.Codes)}

    @property
    def labels(self) -> dict[str, Label]:
        """The latent's classes."""
        return {name: part for name, part in self.model.space.items() if isinstance(part, trainer.Label)}

    @property
    def is_continuous(self) -> bool:
        """Whether the whole latent is real numbers and probabilities of classes, so that it has a mean, can be moved,
        and leads back from points.
        """
        return len(self.gaussian) + len(self.labels) == len(self.model.space)

    @property
    def is_coded(self) -> bool:
        """Whether the whole latent is one grid of codes or several."""
        return len(self.codes) == len(self.model.space)

    @property
    def latent_title(self) -> str:
        """What the latent is, for people."""
        classes = [f"one of {part.size} classes" for part in self.labels.values()]
        numbers = [f"{part.dims} real numbers" for part in self.gaussian.values()]
        grids = [f"a grid of {part.h} × {part.w} codes out of {part.size}" for part in self.codes.values()]
        seen = ["what is visible of an image"] * (not (self.is_continuous or self.codes))
        return " and ".join(classes + seen + numbers + grids)

    def class_names(self, part: str) -> list[str]:
        """What the classes of a part are called: as in the data where the model is told them, else by their number."""
        names, size = self.checkpoint.config.data.class_names, self.labels[part].size
        return names if self.model.labelled and len(names) == size else [str(number) for number in range(size)]

    @cached_property
    def _widths(self) -> dict[str, int]:
        """How many dimensions of points each part has."""
        return {name: part.dims for name, part in self.gaussian.items()} | {
            name: part.size for name, part in self.labels.items()
        }

    @property
    def dims(self) -> list[str]:
        """The names of the dimensions of points; what a model makes of codes or pixels has no better ones."""
        if self.is_continuous:
            return [trainer.dimension_name(name, dim) for name in self.model.space for dim in range(self._widths[name])]
        return [f"p{dim}" for dim in range(self.summary.arrays["points"].shape[1])]

    @property
    def is_real(self) -> np.ndarray:
        """(d,) bool: which dimensions of points are real numbers, and not probabilities of classes."""
        return np.concatenate([np.full(self._widths[name], name in self.gaussian) for name in self.model.space])

    @property
    def is_line(self) -> bool:
        """Whether the images are waveforms: one row of samples."""
        return self.model.shape[1] == 1

    @property
    def kind(self) -> str:
        """What one of the data is, for people."""
        return self.checkpoint.config.data.kind

    @property
    def about(self) -> str:
        """What the checkpoint is a model of, for people."""
        what = f"waveforms of {self.model.shape[2]:,} samples" if self.is_line else "images"
        return f"a model of {what} whose latent is {self.latent_title}"

    def stage_command(self, stage: str) -> str:
        """What trains a second stage on top of it."""
        return f"python -m trainer stage {stage} {place_of(self.checkpoint)}"

    @property
    def has_classes(self) -> bool:
        """Whether the data that it was trained on have labels."""
        return bool(self.checkpoint.config.data.class_names)

    @property
    def has_density(self) -> bool:
        """Whether the likelihood of an image can be bounded."""
        return isinstance(self.model, trainer.Density)

    @property
    def has_prior(self) -> bool:
        """Whether `sample` draws from what the model has learned; otherwise something simpler stands in for a prior."""
        return self.has_density or not (self.is_continuous or self.model.sample_note)

    @property
    def sample_note(self) -> str:
        """What to know of samples that are not of the model's own prior, and what to do; empty where they are."""
        said = self.model.sample_note
        if self.has_prior or said:
            return said[:1].upper() + said[1:]
        return ("This model has no prior, so nothing says where its codes lie. These are draws from a Gaussian that "
                "was fitted to its codes.")  # fmt: skip

    def looked_at(self, image: np.ndarray) -> np.ndarray:
        """A picture (h, w, c) in [0, 1] as the model takes it, as bytes: black and white where it binarises."""
        import torch

        x = torch.from_numpy(np.ascontiguousarray(image, np.float32)).permute(2, 0, 1)[None]
        return trainer.to_bytes(self.model.looked_at(x))[0]

    def decode(self, z: Latent) -> np.ndarray:
        """(n, h, w, c) uint8 pictures of n latents."""
        import torch

        with torch.inference_mode():
            n = len(next(iter(z.values())))
            parts = [{name: values[i : i + BATCH] for name, values in z.items()} for i in range(0, n, BATCH)]
            return np.concatenate([trainer.to_bytes(self.model.decode(part)) for part in parts])

    @property
    def prior_title(self) -> str:
        """What `sample` draws from, for people."""
        stand_in = "a Gaussian fitted to the codes" if self.is_continuous else "the frequency of each code at its place"
        return "the prior" if self.has_prior else stand_in

    @property
    def numbers(self) -> int:
        """How many data images there are to choose from: of the test split, or else latents that stand in for some."""
        if self.images_are_here:
            return len(self.images)
        return self.points if self.is_continuous else 0

    @property
    def points(self) -> int:
        """How many latents of training images the summary holds."""
        return len(self.summary.arrays["points"])

    @property
    def factors(self) -> tuple[tuple[str, ...], np.ndarray] | None:
        """Names and levels (n, f) of the known causes of the images that the summary's points are of, if any are."""
        return self._factors if self.images_are_here else None

    @cached_property
    def _factors(self) -> tuple[tuple[str, ...], np.ndarray] | None:
        import torch

        train = self.checkpoint.config.data.load("train")
        levels = train.factors(torch.from_numpy(self.summary.arrays["ids"]).long())
        return None if levels is None else (train.factor_names, levels.numpy())

    @property
    def data_title(self) -> str:
        """The data's name, for people; of a path only its last part, for the rest is of one machine."""
        return self.checkpoint.config.data.title

    @property
    def fetching(self) -> str:
        """What to do where the images are not here."""
        if self.images_were_fetched and self.images_problem:
            return self.images_problem
        name = self.data_title
        if name != self.checkpoint.config.data.name:
            return f"The images of {name} are not on this machine. Put {name} back where it was at the training."
        return f"The images of {name} are not on this machine. Fetch them once: python -m trainer fetch {name}."

    def picture(self, number: int) -> np.ndarray:
        """A test image, (h, w, c) uint8; where the images are not here, the decode of a training image."""
        return self.image(number)[0] if self.images_are_here else self.decode(self.point(number))[0]

    def image(self, number: int) -> tuple[np.ndarray, Latent]:
        """A test image as (h, w, c) uint8, and its latent, each part (1, …)."""
        import torch

        with torch.inference_mode():
            x = self.images.batch(torch.tensor([number]))
            return trainer.to_bytes(x)[0], self.model.encode(x)

    def point(self, number: int) -> Latent:
        """The latent of a training image, which the summary holds, each part (1, …)."""
        import torch

        points = self.summary.arrays["points"][number : number + 1]
        return self.model.from_points(torch.from_numpy(points.astype(np.float32)))

    def posterior_rows(self, mean: dict[str, list[float]], std: dict[str, list[float]]) -> tuple[Any, ...]:
        """Labels, means, stds, and the 5th and 95th percentiles of the data, per dimension, most important first."""
        rows = []
        for part in self.gaussian:
            low, high = self.summary.band(part)
            for dim in (-self.summary.importance(part)[0]).argsort(kind="stable"):
                band = float(low[dim]), float(high[dim])
                rows.append((trainer.dimension_name(part, dim), mean[part][dim], std[part][dim], *band))
        labels, *columns = zip(*rows, strict=True)
        return labels, *(np.array(column) for column in columns)

    def sample(
        self, seed: int, count: int = 1, temperature: float = 1.0, label: int | None = None, track: Track = iter
    ) -> Latent:
        """Latents from the prior, or what stands in for it, of one class if `label` is its number.

        Classes that are drawn are the same at every temperature.
        """
        import torch

        part, seeded = next(iter(self.labels), "y"), torch.Generator().manual_seed(seed)
        with torch.inference_mode():
            given = {} if label is None else {part: torch.full((count,), label)}
            if self.labels and label is None:
                drawn = self.model.sample(count, generator=torch.Generator().manual_seed(seed))
                given = {name: drawn[name] for name in self.labels}
            return self.model.sample(count, given, temperature, seeded, track)

    def class_mean(self, labels: Mapping[str, int]) -> Latent:
        """The mean of the prior, given the classes of some parts; the first class of all others. Each part is (1, …).

        Where no part is a class, the real numbers' own 0.
        """
        import torch

        if not self.labels:
            return {name: torch.zeros(1, part.dims) for name, part in self.gaussian.items()}
        given = {name: torch.tensor([labels.get(name, 0)]) for name in self.labels}
        with torch.inference_mode():
            return self.model.sample(1, given, 0.0, torch.Generator().manual_seed(0))

    @property
    def known_classes(self) -> list[str]:
        """The classes that a learned prior can be asked for."""
        known = self.model.prior.known if self.model.prior is not None else 0
        return (self.checkpoint.config.data.class_names or [str(label) for label in range(known)])[:known]

    def plain(self, z: Latent, index: int = 0) -> dict[str, list[float]]:
        """One image's latent in plain numbers, those of a grid row by row."""
        return {name: values[index].flatten().tolist() for name, values in z.items()}

    def tensors(self, z: dict[str, list[float]]) -> Latent:
        """The inverse of `plain`, as a latent of one image. Rounded probabilities have a sum of 1 again."""
        import torch

        sides = {name: (part.h, part.w) for name, part in self.codes.items()} | {
            name: (part.c, part.h, part.w)
            for name, part in self.model.space.items()
            if isinstance(part, trainer.Visible)
        }
        found = {name: torch.tensor(values).view(1, *sides.get(name, (-1,))) for name, values in z.items()}
        return {name: values / values.sum() if name in self.labels else values for name, values in found.items()}


def place_of(checkpoint: Checkpoint) -> str:
    """A checkpoint's folder as a command names it, from the working folder if it lies in there."""
    path = checkpoint.path.resolve()
    return shlex.quote(str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path))


@contextmanager
def seeded(seed: int = 0) -> Iterator[None]:
    """For what a model computes with noise of its own: no gradients, and the same noise for the same seed."""
    import torch

    with drawing, torch.inference_mode(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
