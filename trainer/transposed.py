"""A transposed convolution that is quicker on a CPU than torch's, and the same but for rounding."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

FEW = 3  # channels: oneDNN computes 16 at a time, and so few are made sooner by a matrix product and its sums
MANY = (
    8  # images: for less, what these cost beside their arithmetic, a quarter of a millisecond, is more than they save
)


class Transposed(nn.ConvTranspose2d):
    """(b, before, h, w) -> (b, after, H, W) with H = (h − 1) · stride − 2 · margin + kernel, and W alike."""

    def __init__(
        self, before: int, after: int, kernel: tuple[int, int], stride: tuple[int, int], margin: tuple[int, int]
    ) -> None:
        super().__init__(before, after, kernel, stride, margin)
        self.margin = margin

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        if x.device.type != "cpu" or output_size is not None:
            return super().forward(x, output_size)
        assert self.bias is not None
        bias = self.bias[:, None, None]  # added apart: oneDNN takes longer over its gradient than a sum does
        if self.out_channels > FEW or len(x) < MANY:
            return F.conv_transpose2d(x, self.weight, None, self.stride, self.margin).add_(bias)
        out: Tensor = _ByProduct.apply(x, self.weight, self.stride, self.margin)  # type: ignore[no-untyped-call]
        return out + bias


class _ByProduct(torch.autograd.Function):
    """A matrix product says what each pixel adds to each under its kernel. The gradients are those of a convolution."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: tuple[int, int], margin: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.margin = stride, margin
        (b, _, *sides), (_, after, *kernel) = x.shape, weight.shape
        each = torch.matmul(weight.flatten(1).t(), x.flatten(2)).view(b, after, *kernel, *sides)
        ends = [(side - 1) * step + size for side, step, size in zip(sides, stride, kernel, strict=True)]
        out = x.new_zeros(b, after, *ends)
        for i in range(kernel[0]):
            for j in range(kernel[1]):
                out[:, :, i :: stride[0], j :: stride[1]][..., : sides[0], : sides[1]] += each[:, :, i, j]
        return out[:, :, margin[0] : ends[0] - margin[0], margin[1] : ends[1] - margin[1]]

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        to_x, to_weight, _ = torch.ops.aten.convolution_backward(
            grad, x, weight, None, ctx.stride, ctx.margin, (1, 1), True, (0, 0), 1, [*ctx.needs_input_grad[:2], False]
        )
        return to_x, to_weight, None, None
