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
Tell = Callable[[float], None]  # hears the share that is done


@dataclass(frozen=True)
class Rate:
    """Bits per image of one way to write it."""

    name: str
    bits: float
    note: str


def of_codes(run: Run, part: str) -> list[Rate]:
    """What the codes take by what the summary holds of the training images."""
    counts = run.summary.codes[part]
    return [
        Rate("codes, all alike", counts.bits_uniform, f"log₂ {run.codes[part].size} bits at each place"),
        Rate("codes, by frequency", counts.bits_empirical, "entropy of each place alone, on training images"),
    ]


def of_prior(run: Run, part: str, images: trainer.Images, n: int) -> Rate | None:
    """What the codes of n images take by the learned prior, where there is one."""
    import torch

    prior = getattr(run.model, "prior", None)
    if prior is None:
        return None
    nats = []
    with torch.inference_mode():
        for rows in torch.arange(n).split(100):
            nats.append(prior.log_prob(run.model.encode(images.batch(rows))[part]))
    bits = -float(torch.cat(nats).mean()) / math.log(2)
    return Rate("codes, by the learned prior", bits, f"−log₂ p(codes), mean of {n} test images")


def of_files(run: Run, images: trainer.Images, n: int, tell: Tell = lambda share: None) -> list[Rate]:
    """What n images take as PNG, and as JPEG of the lowest quality whose PSNR is not below that of the model's decodes.

    Two ways to count each: whole files, and what is left of them without what every file has.
    """
    import torch

    x = images.batch(torch.arange(n))
    with torch.inference_mode():
        y = torch.cat([run.model.decode(run.model.encode(some)) for some in x.split(100)])
    model = float(trainer.psnr(x, y).mean())
    pixels = list(trainer.to_bytes(x))
    tell(0.3)
    sizes = np.array([len(written(image, "png", optimize=True)) for image in pixels])
    found = [
        Rate("PNG", 8 * float(sizes.mean()), f"whole files, lossless, mean of {n} test images"),
        Rate("PNG, pixels alone", 8 * float(sizes.mean() - PNG_FRAME), f"without {PNG_FRAME} bytes that each file has"),
    ]
    low, high = QUALITIES
    tried: dict[int, tuple[float, list[bytes]]] = {}
    while low < high:  # bisection: PSNR rises with quality
        quality = (low + high) // 2
        tried[quality] = jpegs(pixels, quality)
        tell(0.3 + 0.1 * len(tried))
        low, high = (low, quality) if tried[quality][0] >= model else (quality + 1, high)
    psnr, files = tried.get(low) or jpegs(pixels, low)
    if psnr < model:
        return found
    same = f"quality {low}: {psnr:.1f} dB, the decodes have {model:.1f} dB"
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
