"""A folder of WAV files of a person's own: one subfolder per class, or flat. A file is one waveform, its middle half
second at 8,000 samples a second; of several channels the mean.
"""

from __future__ import annotations

import math
import wave
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from trainer.data import Images, Split, part_of
from trainer.data._folder import listing
from trainer.data._mapped import LEAST
from trainer.data.vowels import LENGTH, RATE

KINDS = {".wav"}
RATES, CHANNELS = (1_000, 400_000), 16


def load(path: Path, split: Split, size: int | None) -> Images:
    """Nine tenths to train on, one tenth to test on; (n, 1, 1, 4096) from 0 to 1 with silence at ½.

    Raises ValueError that names the file and says what to do for what is no WAV file of 16 bits.
    """
    path = path.resolve()
    files, labels, class_names = listing(path, KINDS)
    if len(files) < LEAST:
        raise ValueError(f'"{path.name}" has {len(files)} WAV files; at least {LEAST} are needed')
    rows = part_of(len(files), split, size, path.name)
    bar = tqdm(rows.tolist(), desc=f"reading {path.name}", unit=" files", leave=False, disable=None)
    waves = np.stack([read(files[row]) for row in bar])
    known = torch.tensor(labels)[rows] if class_names else None
    pixels = torch.from_numpy(0.5 + 0.5 * waves).float()[:, None, None]
    return Images(path.name, pixels, known, class_names, rate=RATE)


def read(file: Path) -> np.ndarray:
    """The middle of a file, (4096,) from −1 to 1; a shorter one gets silence around it.

    No more than that is read, whatever the header says. Raises ValueError that names the file.
    """
    from scipy.signal import resample_poly

    try:
        with wave.open(str(file), "rb") as sound:
            about = sound.getparams()
            if about.sampwidth != 2:
                raise _refused(file, f"it has {8 * about.sampwidth} bits a sample, expected 16")
            if not RATES[0] <= about.framerate <= RATES[1]:
                raise _refused(
                    file, f"it has {about.framerate:,} samples a second, expected {RATES[0]:,} to {RATES[1]:,}"
                )
            if about.nchannels > CHANNELS:
                raise _refused(file, f"it has {about.nchannels:,} channels, expected {CHANNELS} at most")
            wanted = math.ceil(LENGTH * about.framerate / RATE)
            sound.setpos(max(0, about.nframes - wanted) // 2)
            frames = sound.readframes(wanted)
    except (wave.Error, EOFError, OSError, RuntimeError) as error:
        raise _refused(file, str(error) or "it ends too early") from None
    whole = len(frames) // (2 * about.nchannels)
    if not whole:
        raise _refused(file, "it holds no sound")
    sound_of = np.frombuffer(frames, "<i2", whole * about.nchannels).reshape(whole, -1).mean(1) / 2**15
    common = math.gcd(RATE, about.framerate)
    heard = resample_poly(sound_of, RATE // common, about.framerate // common)[:LENGTH].clip(-1, 1)
    before = (LENGTH - len(heard)) // 2
    return np.pad(heard, (before, LENGTH - len(heard) - before))


def _refused(file: Path, why: str) -> ValueError:
    return ValueError(
        f'the sound "{file.name}" in {file.parent} cannot be read ({why}): bring it to WAV (PCM) with 16 bits a '
        "sample, or remove it"
    )
