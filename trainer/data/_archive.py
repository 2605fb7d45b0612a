"""Published sets: fetched once from OpenML, or read from a folder of archives that is already on the machine.

An archive NAME.npz holds train_images, train_labels, test_images, test_labels in the official order: images uint8,
(n, h, w) or (n, h, w, 3), labels integers. Instead of images it may hold JPEG streams one after another:
train_jpeg (bytes,) with train_offsets (n + 1,), likewise for test; such a file is called NAME_jpeg.npz.
"""

from __future__ import annotations

import gzip
import http.client
import io
import itertools
import os
import shutil
import threading
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from trainer.data import Images, Split, chosen
from trainer.files import replacing
from trainer.places import home

ENVIRONMENT = "LATENT_EXPLORER_DATA"  # names a folder that holds archives
DAMAGED = (
    KeyError, TypeError, ValueError, RuntimeError, EOFError, OSError, zipfile.BadZipFile, zlib.error,
    Image.DecompressionBombError,
)  # fmt: skip


@dataclass(frozen=True)
class Archive:
    """A published data set with fixed splits."""

    name: str  # of the file, and of the data set
    title: str  # for people
    openml: str  # its name on OpenML
    shape: tuple[int, int, int]  # (c, h, w)
    class_names: tuple[str, ...]
    counts: Mapping[Split, int]

    def path(self) -> Path | None:
        """The archive on this machine, if there is one."""
        folders = [Path(os.environ[ENVIRONMENT])] if os.environ.get(ENVIRONMENT) else []
        places = [folder / f"{self.name}{kind}.npz" for folder in [*folders, home() / "data"] for kind in ("", "_jpeg")]
        return next((path for path in places if path.is_file()), None)

    def load(self, split: Split, size: int | None) -> Images:
        """One split, (n, c, h, w). Fetches the set first where it is not on this machine.

        Raises ValueError for a damaged archive or a size it does not have, OSError where it cannot be fetched.
        """
        path = self.path() or self.fetch()
        if not zipfile.is_zipfile(path):
            raise ValueError(f"{self._remedy(path)} It cannot be read: it is no .npz file.")
        try:
            with np.load(path, allow_pickle=False) as file:
                pixels, labels = _images(file, split), np.asarray(file[f"{split}_labels"])
        except DAMAGED as error:
            raise ValueError(f"{self._remedy(path)} It cannot be read: {str(error).rstrip('.')}.") from None
        self._check(pixels, labels, self.counts[split], path)
        rows = chosen(torch.arange(len(pixels)), split, size, self.name)
        channels_first = torch.from_numpy(pixels).view(len(pixels), *self.shape[1:], self.shape[0]).permute(0, 3, 1, 2)
        if size is not None:
            channels_first = channels_first[rows]
        return Images(self.name, channels_first.contiguous(), torch.from_numpy(labels)[rows].long(), self.class_names)

    def _check(self, pixels: np.ndarray, labels: np.ndarray, count: int, path: Path) -> None:
        c, h, w = self.shape
        expected = (count, h, w) if c == 1 else (count, h, w, c)
        if pixels.shape != expected or pixels.dtype != np.uint8:
            raise ValueError(
                f"{self._remedy(path)} Its images are {pixels.dtype} {pixels.shape}, not uint8 {expected}."
            )
        if labels.shape != (count,) or not np.isin(labels, np.arange(len(self.class_names))).all():
            raise ValueError(
                f"{self._remedy(path)} Its labels are not {count:,} numbers of {len(self.class_names)} classes."
            )

    def _remedy(self, path: Path) -> str:
        return f'The archive "{path}" is not {self.title}; remove it, and it is fetched again.'

    def fetch(self) -> Path:
        """Fetch the set through scikit-learn's OpenML client, with a progress bar, check it and keep it.

        Raises OSError with what to do where that fails; nothing half-written stays.
        """
        from urllib.error import URLError

        from sklearn.datasets import fetch_openml

        folder = home() / "data"
        temporary = folder / f".{self.name}-{os.getpid()}"
        temporary.mkdir(parents=True, exist_ok=True)
        try:
            with bytes_on_disk(temporary, f"fetching {self.title}, then reading it"), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the client says aloud that it tries again
                found = fetch_openml(
                    self.openml, version=1, data_home=str(temporary), as_frame=False, parser="liac-arff"
                )
            pixels, labels = self._in_order(found.data, found.target)
            train = self.counts["train"]
            with replacing(folder / f"{self.name}.npz") as path, path.open("wb") as file:
                np.savez_compressed(
                    file, allow_pickle=False, train_images=pixels[:train], train_labels=labels[:train],
                    test_images=pixels[train:], test_labels=labels[train:],
                )  # fmt: skip
        except (
            URLError, http.client.HTTPException, TimeoutError, ConnectionError, EOFError, ValueError, KeyError,
            zlib.error, gzip.BadGzipFile,
        ) as error:  # fmt: skip
            raise OSError(
                f"{self.title} cannot be fetched ({error}). Connect to the internet and try again, or set "
                f"{ENVIRONMENT} to a folder that holds {self.name}.npz."
            ) from None
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return folder / f"{self.name}.npz"

    def _in_order(self, data: Any, target: Any) -> tuple[np.ndarray, np.ndarray]:
        """Rows of pixel values as images, (n, h, w) or (n, h, w, c) uint8, and their labels, checked."""
        c, h, w = self.shape
        rows, labels = np.asarray(data), np.asarray(target).astype(np.int64)
        count = sum(self.counts.values())
        if rows.shape != (count, c * h * w) or len(labels) != count:
            raise ValueError(
                f"{rows.shape[0]:,} rows of {rows.shape[1]:,} values came, expected {count:,} of {c * h * w:,}"
            )
        pixels = rows.astype(np.uint8)
        if not (pixels == rows).all():
            raise ValueError("its values are not whole numbers from 0 to 255")
        return (pixels.reshape(-1, h, w) if c == 1 else pixels.reshape(-1, c, h, w).transpose(0, 2, 3, 1)), labels


def _images(file: Any, split: Split) -> np.ndarray:
    """(n, h, w) or (n, h, w, 3) uint8: stored as such, or as JPEG streams."""
    if f"{split}_jpeg" not in file.files:
        return np.asarray(file[f"{split}_images"])
    stream, offsets = np.asarray(file[f"{split}_jpeg"]).tobytes(), np.asarray(file[f"{split}_offsets"])
    pictures = (
        np.asarray(Image.open(io.BytesIO(stream[start:end]), formats=["JPEG"]))
        for start, end in itertools.pairwise(offsets)
    )
    bar = tqdm(pictures, total=len(offsets) - 1, desc="decoding", unit=" images", leave=False, disable=None)
    return np.stack(list(bar))


@contextmanager
def bytes_on_disk(folder: Path, what: str) -> Iterator[None]:
    """Show how many bytes lie below a folder while the block runs; quiet when stderr is no terminal."""
    done = threading.Event()

    def watch(bar: Any) -> None:
        while not done.wait(0.3):
            bar.update(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) - bar.n)

    with tqdm(desc=what, unit="B", unit_scale=True, leave=False, disable=None) as bar:
        watcher = threading.Thread(target=watch, args=(bar,), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()
