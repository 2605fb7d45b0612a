"""Blocks of a causal transformer that normalise first, as in GPT-2 (Radford et al. 2019).

Letters in shapes: t places of a sequence, e numbers of one head.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Seen = tuple[Tensor, Tensor]  # keys and values (b, heads, t, e) of earlier places
Past = list[Seen | None]  # for each block


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.norm_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.inputs = nn.Linear(width, 3 * width)  # queries, keys and values
        self.output = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, past: Seen | None) -> tuple[Tensor, Seen]:
        """(b, t, width) -> the same, and the keys and values of all places so far. With a past, t is 1."""
        q, k, v = self.inputs(self.norm(x)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # (b, heads, t, e)
        if past is not None:
            k, v = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=past is None)
        x = x + self.drop(self.output(mixed.transpose(1, 2).flatten(2)))
        return x + self.drop(self.mlp(self.norm_mlp(x))), (k, v)
