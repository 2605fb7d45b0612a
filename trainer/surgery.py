"""What an ELBO's KL is made of, over a data set (Hoffman and Johnson 2016; Chen et al. 2018).

    mean over x of KL(q(z|x) ‖ p(z)) = I(x; z) + KL(q(z) ‖ Π_j q(z_j)) + Σ_j KL(q(z_j) ‖ p(z_j))

q(z) is the mean of q(z|x) over the n images that are measured, so that I(x; z), which says how much of the image's
number the latent tells, is at most ln n.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.probability import gaussian_log_prob, kl_to_standard, reparameterise

AT_ONCE = 2**22  # numbers of the (n, n, d) densities that are held at once


@dataclass(frozen=True)
class Parts:
    """In nats, means over the images."""

    mutual_information: float  # index-code, at most ln n
    total_correlation: float
    dimension_wise: float  # KL, summed over dimensions
    kl: float  # in closed form; the three above sum to it, but for the noise of their draws


@torch.no_grad()
def parts(mean: Tensor, log_var: Tensor, seed: int = 0) -> Parts:
    """Of posteriors N(mean, exp(log_var)), each (n, d), by one draw from each. Raises ValueError for fewer than two."""
    n, d = mean.shape
    if n < 2:
        raise ValueError(f"{n} images came, expected at least 2: one image alone says nothing of the others")
    generator = torch.Generator().manual_seed(seed)
    mean, log_var = mean.double(), log_var.double()
    z = reparameterise(mean, log_var, torch.randn(n, d, generator=generator).to(mean))
    joint, single = [], []
    for some in z.split(max(1, AT_ONCE // (n * d))):
        cross = gaussian_log_prob(some[:, None], mean, log_var.exp())  # (some, n, d)
        joint.append(cross.sum(2).logsumexp(1) - math.log(n))
        single.append((cross.logsumexp(1) - math.log(n)).sum(1))
    own = gaussian_log_prob(z, mean, log_var.exp()).sum(1)  # (n,) log q(z|x)
    aggregate, product, prior = torch.cat(joint), torch.cat(single), gaussian_log_prob(z, 0.0, 1.0).sum(1)
    return Parts(
        float((own - aggregate).mean()),
        float((aggregate - product).mean()),
        float((product - prior).mean()),
        float(kl_to_standard(mean, log_var).sum(1).mean()),
    )
