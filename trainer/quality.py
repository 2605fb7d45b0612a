"""How near a picture is to another, one number per image."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

WINDOW, SPREAD = 11, 1.5  # px: side and std of the Gaussian window of `ssim`
K1, K2 = 0.01, 0.03


def squared_error(x: Tensor, y: Tensor) -> Tensor:
    """Mean squared difference over all values of an image, (b, c, h, w) twice -> (b,)."""
    return (x - y).square().flatten(1).mean(1)


def psnr(x: Tensor, y: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB of images in [0, 1], (b,): −10 log₁₀ of the mean squared error."""
    return -10 * squared_error(x, y).clamp_min(1e-12).log10()


def ssim(x: Tensor, y: Tensor) -> Tensor:
    """Structural similarity (Wang et al. 2004, eq. 13) of images in [0, 1], (b,): the mean over channels and over
    every place where the 11×11 window fits. Images smaller than that get a window that fits, waveforms a line.
    """
    least = min(WINDOW, *(side for side in x.shape[-2:] if side > 1))
    lines = []
    for side in x.shape[-2:]:
        size = min(side, least)
        place = torch.arange(size, dtype=x.dtype, device=x.device) - (size - 1) / 2
        line = (-0.5 * (place / SPREAD).square()).exp()
        lines.append(line / line.sum())
    window = torch.outer(*lines).expand(x.shape[1], 1, -1, -1)

    def local(values: Tensor) -> Tensor:
        return F.conv2d(values, window, groups=x.shape[1])

    mean_x, mean_y = local(x), local(y)
    var_x, var_y = local(x * x) - mean_x.square(), local(y * y) - mean_y.square()
    covariance = local(x * y) - mean_x * mean_y
    c1, c2 = K1**2, K2**2
    similarity = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    similarity = similarity / ((mean_x.square() + mean_y.square() + c1) * (var_x + var_y + c2))
    return similarity.flatten(1).mean(1)
