"""Formulas, each on a batch without reducing over it: what comes back has one number per image (or per dimension).

Nats everywhere. `std` is a standard deviation and `var` a variance, never the one for the other.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

LOG_2PI = math.log(2 * math.pi)


def gaussian_log_prob(x: Tensor, mean: Tensor | float, var: Tensor | float) -> Tensor:
    """log N(x; mean, var), elementwise."""
    var = var if isinstance(var, Tensor) else x.new_full((), var)  # made where x is: a copy could not be recorded
    return -0.5 * ((x - mean).square() / var + var.log() + LOG_2PI)


def bernoulli_log_prob(x: Tensor, logits: Tensor) -> Tensor:
    """x log p + (1 − x) log(1 − p) with p = sigmoid(logits), elementwise; x may be grey (a cross-entropy then)."""
    return -F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none")


def bernoulli_log_likelihood(x: Tensor, logits: Tensor) -> Tensor:
    """Σ `bernoulli_log_prob` over what follows the first two axes of logits (s, b, …), (s, b).

    Without gradients, for bounds of thousands of draws: x l − log(1 + e^l) = (x − r) l + log σ((2r − 1) l) with r the
    nearer of 0 and 1, and one logarithm of a product of up to 16 of these σ in place of 16; draws with a product too
    small for a number are summed by pixel. Its gradient would cost more than it saves.
    """
    if torch.is_grad_enabled():  # the sign is turned of the sums, not of each pixel and its gradient
        return -F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none").flatten(2).sum(-1)
    x, logits = x.flatten(1), logits.flatten(2)  # (b, D), (s, b, D)
    near = (x > 0.5).to(x.dtype)
    product = (logits * (2 * near - 1)).sigmoid_().unflatten(-1, (math.gcd(logits.shape[-1], 16), -1)).prod(-2)
    found = product.log().sum(-1)
    if not near.equal(x):
        found += torch.linalg.vecdot(x - near, logits)
    lost = (product < torch.finfo(product.dtype).tiny).any(-1)
    if lost.any():
        found[lost] = bernoulli_log_prob(x.expand_as(logits)[lost], logits[lost]).sum(-1)
    return found


def discretised_logistic_log_prob(x: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """log of the mass that a logistic distribution puts on the level x of 0, 1/255 … 1, elementwise; what lies beyond
    0 or 1 counts to them, so that the 256 masses sum to 1 and −log is the length of a code.
    """
    scale = log_scale.exp()
    upper, lower = (x + 1 / 510 - mean) / scale, (x - 1 / 510 - mean) / scale
    # σ(u) − σ(l) = σ(u) σ(−l) (1 − e^(l − u)), which loses no digits in the tails
    inside = F.logsigmoid(upper) + F.logsigmoid(-lower) + (-torch.expm1(-1 / (255 * scale))).log()
    return torch.where(x < 0.5 / 255, F.logsigmoid(upper), torch.where(x > 254.5 / 255, F.logsigmoid(-lower), inside))


def discretised_logistic_mean(mean: Tensor, log_scale: Tensor) -> Tensor:
    """The mean of a logistic variable whose values below 0 count as 0 and above 1 as 1, elementwise: the integral of
    P(X > t) over t from 0 to 1. That of the 256 levels sums the same function at the middles between them, and differs
    by half a level at most.
    """
    scale = log_scale.exp()
    return scale * (F.softplus(mean / scale) - F.softplus((mean - 1) / scale))


def kl_to_standard(mean: Tensor, log_var: Tensor) -> Tensor:
    """KL(N(mean, var) ‖ N(0, 1)) per dimension (Kingma and Welling 2014, appendix B)."""
    return 0.5 * (mean.square() + log_var.exp() - log_var - 1)


def kl_between(mean: Tensor, log_var: Tensor, prior_mean: Tensor, prior_log_var: Tensor) -> Tensor:
    """KL(N(mean, var) ‖ N(prior_mean, prior_var)) per dimension."""
    difference = log_var - prior_log_var
    return 0.5 * (difference.exp() + (mean - prior_mean).square() / prior_log_var.exp() - 1 - difference)


def precision_weighted(
    mean: Tensor, log_var: Tensor, other_mean: Tensor, other_log_var: Tensor
) -> tuple[Tensor, Tensor]:
    """Mean and log-variance of the normalised product of two Gaussians (Sønderby et al. 2016, eq. 10), elementwise."""
    merged = -torch.logaddexp(-log_var, -other_log_var)
    return mean * (merged - log_var).exp() + other_mean * (merged - other_log_var).exp(), merged


def reparameterise(mean: Tensor, log_var: Tensor, noise: Tensor) -> Tensor:
    """mean + std · noise: a draw from N(mean, var) that gradients pass through."""
    return mean + (0.5 * log_var).exp() * noise


def reparameterised_log_prob(log_var: Tensor, noise: Tensor) -> Tensor:
    """log N(mean + std · noise; mean, var), elementwise, without the loss of digits of a subtraction."""
    return gaussian_log_prob(noise, 0.0, 1.0) - 0.5 * log_var


def per_image(values: Tensor, batch_axes: int = 1) -> Tensor:
    """Sum over all but the first `batch_axes` axes: pixels and dimensions are summed, images are not."""
    return values.flatten(batch_axes).sum(-1) if values.ndim > batch_axes else values


def log_mean_exp(values: Tensor, axis: int = 0) -> Tensor:
    """log of the mean of exp, stable."""
    return torch.logsumexp(values, axis) - math.log(values.shape[axis])
