"""How fast codes are found and learned: python benchmarks/quantiser.py [--rounds 15] [--threads 2]

Our quantiser and that of vector-quantize-pytorch take turns at the same batch: forward with the straight-through
gradient's graph, and the update by moving averages. First both take a step from the same state, and must choose the
same codes and come to the same codebook. The peer is installed into a temporary folder, without changing this
environment.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import tyro
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent.parent))
from trainer.quantiser import Quantiser

VECTORS, DIMS, CODES, GAMMA = 8_192, 64, 512, 0.99
PEER = ["vector-quantize-pytorch==1.32.0", "einops", "einx", "frozendict", "loguru", "torch-einops-utils"]
GOAL = 5.0


def peer_like(ours: Quantiser) -> Any:
    """The peer's quantiser in the state of ours, all that the moving averages do not need turned off."""
    from vector_quantize_pytorch import VectorQuantize  # type: ignore[import-not-found]

    peer = VectorQuantize(dim=DIMS, codebook_size=CODES, decay=GAMMA, commitment_weight=0.25, rotation_trick=False)
    with torch.no_grad():
        book = peer._codebook
        for theirs, mine in (
            (book.embed, ours.codebook),
            (book.embed_avg, ours.sums),
            (book.cluster_size, ours.counts),
        ):
            theirs.copy_(mine)
    return peer.train()


def check_same(ours: Quantiser, peer: Any, vectors: Tensor) -> None:
    """Raise ValueError unless a step of both, from the same state, chooses the same codes and gives the same codebook.

    Codes that no vector chose are left out: ours stay, and the peer's move a little towards the origin.
    """
    found = ours(vectors)
    ours.update()
    _, indices, _ = peer(vectors[None])
    if not torch.equal(found.indices, indices[0]):
        raise ValueError(f"{int((found.indices != indices[0]).sum())} of {VECTORS} vectors have another code")
    used = found.indices.unique()
    torch.testing.assert_close(ours.read()[used], peer._codebook.embed[0, used], rtol=1e-4, atol=1e-5)
    print(f"The same {VECTORS:,} codes, and the same codebook in its {len(used)} codes in use.\n")


def timed(step: Callable[[], object], times: int) -> float:
    """Seconds of one step."""
    begun = time.perf_counter()
    for _ in range(times):
        step()
    return (time.perf_counter() - begun) / times


def main(rounds: int = 15, threads: int = 2, steps: int = 10) -> None:
    """Print the table.

    Args:
        rounds: turns of both
        threads: on the CPU
        steps: in a turn
    """
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    ours = Quantiser(CODES, DIMS, GAMMA).train()
    ours.codebook.normal_()
    ours.sums.copy_(ours.codebook)
    vectors = torch.randn(VECTORS, DIMS, requires_grad=True)
    with tempfile.TemporaryDirectory() as packages:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", packages]
        subprocess.run([*command, *PEER], check=True)
        sys.path.append(packages)
        peer = peer_like(ours)
        check_same(ours, peer, vectors)

        def our_step() -> None:
            ours(vectors)
            ours.update()

        def peer_step() -> None:
            peer(vectors[None])

        timed(our_step, steps), timed(peer_step, steps)
        times = [(timed(our_step, steps), timed(peer_step, steps)) for _ in range(rounds)]
    ratios = [theirs / mine for mine, theirs in times]
    mine, theirs = (1e3 * statistics.median(column) for column in zip(*times, strict=True))
    print("| vectors, dims, codes | threads | median ratio | min … max | goal | ours ms | peer ms |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    print(
        f"| {VECTORS:,}, {DIMS}, {CODES} | {threads} | {statistics.median(ratios):.1f} × "
        f"| {min(ratios):.1f} … {max(ratios):.1f} | {GOAL:g} × | {mine:.1f} | {theirs:.1f} |"
    )


if __name__ == "__main__":
    tyro.cli(main)
