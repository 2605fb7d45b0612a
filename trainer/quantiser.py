"""Vector quantisation (van den Oord et al. 2017): each vector becomes the nearest of K codes.

    k   = argmin_i ‖z − e_i‖                   z what the encoder gives, e the codebook
    out = e_k,   ∂out/∂z = 1                   straight-through
    commitment = ‖z − sg[e_k]‖²                sg[·] lets no gradient pass
    codebook   = ‖sg[z] − e_k‖²                or, instead of that term, moving averages:
    N ← γ N + (1 − γ) n,   m ← γ m + (1 − γ) Σ z,   e = m / N̂

n and Σ z are a code's vectors in the batch, and N̂ = (N + ε) / (ΣN + K ε) · ΣN. A batch is quantised before it moves
the codebook. Vectors may stand along any number of axes: sounds have one, images two.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer import distributed

EPSILON = 1e-5  # of the Laplace smoothing
DISTANCES = 2**23  # from vectors to codes, that are held at once


@dataclass(frozen=True)
class Quantised:
    """Vectors (b, d, …) after quantisation."""

    values: Tensor  # (b, d, …) what the decoder sees
    indices: Tensor  # (b, …) int64
    commitment: Tensor  # (b,) squared distance, summed over axes
    codebook: Tensor  # (b,) the same number; its gradient is that of a codebook that learns by it


class Quantiser(nn.Module):
    """A codebook and what it learns from. All that changes is in buffers, so that a saved state goes on as it was."""

    codebook: Tensor  # (K, d); a parameter where it is learned by its gradient
    counts: Tensor  # (K,) N, and
    sums: Tensor  # (K, d) m, of the moving averages
    idle: Tensor  # (K,) batches without a vector
    epoch: Tensor  # (K,) vectors of each code so far
    last_epoch: Tensor  # (K,) the same in the last whole one
    seen: tuple[Tensor, Tensor] | None  # vectors (n, d) and their codes (n,) of the last batch in training

    def __init__(self, size: int, dims: int, gamma: float | None = 0.99, cosine: bool = False, restart: int = 0):
        """`size` codes K of `dims` numbers d. `gamma`: of the moving averages, None for the codebook's gradient.

        `cosine` brings vectors and codes to length 1. `restart`: batches without a vector after which a code is set
        on a vector of the batch; 0 is never.
        """
        super().__init__()
        self.gamma, self.cosine, self.restart = gamma, cosine, restart
        start = torch.empty(size, dims).uniform_(-1 / size, 1 / size)
        if gamma is None:
            self.codebook = nn.Parameter(start)
        else:
            self.register_buffer("codebook", start)
            self.register_buffer("counts", torch.ones(size))
            self.register_buffer("sums", start.clone())
        self.register_buffer("idle", torch.zeros(size, dtype=torch.long))
        self.register_buffer("epoch", torch.zeros(size, dtype=torch.long))
        self.register_buffer("last_epoch", torch.zeros(size, dtype=torch.long))
        self.seen = None

    def read(self) -> Tensor:
        """The codes as the decoder gets them, (K, d)."""
        return self._scaled(self.codebook)

    def _scaled(self, vectors: Tensor) -> Tensor:
        return F.normalize(vectors, dim=1) if self.cosine else vectors

    @torch.no_grad()
    def nearest(self, vectors: Tensor) -> Tensor:
        """(b, d, …) -> (b, …), the number of the nearest code."""
        rows = self._scaled(_rows(vectors))
        return _nearest(rows, self.read()).view(vectors.shape[:1] + vectors.shape[2:])

    def look_up(self, indices: Tensor) -> Tensor:
        """(b, …) -> (b, d, …), the inverse of `nearest` for what is a code."""
        return self.read()[indices.long()].movedim(-1, 1)  # bytes would be read as a mask

    def forward(self, vectors: Tensor) -> Quantised:
        """Quantise (b, d, …). While training, `update` learns from it."""
        rows, codes = self._scaled(_rows(vectors)), self.read()
        indices = _nearest(rows.detach(), codes.detach())
        chosen = codes.index_select(0, indices)
        if self.training:
            self.seen = rows.detach(), indices
        shape = vectors.shape[:1] + vectors.shape[2:]

        def per_image(distance: Tensor) -> Tensor:
            return distance.view(len(vectors), -1).sum(1)

        commitment = per_image((rows - chosen.detach()).square())
        straight = chosen.detach() + (rows - rows.detach())  # to the last bit the code, with the gradient of the vector
        return Quantised(
            straight.view(*shape, -1).movedim(-1, 1),
            indices.view(shape),
            commitment,
            commitment.detach() if self.gamma is not None else per_image((rows.detach() - chosen).square()),
        )

    # ---- what is not a gradient

    @torch.no_grad()
    def update(self) -> None:
        """After a step: count its codes, move the averages, and restart codes that were idle too long."""
        assert self.seen is not None, "a step quantises first"
        (rows, indices), self.seen = self.seen, None
        used = rows.new_zeros(len(self.codebook)).index_add_(0, indices, rows.new_ones(len(rows)))  # n
        learned = [used]
        if self.gamma is not None:
            learned.append(torch.zeros_like(self.codebook).index_add_(0, indices, rows))  # Σ z
        if self.restart:
            learned.append(self._some(rows))
        distributed.add_up(learned)
        self.epoch += used.long()
        self.idle.add_(1).masked_fill_(used > 0, 0)
        if self.gamma is not None:
            self.counts.mul_(self.gamma).add_(used, alpha=1 - self.gamma)
            self.sums.mul_(self.gamma).add_(learned[1], alpha=1 - self.gamma)
            fresh = self.sums / smoothed(self.counts)[:, None]
            # an idle code stays: the smoothing would draw it to the origin
            self.codebook.copy_(torch.where(used[:, None] > 0, fresh, self.codebook))
        if self.restart:
            self._set(self.idle >= self.restart, learned[-1])

    def _some(self, rows: Tensor) -> Tensor:
        """A random vector of the whole batch for each code, (K, d); of several processes, 0 where another has it."""
        places = torch.randint(len(rows) * distributed.world(), (len(self.codebook),), device=rows.device)
        here = places - distributed.part(len(rows)).start
        is_here = (here >= 0) & (here < len(rows))
        return rows[here.clamp(0, len(rows) - 1)] * is_here[:, None]

    def _set(self, which: Tensor, codes: Tensor) -> None:
        """Put the codes where `which` (K,) is true at `codes` (K, d), as if each had been seen there once."""
        self.codebook.copy_(torch.where(which[:, None], codes, self.codebook))
        self.idle.masked_fill_(which, 0)
        if self.gamma is not None:
            self.counts.masked_fill_(which, 1)
            self.sums.copy_(torch.where(which[:, None], codes, self.sums))

    @torch.no_grad()
    def begin(self, vectors: Tensor, seed: int = 0) -> None:
        """Put the codes on the centres that k-means finds in (b, d, …). Raises ValueError for too few vectors."""
        from sklearn.cluster import KMeans

        rows, size = self._scaled(_rows(vectors)), len(self.codebook)
        if len(rows) < size:
            raise ValueError(
                f"codes={size:,}, but the data set gives k-means only {len(rows):,} vectors to start from: choose "
                "fewer codes, or no k-means"
            )
        found = KMeans(size, n_init=1, max_iter=20, random_state=seed).fit(rows.cpu().numpy())
        centres = torch.from_numpy(found.cluster_centers_).to(rows)
        self._set(torch.ones_like(self.idle, dtype=torch.bool), centres)

    def after_epoch(self) -> None:
        """Keep the counts of the epoch that ends, and begin anew."""
        self.last_epoch.copy_(self.epoch)
        self.epoch.zero_()


def smoothed(counts: Tensor) -> Tensor:
    """Laplace smoothing (K,): nothing is 0, and the sum stays."""
    total = counts.sum()
    return (counts + EPSILON) / (total + len(counts) * EPSILON) * total


def _rows(vectors: Tensor) -> Tensor:
    """(b, d, …) -> (n, d), b the slowest."""
    return vectors.movedim(1, -1).flatten(0, -2)


def _nearest(rows: Tensor, codes: Tensor) -> Tensor:
    """(n, d), (K, d) -> (n,): ‖z − e‖² is least where z·e − ½‖e‖² is greatest, which is one product of matrices."""
    half = -0.5 * codes.square().sum(1)
    parts = rows.split(max(1, DISTANCES // len(codes)))
    with _exact():
        return torch.cat([torch.addmm(half, some, codes.T).argmax(1) for some in parts])


@contextmanager
def _exact() -> Iterator[None]:
    """Products of float32 as they are, also in a step that may round them to TF32: that would choose other codes than
    those that `encode` finds. It is a choice between kernels, so that a recording holds it.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
