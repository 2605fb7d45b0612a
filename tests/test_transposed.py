"""The transposed convolution on a CPU against torch's own, and against differences."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from trainer.transposed import MANY, Transposed

SQUARE, LINE = ((4, 4), (2, 2), (1, 1)), ((1, 4), (1, 2), (0, 1))


@pytest.mark.parametrize("layout", [SQUARE, LINE])
@pytest.mark.parametrize(("after", "images"), [(1, MANY), (3, MANY), (4, MANY), (1, 2), (1, 0)])
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_as_torch_has_it(
    layout: tuple[tuple[int, int], ...], after: int, images: int, memory: torch.memory_format
) -> None:
    torch.manual_seed(0)
    layer = Transposed(5, after, *layout).to(memory_format=memory)
    x = torch.randn(images, 5, 3, 6).contiguous(memory_format=memory).requires_grad_()
    found = layer(x)
    expected = F.conv_transpose2d(x, layer.weight, layer.bias, *layout[1:])
    torch.testing.assert_close(found, expected)
    up = torch.randn_like(expected)
    wanted = (x, layer.weight, layer.bias)
    for one, other in zip(
        torch.autograd.grad(found, wanted, up), torch.autograd.grad(expected, wanted, up), strict=True
    ):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("after", [1, 4])
def test_gradients_by_differences(after: int) -> None:
    torch.manual_seed(0)
    layer = Transposed(2, after, *SQUARE).double()
    x = torch.randn(MANY, 2, 2, 3, dtype=torch.float64, requires_grad=True)

    def out(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = torch.func.functional_call(layer, {"weight": weight, "bias": bias}, (x,))
        return found

    assert torch.autograd.gradcheck(out, (x, layer.weight, layer.bias))


def test_no_gradient_where_none_is_asked_for() -> None:
    layer = Transposed(2, 1, *SQUARE)
    layer.weight.requires_grad_(False)
    layer(torch.randn(MANY, 2, 2, 2)).sum().backward()
    assert layer.weight.grad is None
    assert layer.bias is not None
    torch.testing.assert_close(layer.bias.grad, torch.tensor([16.0 * MANY]))  # a pixel each
