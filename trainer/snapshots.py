"""A training in pictures: the same images reconstructed, and the same draws from the prior decoded, as it goes on.

snapshots.npz holds, all uint8 (…, h, w, c): originals (n, …), reconstructions (k, n, …), samples (k, n, …); steps (k,).
"""

from __future__ import annotations

import io
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from trainer.data import Images
from trainer.files import replacing
from trainer.latent import LatentModel, condition
from trainer.sheet import divisor, pictures, reduced
from trainer.trainable import Trainable

FILE = "snapshots.npz"
IMAGES = 8
STAGES = 20  # as many steps at equal distances, and as many at equal ratios
MOST = 64  # snapshots in a file; of more, as resumes bring, every second one is kept
BYTES = 4 * 2**20  # of all pictures of a run; larger images are reduced by a whole number
WRITE_EVERY = 1.0  # seconds


@dataclass
class Film:
    """The pictures of a training, one entry per step that was kept."""

    originals: np.ndarray  # (n, h, w, c) uint8
    steps: list[int]
    reconstructions: list[np.ndarray]  # of (n, h, w, c) uint8
    samples: list[np.ndarray]  # the same


def load_film(folder: Path) -> Film | None:
    """What snapshots.npz holds, None where there is none. Raises ValueError where it cannot be read."""
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            found = {name: file[name] for name in ("originals", "steps", "reconstructions", "samples")}
        shape, k = found["originals"].shape, len(found["steps"])
        pictures = [found["originals"], found["reconstructions"], found["samples"]]
        if [array.shape for array in pictures] != [shape, (k, *shape), (k, *shape)] or len(shape) != 4:
            raise ValueError(f"its arrays came as {[array.shape for array in found.values()]}")
        if any(array.dtype != np.uint8 for array in pictures) or (np.diff(found["steps"]) <= 0).any():
            raise ValueError("its pictures are no bytes, or its steps do not rise")
    except (ValueError, KeyError, EOFError, OSError, zipfile.BadZipFile, NotImplementedError) as error:
        raise ValueError(f'"{path}" cannot be read: {error}') from None
    return Film(found["originals"], found["steps"].tolist(), list(found["reconstructions"]), list(found["samples"]))


def due_steps(steps: int) -> list[int]:
    """About 40 steps of a run: dense at first, where much changes, and never far apart."""
    last = max(steps, 1)
    both = np.concatenate([np.geomspace(1, last, STAGES), np.linspace(0, steps, STAGES + 1)]).round()
    return [int(step) for step in np.unique(np.minimum(both, steps))]


class Snapshots:
    """Takes the pictures of one run. The run is the same as without: no random state moves, no buffer changes."""

    def __init__(self, folder: Path, model: Trainable, test: Images, steps: int, done: int) -> None:
        self.folder = folder
        self.written = 0.0
        self.due: list[int] = []
        self.film: Film | None = None
        if not isinstance(model, LatentModel):
            return  # a second stage has no pictures of its own
        self.model = model
        self.due = [step for step in due_steps(steps) if step >= done]
        n = min(IMAGES, len(test))
        self.x = test.batch(torch.arange(n), model.device)
        shape = pictures(self.x).shape[1:]  # (h, w, c)
        self.by = divisor(shape, 2 * n * (2 * STAGES + 1), BYTES) or max(shape)
        self.film = self._known(done) or Film(self._bytes(self.x), [], [], [])

    def _known(self, done: int) -> Film | None:
        """What an earlier run kept up to the step that this one goes on from."""
        try:
            film = load_film(self.folder)
        except ValueError:
            return None
        if film is None or film.originals.shape != self._bytes(self.x).shape:
            return None
        kept = sum(step <= done for step in film.steps)
        return Film(film.originals, film.steps[:kept], film.reconstructions[:kept], film.samples[:kept])

    def _bytes(self, images: torch.Tensor) -> np.ndarray:
        return reduced(pictures(images), self.by)

    def is_due(self, step: int) -> bool:
        return bool(self.due) and self.due[0] <= step

    @torch.no_grad()
    def take(self, step: int) -> None:
        """Keep the pictures of this step, once."""
        if self.film is None:
            return
        self.due = [other for other in self.due if other > step]
        if step in self.film.steps:
            return
        training = self.model.training
        devices = [self.model.device] if self.model.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            self.model.eval()
            back = self.model.decode(self.model.encode(self.x))
            seeded, given = torch.Generator().manual_seed(0), condition(self.model, self.x)
            drawn = self.model.decode(self.model.sample(len(self.x), given, generator=seeded))
            self.model.train(training)
        self.film.steps.append(step)
        self.film.reconstructions.append(self._bytes(back))
        self.film.samples.append(self._bytes(drawn))
        if len(self.film.steps) > MOST:
            for kept in (self.film.steps, self.film.reconstructions, self.film.samples):
                del kept[1:-1:2]

    def write(self, now: bool = True) -> None:
        """Write the file whole; unless it must be `now`, not more often than once a second."""
        film = self.film
        if film is not None and (now or time.monotonic() - self.written > WRITE_EVERY):
            with replacing(self.folder / FILE) as temporary, temporary.open("wb") as file:
                np.savez_compressed(
                    file, originals=film.originals, steps=np.array(film.steps, np.int64),
                    reconstructions=np.array(film.reconstructions), samples=np.array(film.samples),
                )  # fmt: skip
            self.written = time.monotonic()
