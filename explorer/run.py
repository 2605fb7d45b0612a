"""An opened checkpoint with its data: the only file that caches."""

from __future__ import annotations

import gc
import threading
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

import trainer

if TYPE_CHECKING:  # these names would load torch, and the first paint does not wait for that
    from trainer import Checkpoint, Images, Latent, LatentModel, Summary

BATCH = 512  # decodes at once


@dataclass(frozen=True)
class Run:
    """One checkpoint, shared by everybody who looks at it: nothing here may be changed."""

    checkpoint: Checkpoint
    model: LatentModel
    summary: Summary

    @cached_property
    def images(self) -> Images:
        """The test split of the data that the model was trained on."""
        data = self.checkpoint.config.data
        return trainer.load_data(data.name, "test", data.size)

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

    def image(self, number: int) -> tuple[np.ndarray, Latent]:
        """A test image as (h, w, c) uint8, and its latent, each part (1, …)."""
        import torch

        with torch.inference_mode():
            x = self.images.batch(torch.tensor([number]))
            return trainer.to_bytes(x)[0], self.model.encode(x)

    def sample(self, seed: int) -> Latent:
        """One latent from the prior."""
        import torch

        return self.model.sample(1, generator=torch.Generator().manual_seed(seed))

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
