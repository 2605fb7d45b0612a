"""The β-TCVAE (Chen et al. 2018): a VAE that pays more for dimensions that depend on each other.

    KL(q(z|x) ‖ p(z)), mean over x = I(x; z) + TC + Σ_j KL(q(z_j) ‖ p(z_j)),   TC = KL(q(z) ‖ Π_j q(z_j))
    loss = −E_q[log p(x|z)] + KL + (β − 1) TC

q(z) is the mean of q(z|x) over the N images. Of a batch of b, the one that z was drawn from stands for itself, with
weight 1/N, and the others for the rest, (N − 1) / (N (b − 1)) each, so that the estimate of q(z) has no bias.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from trainer import distributed
from trainer.data import Images
from trainer.models.vae import VAE, VAEOptions
from trainer.probability import gaussian_log_prob, kl_to_standard, reparameterise
from trainer.trainable import EXTRA, NOTHING, Piece, Shape, Track, total


class TCVAEOptions(VAEOptions):
    """What weighs the total correlation."""

    beta: float = Field(6.0, ge=0, le=10_000, description="weight β of the total correlation, where 1 is the VAE")


class TCVAE(VAE):
    """The VAE with a weight on the part of its KL that is the total correlation."""

    Options: ClassVar[type[TCVAEOptions]] = TCVAEOptions
    options: TCVAEOptions
    of_batch = True

    def __init__(self, shape: Shape, options: TCVAEOptions) -> None:
        super().__init__(shape, options)
        self.add_knob("beta", options.beta)
        self.register_buffer("count", torch.tensor(2.0))  # N
        self.count: Tensor

    def begin(self, images: Images, track: Track[Tensor] = iter) -> bool:
        distributed.check_alone(type(self).__name__)  # the total correlation is that of the whole batch
        self.count.fill_(len(images))
        return False

    def terms(self, x: Tensor, given: Mapping[str, Tensor] = NOTHING) -> dict[str, Tensor]:
        x = self.learned_from(x)
        mean, log_var = self.posterior(x)
        z = reparameterise(mean, log_var, self.draw_noise(self.options.samples, *mean.shape))  # (s, b, d)
        out = self.out({"z": z.flatten(0, 1)}).unflatten(0, z.shape[:2])  # (s, b, c, h, w)
        each = log_aggregate(z[0], mean, log_var, self.count)
        return {
            "reconstruction": -self.log_p(x, out).mean(0),  # (b,)
            "kl/z": kl_to_standard(mean, log_var),  # (b, d)
            "extra/total_correlation": each[0] - each[1].sum(1),  # (b,)
        }

    @property
    def kl_weight(self) -> float | None:
        return 1.0 if float(self.knobs["beta"]) == 1 else None

    def loss(self, terms: Mapping[str, Tensor]) -> Tensor:
        means = {family: values.mean() for family, values in total(terms).items()}
        return means["loss"] + (self.knobs["beta"] - 1) * means[EXTRA]

    def objective(self, terms: Mapping[str, Tensor]) -> list[Piece]:
        latex = r"(\beta - 1)\, \mathbb{E}_q\big[\log q(z) - \textstyle\sum_j \log q(z_j)\big]"
        about = (
            "What dimensions that depend on each other cost: the total correlation, as training estimates it from a "
            "batch: too little, and often below 0; the page Dimensions has it over many images"
        )
        weight, symbols = self.knobs["beta"] - 1, {r"\beta": self.knobs["beta"]}
        correlation = self.piece(terms, latex, about, "extra/total_correlation", weight=weight, symbols=symbols)
        return [*super().objective(terms), correlation]


def log_aggregate(z: Tensor, mean: Tensor, log_var: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """log q(z) (b,) and log q(z_j) (b, d) of draws z (b, d), the i-th from N(mean_i, exp(log_var_i)), nats.

    q is the mixture of all `count` posteriors, estimated from the b that are here.
    """
    b = len(z)
    cross = gaussian_log_prob(z[:, None], mean, log_var.exp())  # (b, b, d): of draw i under posterior j
    others = (count - 1).log() - count.log() - math.log(max(1, b - 1))
    own = torch.eye(b, dtype=torch.bool, device=z.device)
    weight = torch.where(own, -count.log() if b > 1 else 0 * others, others)  # (b, b)
    return (cross.sum(2) + weight).logsumexp(1), (cross + weight[..., None]).logsumexp(1)
