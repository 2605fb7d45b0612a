"""Measures of nearness against values worked out another way."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from trainer.quality import psnr, squared_error, ssim


def test_psnr_of_a_constant_difference() -> None:
    x = torch.full((2, 3, 8, 8), 0.5)
    y = x + torch.tensor([0.1, 0.01])[:, None, None, None]
    assert squared_error(x, y).tolist() == pytest.approx([0.01, 0.0001], rel=1e-4)
    assert psnr(x, y).tolist() == pytest.approx([20, 40], abs=1e-3)
    assert psnr(x, x).tolist() == pytest.approx([120, 120])


def test_ssim_of_flat_images_is_their_luminance_term() -> None:
    x, y = torch.full((1, 1, 16, 16), 0.25), torch.full((1, 1, 16, 16), 0.75)
    expected = (2 * 0.25 * 0.75 + 1e-4) / (0.25**2 + 0.75**2 + 1e-4)
    assert float(ssim(x, y)) == pytest.approx(expected, abs=1e-3)
    assert float(ssim(x, x)) == pytest.approx(1)


@pytest.mark.parametrize("side", [20, 8])
def test_ssim_window_by_window(side: int) -> None:
    """The same in plain loops over windows, with weights from the Gaussian's formula, in double precision."""
    generator = np.random.default_rng(0)
    x = generator.random((2, side, side))
    y = np.clip(x + 0.2 * generator.standard_normal((2, side, side)), 0, 1)
    size = min(11, side)
    centre = (size - 1) / 2
    weights = np.array(
        [[math.exp(-((i - centre) ** 2 + (j - centre) ** 2) / (2 * 1.5**2)) for j in range(size)] for i in range(size)]
    )
    weights /= weights.sum()
    values = []
    for channel in range(2):
        for top in range(side - size + 1):
            for left in range(side - size + 1):
                a = x[channel, top : top + size, left : left + size]
                b = y[channel, top : top + size, left : left + size]
                ma, mb = (weights * a).sum(), (weights * b).sum()
                va, vb = (weights * (a - ma) ** 2).sum(), (weights * (b - mb) ** 2).sum()
                cov = (weights * (a - ma) * (b - mb)).sum()
                values.append((2 * ma * mb + 1e-4) * (2 * cov + 9e-4) / ((ma**2 + mb**2 + 1e-4) * (va + vb + 9e-4)))
    found = ssim(torch.from_numpy(x)[None], torch.from_numpy(y)[None])
    assert float(found) == pytest.approx(np.mean(values), abs=1e-9)
    assert float(ssim(torch.from_numpy(y)[None], torch.from_numpy(x)[None])) == pytest.approx(np.mean(values), abs=1e-9)
