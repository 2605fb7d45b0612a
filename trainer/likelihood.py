"""Bounds on log p(x) for every `Density` model, from the one implementation of importance weights."""

from __future__ import annotations

import torch
from torch import Tensor

from trainer.latent import Density
from trainer.probability import log_mean_exp


def log_weights(model: Density, x: Tensor, samples: int, generator: torch.Generator | None = None) -> Tensor:
    """log p(x|z) + log p(z) − log q(z|x) for `samples` draws of q, (s, b), in nats."""
    if samples < 1:
        raise ValueError(f"a bound needs at least 1 sample, got samples={samples}")
    z, log_q = model.infer(x, samples, generator=generator)
    return model.log_likelihood(x, z) + model.log_prior(z) - log_q


def importance_bound(model: Density, x: Tensor, samples: int, generator: torch.Generator | None = None) -> Tensor:
    """L_S (Burda et al. 2016, eq. 8), (b,), in nats. S = 1 is a one-draw estimate of the ELBO."""
    return log_mean_exp(log_weights(model, x, samples, generator))
