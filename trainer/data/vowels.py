"""Half-second waveforms of five vowels and of tones, synthesised when asked for: 3,000 of them, 8,000 samples a second.

A vowel is a train of pulses through four resonances (Fant's source and filter); the formants are the averages that
Peterson and Barney measured in 1952, scaled by a speaker. Pitch, glide, speaker, loudness and place vary by a seed.
"""

from __future__ import annotations

import numpy as np
import torch
from tqdm import tqdm

from trainer.data import Images, Split, part_of

RATE, LENGTH = 8_000, 4_096  # samples per second, samples
COUNT = 3_000
FORMANTS = {  # Hz
    "a": (730, 1090, 2440),
    "e": (530, 1840, 2480),
    "i": (270, 2290, 3010),
    "o": (570, 840, 2410),
    "u": (300, 870, 2240),
}
FOURTH, BANDWIDTHS = 3_300, (60, 90, 150, 200)  # Hz; the fourth formant tells speakers, not vowels
CLASSES = (*FORMANTS, "tone")


def load(split: Split, size: int | None = None) -> Images:
    """2,700 waveforms to train on, 300 to test on; (n, 1, 1, 4096) from 0 to 1 with silence at ½, six classes."""
    rows = part_of(COUNT, split, size, "vowels")
    bar = tqdm(rows.tolist(), desc="synthesising vowels", unit=" waveforms", leave=False, disable=None)
    waves = np.stack([waveform(row) for row in bar])
    pixels = torch.from_numpy(0.5 + 0.5 * waves).float()[:, None, None]
    return Images("vowels", pixels, rows % len(CLASSES), CLASSES, rate=RATE)


def waveform(number: int) -> np.ndarray:
    """Number 0 … 2,999, whose class is its remainder by six, (4096,) from −1 to 1."""
    random = np.random.default_rng(number)
    name = CLASSES[number % len(CLASSES)]
    speaker = random.uniform(0.9, 1.15)  # how much shorter than an average man's the vocal tract is
    slowest, fastest = (200.0, 1000.0) if name == "tone" else (85 * speaker, 220 * speaker)  # Hz
    pitch = slowest * (fastest / slowest) ** random.uniform()
    glide = np.linspace(1, random.uniform(0.85, 1.15), LENGTH)
    phase = random.uniform() + np.cumsum(pitch * glide / RATE)  # turns
    if name == "tone":
        partials = random.uniform(size=3) * (1, 0.5, 0.25) + (1, 0, 0)
        wave = sum(partial * np.sin(2 * np.pi * k * phase) for k, partial in enumerate(partials, 1))
    else:
        wave = _vowel(phase, [speaker * formant for formant in (*FORMANTS[name], FOURTH)])
    wave = wave * _envelope(random.uniform(0, 0.04), random.uniform(0.4, 0.46))
    return wave * (random.uniform(0.4, 0.9) / np.abs(wave).max())


def _vowel(phase: np.ndarray, formants: list[float]) -> np.ndarray:
    """A pulse at each whole turn, through a filter per formant (Hz)."""
    from scipy.signal import sosfilt

    turns, before = np.floor(phase[1:]), np.floor(phase[:-1])
    late = np.where(turns > before, (phase[1:] - turns) / np.diff(phase), 0)  # how far before the sample, of one sample
    pulses = np.zeros(LENGTH)
    pulses[1:] += np.where(turns > before, 1 - late, 0)
    pulses[:-1] += late
    sections = [(1, -1, 0, 1, -1.8, 0.81)]  # what the glottis lets through, and the lips radiate
    for formant, bandwidth in zip(formants, BANDWIDTHS, strict=True):
        radius, angle = np.exp(-np.pi * bandwidth / RATE), 2 * np.pi * formant / RATE
        back, further = -2 * radius * np.cos(angle), radius**2
        sections.append((1 + back + further, 0, 0, 1, back, further))  # gain 1 at 0 Hz
    return np.asarray(sosfilt(np.array(sections), pulses))


def _envelope(start: float, duration: float) -> np.ndarray:
    """Silence, a rise of 20 ms, and a fall of 60 ms until `start` + `duration`, in seconds."""
    time = np.arange(LENGTH) / RATE
    rise, fall = (time - start) / 0.02, (start + duration - time) / 0.06
    return np.sin(np.pi / 2 * np.minimum(rise, fall).clip(0, 1)) ** 2
