"""python -m trainer sample: draws from a checkpoint's prior, as one picture."""

from __future__ import annotations

from pathlib import Path

import tyro
from pydantic import Field

from trainer import checkpoint
from trainer.files import replacing
from trainer.options import Options

DRAWN_AT_ONCE = 64  # images between two steps of the progress bar


class Draw(Options):
    """What `sample` draws."""

    count: int = Field(ge=1, le=10_000)
    seed: int = Field(ge=0, le=2**31 - 1)
    temperature: float = Field(ge=0, le=100)


def sample(
    folder: tyro.conf.Positional[Path], /, out: Path, count: int = 64, seed: int = 0, temperature: float = 1.0
) -> None:
    """Draw from a checkpoint's prior and write the decoded images as one PNG.

    Args:
        folder: the checkpoint's folder
        out: the PNG file to write
        count: how many images, up to 10,000
        seed: of the draw, 0 or more
        temperature: scales the prior's standard deviation; divides the log-probabilities of codes; 0 or more
    """
    import math

    import torch
    from tqdm import tqdm

    from trainer import sheet

    Draw.read({"count": count, "seed": seed, "temperature": temperature})
    if not out.parent.is_dir():
        raise ValueError(f'there is no folder "{out.parent}" to write {out.name} into')
    if out.is_dir():
        raise ValueError(f'"{out}" is a folder: name a PNG file to write')
    if out.suffix.lower() != ".png":
        raise ValueError(f'"{out}" does not end in .png: the picture is written as PNG')
    model = checkpoint.load(folder)
    with torch.no_grad():
        generator = torch.Generator().manual_seed(seed)
        sizes = [min(DRAWN_AT_ONCE, count - start) for start in range(0, count, DRAWN_AT_ONCE)]
        drawn = (
            model.sample(n, temperature=temperature, generator=generator)
            for n in tqdm(sizes, unit=f" times {DRAWN_AT_ONCE} images", leave=False, disable=None)
        )
        images = torch.cat([model.decode(z) for z in drawn])
    picture = sheet.contact_sheet(images, math.ceil(math.sqrt(count)), sheet.scale_for(model.shape))
    with replacing(out) as temporary:
        picture.save(temporary, "png")
    print(f"wrote {out}, {count} images")
