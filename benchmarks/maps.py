"""UMAP on exact neighbours beside UMAP as it comes: python benchmarks/maps.py [--checkpoint checkpoints/vae-mnist]

Each layout runs in a process of its own, after one small layout that compiles; what is printed is its time, the most
memory that the process held, and its trustworthiness (Venna and Kaski 2001) at 15 neighbours beside PCA's, on 10,000 of
the points at most. Latents are those of the checkpoint's training images.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import tyro

sys.path.insert(0, str(Path(__file__).parent.parent))
TRUSTED = 10_000  # points that trustworthiness is measured on


def latents(checkpoint: Path, count: int) -> np.ndarray:
    """(count, d) latents of training images, and of test images where there are not enough."""
    import torch

    import trainer

    model, config = trainer.load(checkpoint), trainer.describe(checkpoint).config
    found = [
        model.points(model.encode(x)) for split in ("train", "test") for x in config.data.load(split).stream(size=1024)
    ]
    points: np.ndarray = torch.cat(found)[:count].detach().numpy()
    return points


def lay_out(which: str, points: np.ndarray) -> np.ndarray:
    """(n, 2) places by PCA, by our UMAP, or by UMAP as it comes."""
    from explorer import projection

    if which == "pca":
        return projection.pca(points)
    if which == "ours":
        return projection.umap(points, projection.Umap(), lambda *_: None)[0]
    import umap

    return np.asarray(umap.UMAP(random_state=0, n_jobs=1).fit_transform(points))


def measure(which: str, count: int, checkpoint: Path) -> None:
    """Print one layout's figures as JSON."""
    from sklearn.manifold import trustworthiness

    points = latents(checkpoint, count)
    if which != "pca":
        lay_out(which, points[:500] if which == "ours" else points[:5000])  # compiles
    begun = time.perf_counter()
    places = lay_out(which, points)
    seconds = time.perf_counter() - begun
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # GiB, on Linux
    rows = np.random.default_rng(0).permutation(count)[:TRUSTED]
    trusted = trustworthiness(points[rows], places[rows], n_neighbors=15)
    print(json.dumps({"seconds": seconds, "memory": most, "trusted": float(trusted)}))


def main(checkpoint: Path = Path("checkpoints/vae-mnist"), counts: tuple[int, ...] = (2_000, 10_000, 70_000)) -> None:
    """Print the table.

    Args:
        checkpoint: whose latents
        counts: numbers of points
    """
    print("| points | PCA s | UMAP on exact neighbours s | UMAP as it comes s | memory GiB | trustworthiness | PCA's |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for count in counts:
        found = {}
        for which in ("pca", "ours", "as it comes"):
            words = [sys.executable, __file__, "--measure", which, str(count), str(checkpoint)]
            found[which] = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
        pca, ours, peer = found.values()
        times = f"{pca['seconds']:.2f} | {ours['seconds']:.1f} | {peer['seconds']:.1f} | {ours['memory']:.1f}"
        print(f"| {count:,} | {times} | {ours['trusted']:.3f} | {pca['trusted']:.3f} |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
    else:
        tyro.cli(main)
