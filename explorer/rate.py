"""How many bits an image takes: as codes, and as the files that everybody knows. No screen."""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

import trainer
from explorer.opened import Run

if TYPE_CHECKING:
    from PIL.Image import Image

MEASURED = 500  # test images, at most
PNG_FRAME = 57  # bytes of every PNG that are not pixels: signature 8, IHDR 25, IDAT's and IEND's frames 12 each
QUALITIES = (1, 95)  # of JPEG, as Pillow takes them
FIGURES = {  # of a prior's summary: the way to write codes, and how it was measured
    "all codes alike": ("codes, all alike", "log₂ K bits at each place"),
    "each place alone": ("codes, by frequency", "each place alone by the training images, mean of test images"),
    "prior": ("codes, by the learned prior", "−log₂ p(codes), mean of test images"),
    "prior, class known": ("codes, by the prior, class known", "−log₂ p(codes | class), mean of test images"),
}
Tell = Callable[[float], None]  # hears the share that is done


@dataclass(frozen=True)
class Rate:
    """Bits per image of one way to write it."""

    name: str
    bits: float
    note: str


def of_codes(run: Run, part: str) -> list[Rate]:
    """What the codes take by what was measured: of a learned prior, where there is one; otherwise of the model.

    Raises FileNotFoundError or ValueError for a prior whose summary is not there or cannot be read.
    """
    measured: dict[str, np.ndarray] = {}
    for stage in run.checkpoint.stages:
        if stage.name in run.model.stages:
            measured |= trainer.load_summary(stage.path).arrays
    found = [
        Rate(name, float(measured[f"figures/{figure}"]), note)
        for figure, (name, note) in FIGURES.items()
        if f"figures/{figure}" in measured
    ]
    return found or of_frequencies(run, part)


def of_frequencies(run: Run, part: str) -> list[Rate]:
    """What the codes take by the model's own summary, which holds how often each stands where in training images."""
    counts = run.summary.codes[part]
    return [
        Rate("codes, all alike", counts.bits_uniform, "log₂ K bits at each place"),
        Rate("codes, by frequency", counts.bits_empirical, "entropy of each place alone, on training images"),
    ]


def lossless(run: Run, found: list[Rate]) -> list[Rate]:
    """What an image takes to the last bit, where the model says: its codes by the learned prior, or else all alike, and
    then its pixels.
    """
    if not run.model.is_code_length:
        return []
    bits = {rate.name: rate.bits for rate in found}
    name = next(name for name in (FIGURES["prior"][0], FIGURES["all codes alike"][0]) if name in bits)
    pixels = float(run.summary.arrays["mean/reconstruction"]) / math.log(2)
    note = f"{name}, and {pixels:,.0f} bits of −log₂ p(pixels | codes), mean of test images"
    if run.model.likelihood == "Bernoulli":
        note += "; of each pixel only whether it is above ½"
    return [Rate("codes and pixels, lossless", bits[name] + pixels, note)]


def of_files(run: Run, images: trainer.Images, n: int, tell: Tell = lambda share: None) -> list[Rate]:
    """What n images take as PNG, and as JPEG of the lowest quality whose PSNR is not below that of the model's decodes,
    or where none is, of the highest. `tell` hears 1 at the end.

    Two ways to count each: whole files, and what is left of them without what every file has.
    """
    import torch

    low, high = QUALITIES
    rounds = 2 + math.ceil(math.log2(high - low))  # the decodes, PNG, and JPEG until the bisection ends
    x, ratios = images.batch(torch.arange(n)), []
    with torch.inference_mode():
        for some in x.split(100):
            ratios.append(trainer.psnr(some, run.model.decode(run.model.encode(some))))
            tell(sum(map(len, ratios)) / n / rounds)
    model = float(torch.cat(ratios).mean())
    pixels = list(trainer.to_bytes(x))
    sizes = np.array([len(written(image, "png", optimize=True)) for image in pixels])
    found = [
        Rate("PNG", 8 * float(sizes.mean()), f"whole files, lossless, mean of {n} test images"),
        Rate("PNG, pixels alone", 8 * float(sizes.mean() - PNG_FRAME), f"without {PNG_FRAME} bytes that each file has"),
    ]
    tell(2 / rounds)
    tried: dict[int, tuple[float, list[bytes]]] = {}
    while low < high:  # bisection: PSNR rises with quality
        quality = (low + high) // 2
        tried[quality] = jpegs(pixels, quality)
        tell((2 + len(tried)) / rounds)
        low, high = (low, quality) if tried[quality][0] >= model else (quality + 1, high)
    psnr, files = tried.get(low) or jpegs(pixels, low)
    tell(1)
    same = f"quality {low}: {psnr:.1f} dB, the decodes have {model:.1f} dB"
    if psnr < model:
        same += f", which JPEG does not reach up to quality {low}"
    whole, scans = (8 * float(np.mean([size(file) for file in files])) for size in (len, scan_bytes))
    return [*found, Rate("JPEG", whole, f"whole files, {same}"),
            Rate("JPEG, pixels alone", scans, "without headers and tables")]  # fmt: skip


def written(image: np.ndarray, form: str, **options: object) -> bytes:
    """(h, w, c) uint8 as a file."""
    from PIL import Image

    out = io.BytesIO()
    picture: Image.Image = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    picture.save(out, form, **options)
    return out.getvalue()


def jpegs(pixels: Sequence[np.ndarray], quality: int) -> tuple[float, list[bytes]]:
    """The mean PSNR in dB of images as JPEG with optimised tables and without subsampling of colour, and the files."""
    from PIL import Image

    found, ratios = [], []
    for image in pixels:
        file = written(image, "jpeg", quality=quality, optimize=True, subsampling=0)
        back = np.asarray(Image.open(io.BytesIO(file)), np.float64).reshape(image.shape)
        ratios.append(-10 * math.log10(max(float(np.square((back - image) / 255).mean()), 1e-12)))
        found.append(file)
    return float(np.mean(ratios)), found


def scan_bytes(file: bytes) -> int:
    """The bytes of a JPEG's entropy-coded data: what follows the header of its scan, without the end marker."""
    place = 2
    while file[place + 1] != 0xDA:  # markers with a length, up to the start of the scan
        place += 2 + struct.unpack(">H", file[place + 2 : place + 4])[0]
    place += 2 + struct.unpack(">H", file[place + 2 : place + 4])[0]
    return len(file) - place - 2
