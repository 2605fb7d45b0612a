"""The FactorVAE (Kim and Mnih 2018): a VAE that pays more for dimensions that depend on each other, as a net sees.

    TC   = KL(q(z) ‖ Π_j q(z_j)) = E_q(z) log D(z) / (1 − D(z)),   D the chance that z is a draw of q(z)
    loss = −E_q[log p(x|z)] + KL(q(z|x) ‖ p(z)) + γ TC

D tells draws of q(z) from those whose dimensions were shuffled over the batch, each on its own. It learns in the same
step, from draws that it sends no gradient through; the total correlation sends none to D.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.func import functional_call

from trainer import distributed
from trainer.data import Images
from trainer.models.vae import VAE, VAEOptions
from trainer.probability import kl_to_standard, reparameterise
from trainer.trainable import NOTHING, Piece, Shape, Track, total


class FactorVAEOptions(VAEOptions):
    """What weighs the total correlation, and the net that estimates it."""

    gamma: float = Field(10.0, ge=0, le=10_000, description="weight γ of the total correlation, where 0 is the VAE")
    critic: int = Field(256, ge=1, le=4096, description="width of the four layers that tell draws from shuffled ones")


class FactorVAE(VAE):
    """The VAE with a learned estimate of its total correlation as a penalty."""

    Options: ClassVar[type[FactorVAEOptions]] = FactorVAEOptions
    options: FactorVAEOptions
    of_batch = True

    def __init__(self, shape: Shape, options: FactorVAEOptions) -> None:
        super().__init__(shape, options)
        self.add_knob("gamma", options.gamma)
        widths = [options.latents, *[options.critic] * 4]
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            layers += [nn.Linear(before, after), nn.LeakyReLU(0.2)]
        self.critic = nn.Sequential(*layers, nn.Linear(options.critic, 1))

    def begin(self, images: Images, track: Track[Tensor] = iter) -> bool:
        """Raises ValueError in one of several processes: the total correlation is that of the whole batch."""
        distributed.check_alone(type(self).__name__)
        return super().begin(images, track)

    def terms(self, x: Tensor, given: Mapping[str, Tensor] = NOTHING) -> dict[str, Tensor]:
        x = self.learned_from(x)
        mean, log_var = self.posterior(x)
        z = reparameterise(mean, log_var, self.draw_noise(self.options.samples, *mean.shape))  # (s, b, d)
        out = self.out({"z": z.flatten(0, 1)}).unflatten(0, z.shape[:2])  # (s, b, c, h, w)
        drawn = z[0]
        frozen = {name: weight.detach() for name, weight in self.critic.named_parameters()}
        told = self.critic(torch.stack([drawn.detach(), shuffled(drawn.detach())]))[..., 0]  # (2, b) logits of D
        return {
            "reconstruction": -self.log_p(x, out).mean(0),  # (b,)
            "kl/z": kl_to_standard(mean, log_var),  # (b, d)
            "extra/total_correlation": functional_call(self.critic, frozen, (drawn,))[:, 0],  # (b,)
            "extra/critic": F.softplus(torch.stack([-told[0], told[1]])).mean(0),  # (b,) cross-entropy
        }

    @property
    def kl_weight(self) -> float | None:
        return 1.0 if float(self.knobs["gamma"]) == 0 else None

    def loss(self, terms: Mapping[str, Tensor]) -> Tensor:
        correlation, critic = terms["extra/total_correlation"].mean(), terms["extra/critic"].mean()
        return total(terms)["loss"].mean() + self.knobs["gamma"] * correlation + critic

    def objective(self, terms: Mapping[str, Tensor]) -> list[Piece]:
        gamma = self.knobs["gamma"]
        return [
            *super().objective(terms),
            self.piece(
                terms, r"\gamma\, \mathbb{E}_q\Big[\log \tfrac{D(z)}{1 - D(z)}\Big]",
                "What dimensions that depend on each other cost: the total correlation, as the net D sees it",
                "extra/total_correlation", weight=gamma, symbols={r"\gamma": gamma},
            ),
            self.piece(
                terms, r"-\tfrac12 \log D(z) - \tfrac12 \log\big(1 - D(\tilde z)\big)",
                "How badly D tells z from one whose dimensions come from several images of the batch", "extra/critic",
            ),
        ]  # fmt: skip


def shuffled(z: Tensor) -> Tensor:
    """(b, d) with each column in an order of its own: draws of Π_j q(z_j)."""
    return z.gather(0, torch.rand(z.shape[1], len(z), device=z.device).argsort(1).T)
