"""An opened checkpoint with its data: the only file that caches."""

from __future__ import annotations

import gc
import threading
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

import trainer

if TYPE_CHECKING:  # these names would load torch, and the first paint does not wait for that
    from trainer import Checkpoint, Estimate, Images, Latent, LatentModel, Summary

BATCH = 512  # decodes at once


@dataclass(frozen=True)
class Run:
    """One checkpoint, shared by everybody who looks at it: nothing here may be changed."""

    checkpoint: Checkpoint
    model: LatentModel
    summary: Summary

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
    def has_prior(self) -> bool:
        """Whether the model has a density; otherwise a Gaussian fitted to its codes stands in for a prior."""
        return isinstance(self.model, trainer.Density)

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
        return "the prior" if self.has_prior else "a Gaussian fitted to the codes"

    @property
    def numbers(self) -> int:
        """How many data images there are to choose from."""
        return len(self.images) if self.images_are_here else self.points

    @property
    def points(self) -> int:
        """How many latents of training images the summary holds."""
        return len(self.summary.arrays["points"])

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
        for part in self.model.space:
            low, high = self.summary.band(part)
            for dim in (-self.summary.importance(part)[0]).argsort(kind="stable"):
                rows.append((f"{part}{dim}", mean[part][dim], std[part][dim], float(low[dim]), float(high[dim])))
        labels, *columns = zip(*rows, strict=True)
        return labels, *(np.array(column) for column in columns)

    def sample(self, seed: int, count: int = 1) -> Latent:
        """Latents from the prior, or what stands in for it."""
        import torch

        return self.model.sample(count, generator=torch.Generator().manual_seed(seed))

    def tensors(self, z: dict[str, list[float]]) -> Latent:
        """Plain numbers -> a latent of one image."""
        import torch

        return {name: torch.tensor([values]) for name, values in z.items()}


def open_run(checkpoint: Checkpoint) -> Run:
    """A checkpoint, opened once for all sessions until its weights change.

    Raises ValueError or OSError with a sentence for the page.
    """
    path = trainer.describe(checkpoint.path).path  # it may have gone since it was listed
    weights = (path / "model.safetensors").stat()
    return _open(str(path), _digest(str(path), weights.st_mtime_ns, weights.st_size))


@lru_cache(maxsize=256)
def _digest(path: str, changed: int, size: int) -> str:
    """The weights' digest, which takes reading them; `changed` and `size` say when to do that again."""
    return trainer.describe(path).digest


@st.cache_resource(max_entries=8, show_spinner="Opening the checkpoint …")
def _open(path: str, digest: str) -> Run:
    run = Run(trainer.describe(path), trainer.load(path), trainer.load_summary(Path(path)))
    run.summary.check(run.model.space)
    settle()
    return run


@st.cache_resource(show_spinner=False)
def warm_up() -> None:
    """After the first paint: import torch in the background, so that the first picture need not wait for it."""

    def work() -> None:
        import torch  # noqa: F401

        import trainer.models  # noqa: F401

    threading.Thread(target=work, daemon=True).start()


def settle() -> None:
    """Take what is loaded out of the garbage collector, which runs after every rerun and would walk all of torch."""
    gc.collect()
    gc.freeze()


@st.cache_resource(max_entries=4, show_spinner="Reading the data …")
def images_of(name: str, side: int | None, changed: float) -> Images:
    """The training images of a data set; `changed` makes a person's own set new when its files are.

    Raises ValueError or OSError with a sentence.
    """
    return trainer.load_data(name, "train", side=side)


@st.cache_data(max_entries=64, show_spinner="Taking a few steps, to see how long all will take …")
def estimate(model: str, options: dict[str, Any], training: dict[str, Any], _images: Images, key: str) -> Estimate:
    """What a training will take; `key` stands for the images. Raises ValueError where no model can be made of them."""
    from trainer import models

    kind = models.get(model)
    return trainer.estimate(model, kind.Options.read(options), trainer.TrainOptions.read(training), _images)
