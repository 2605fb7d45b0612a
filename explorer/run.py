"""An opened checkpoint with its data: the only file that caches."""

from __future__ import annotations

import gc
import threading
from dataclasses import dataclass
from functools import cached_property
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
        data = self.checkpoint.config.data
        return trainer.load_data(data.name, "test", data.size)

    @property
    def images_are_here(self) -> bool:
        """Whether the data's images can be shown without fetching anything."""
        return trainer.data_is_here(self.checkpoint.config.data.name)

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
        return len(self.images) if self.images_are_here else len(self.summary.arrays["points"])

    @property
    def fetching(self) -> str:
        """What to do where the images are not here."""
        name = self.checkpoint.config.data.name
        return f"The images of {name} are not on this machine. Fetch them once: `python -m trainer fetch {name}`"

    def picture(self, number: int) -> np.ndarray:
        """A test image, (h, w, c) uint8."""
        import torch

        return trainer.to_bytes(self.images.batch(torch.tensor([number])))[0]

    def image(self, number: int) -> tuple[np.ndarray | None, Latent]:
        """A test image as (h, w, c) uint8, and its latent, each part (1, …).

        Where the images are not here: None, and the latent of a training image, which the summary holds.
        """
        import torch

        with torch.inference_mode():
            if not self.images_are_here:
                points = self.summary.arrays["points"][number : number + 1]
                return None, self.model.from_points(torch.from_numpy(points.astype(np.float32)))
            x = self.images.batch(torch.tensor([number]))
            return trainer.to_bytes(x)[0], self.model.encode(x)

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


@st.cache_resource(max_entries=8, show_spinner="Opening the checkpoint …")
def open_run(path: str, digest: str) -> Run:
    """Open a checkpoint once for all sessions; `digest` of its weights is the key that makes a changed one new.

    Raises ValueError or OSError with a sentence for the page.
    """
    checkpoint = next(found for found in trainer.checkpoints(Path(path).parent) if found.path == Path(path))
    run = Run(checkpoint, trainer.load(path), trainer.load_summary(Path(path)))
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
def images_of(name: str, changed: float) -> Images:
    """The training images of a data set; `changed` makes a person's own set new when its files are.

    Raises ValueError or OSError with a sentence.
    """
    return trainer.load_data(name, "train")


@st.cache_data(max_entries=64, show_spinner="Taking a few steps, to see how long all will take …")
def estimate(model: str, options: dict[str, Any], training: dict[str, Any], _images: Images, key: str) -> Estimate:
    """What a training will take; `key` stands for the images. Raises ValueError where no model can be made of them."""
    from trainer import models

    kind = models.get(model)
    return trainer.estimate(model, kind.Options.read(options), trainer.TrainOptions.read(training), _images)
