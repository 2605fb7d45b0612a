"""How fast log p(x) is bounded: python benchmarks/likelihood.py [--rounds 7] [--samples 5000] [--threads 2]

Our importance-weighted bound and pythae's `get_nll` take turns at the same images, with the same weights of an MLP VAE
(784-400-20); over all turns both must come to the same value within Monte-Carlo error. pythae is installed into a
temporary folder, without changing this environment.
"""

from __future__ import annotations

import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import tyro
from torch import Tensor, nn
from training import install_pythae

sys.path.insert(0, str(Path(__file__).parent.parent))
import trainer
from trainer import device

CHECKPOINT = Path(__file__).parent.parent / "checkpoints/vae-mnist"  # 784-400-20
GOAL = 3.5


def peer_like(ours: Any) -> Any:
    """pythae's VAE with our weights."""
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder

    class Encoder(BaseEncoder):  # type: ignore[misc]
        def __init__(self) -> None:
            BaseEncoder.__init__(self)
            self.net = ours.encoder

        def forward(self, x: Tensor) -> Any:
            mean, log_var = self.net(x).chunk(2, dim=1)
            return ModelOutput(embedding=mean, log_covariance=log_var)

    class Decoder(BaseDecoder):  # type: ignore[misc]
        def __init__(self) -> None:
            BaseDecoder.__init__(self)
            self.net = nn.Sequential(ours.decoder, nn.Sigmoid())

        def forward(self, z: Tensor) -> Any:
            return ModelOutput(reconstruction=self.net(z))

    config = VAEConfig(input_dim=ours.shape, latent_dim=ours.options.latents, reconstruction_loss="bce")
    return VAE(config, Encoder(), Decoder()).eval()


def check_same(ours: Sequence[float], theirs: Sequence[float]) -> None:
    """Raise ValueError unless the means over all turns agree to four standard errors, as the turns differ."""
    (mine, my_error), (other, their_error) = (
        (statistics.mean(values), statistics.stdev(values) / math.sqrt(len(values))) for values in (ours, theirs)
    )
    said = f"log p(x): ours {mine:.3f} ± {my_error:.3f} nats, the peer's {other:.3f} ± {their_error:.3f}"
    if abs(mine - other) > 4 * math.hypot(my_error, their_error):
        raise ValueError(said)
    print(f"\n{said}.".replace("-", "−"))


def timed(work: Callable[[], float]) -> tuple[float, float]:
    """Seconds, and what it found."""
    begun = time.perf_counter()
    found = work()
    return time.perf_counter() - begun, found


@torch.no_grad()
def main(rounds: int = 7, images: int = 4, samples: int = 5000, threads: int = 2) -> None:
    """Print the table.

    Args:
        rounds: turns of both
        images: in a turn
        samples: S
        threads: on the CPU
    """
    device.prepare()  # as the command line does; the peer's turns are in the same process and gain by it too
    torch.set_num_threads(threads)
    ours: Any = trainer.load(CHECKPOINT)
    generator = torch.Generator().manual_seed(0)
    x = ours.draw(ours.sample(images, generator=generator), generator)  # black and white
    with tempfile.TemporaryDirectory() as packages:
        install_pythae(packages)
        sys.path.append(packages)
        peer = peer_like(ours)

        def bound() -> float:
            return float(trainer.importance_bound(ours, x, samples).value.mean())

        def theirs() -> float:
            return float(peer.get_nll(x, n_samples=samples))

        bound(), theirs()
        turns = [(timed(bound), timed(theirs)) for _ in range(rounds)]
    times = [(mine[0], other[0]) for mine, other in turns]
    ratios = [other / mine for mine, other in times]
    mine, other = (images / statistics.median(column) for column in zip(*times, strict=True))
    print("| net, S | threads | median ratio | min … max | goal | ours images/s | peer images/s |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    print(
        f"| MLP 784-400-20, {samples:,} | {threads} | {statistics.median(ratios):.1f} × "
        f"| {min(ratios):.1f} … {max(ratios):.1f} | {GOAL:g} × | {mine:.1f} | {other:.1f} |"
    )
    check_same([mine[1] for mine, _ in turns], [other[1] for _, other in turns])


if __name__ == "__main__":
    tyro.cli(main)
