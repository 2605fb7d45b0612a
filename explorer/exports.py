"""Selected points as files: tables for a notebook, and what TensorBoard's Embedding Projector opens. No screen."""

from __future__ import annotations

import io
import math
import zipfile
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

import trainer
from explorer.cloud import Cloud

if TYPE_CHECKING:
    import pyarrow

SPRITE = 8192  # px, the largest side of a sprite that the projector shows
BATCH = 512


def table(cloud: Cloud, places: np.ndarray, rows: np.ndarray) -> pyarrow.Table:
    """A row per point: its id, its place (x, y) on the map, and every column, the latents among them."""
    import pyarrow

    columns: dict[str, object] = {
        "id": cloud.ids[rows],
        "split": [cloud.split] * len(rows),
        "x": places[rows, 0],
        "y": places[rows, 1],
    }
    for name, column in cloud.columns.items():
        values = column.values[rows]
        columns[name] = [column.levels[value] for value in values] if column.levels else values
    return pyarrow.table(columns)


def csv(cloud: Cloud, places: np.ndarray, rows: np.ndarray) -> bytes:
    """`table` as comma-separated text."""
    from pyarrow import csv as writer

    out = io.BytesIO()
    writer.write_csv(table(cloud, places, rows), out)
    return out.getvalue()


def parquet(cloud: Cloud, places: np.ndarray, rows: np.ndarray) -> bytes:
    """`table` as Parquet, types kept."""
    from pyarrow import parquet as writer

    out = io.BytesIO()
    writer.write_table(table(cloud, places, rows), out)
    return out.getvalue()


def projector(cloud: Cloud, rows: np.ndarray) -> bytes:
    """A zip for TensorBoard's projector: vectors and metadata as TSV, a sprite, and the config that joins them."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        lines = ["\t".join(f"{value:.6g}" for value in point) for point in cloud.points[rows]]
        archive.writestr("tensors.tsv", "".join(line + "\n" for line in lines))
        archive.writestr("metadata.tsv", _metadata(cloud, rows))
        config = 'tensor_path: "tensors.tsv"\n  metadata_path: "metadata.tsv"\n'
        made = sprite(cloud, rows)
        if made:
            picture, (width, height) = made
            archive.writestr("sprite.png", picture)
            side = f"single_image_dim: {width}\n    single_image_dim: {height}"
            config += f'  sprite {{\n    image_path: "sprite.png"\n    {side}\n  }}\n'
        archive.writestr("projector_config.pbtxt", f"embeddings {{\n  {config}}}\n")
    return out.getvalue()


def sprite(cloud: Cloud, rows: np.ndarray) -> tuple[bytes, tuple[int, int]] | None:
    """All pictures row by row on a square as PNG, made smaller where that would be too large, and the width and height
    of one; the decodes where the images are not here, None where there are neither.
    """
    side = math.ceil(math.sqrt(len(rows)))
    tiles = []
    for start in range(0, len(rows), BATCH):
        some = rows[start : start + BATCH]
        found = cloud.pictures(some) if cloud.images is not None else cloud.decodes(some)
        if found is None:
            return None
        tiles.append(trainer.reduced(found, math.ceil(side * max(found.shape[1:3]) / SPRITE)))
    if not tiles:
        return None
    images = np.concatenate(tiles)
    n, h, w, c = images.shape
    paper = np.zeros((side * side, h, w, c), np.uint8)
    paper[:n] = images
    sheet = paper.reshape(side, side, h, w, c).swapaxes(1, 2).reshape(side * h, side * w, c)
    out = io.BytesIO()
    Image.fromarray(sheet[..., 0] if c == 1 else sheet).save(out, "png")
    return out.getvalue(), (w, h)


def _metadata(cloud: Cloud, rows: np.ndarray) -> str:
    names = [name for name in cloud.columns if name not in cloud.dims]
    lines = ["\t".join(["id", *names])] if names else []  # the projector takes no header for a single column
    for row in rows:
        cells = [str(cloud.ids[row])]
        for name in names:
            column = cloud.columns[name]
            value = column.levels[column.values[row]] if column.levels else f"{column.values[row]:.6g}"
            cells.append(" ".join(value.split()))  # neither a tab nor a line's end
        lines.append("\t".join(cells))
    return "\n".join(lines) + "\n"
