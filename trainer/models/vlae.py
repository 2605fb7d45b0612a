"""The variational ladder autoencoder (Zhao et al. 2017): independent levels that enter the decoder at several depths.

p(z)      = Π over levels of N(zl; 0, I)
p(x|z)    from h̃l = fl(h̃l+1, zl): zL enters deepest, z1 nearest the image
q(z|x)    = Π over levels of N(zl; m(hl), diag v(hl)), h1 = g1(x), hl = gl(hl−1)
loss      = −E_q[log p(x|z)] + β Σ over levels of KL(q(zl|x) ‖ N(0, I))

What is simple to say of an image can be said by few layers, so the levels part by how abstract they are, though
the prior has no hierarchy at all.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from trainer import nets
from trainer.latent import Latent
from trainer.levels import Leveled, LevelsOptions, Normal, layers
from trainer.noise import normal
from trainer.probability import kl_to_standard, per_image, reparameterise, reparameterised_log_prob
from trainer.trainable import NOTHING, Shape


class VLAE(Leveled):
    """Flat standard normal prior over all levels, each read from and written to a depth of its own."""

    def __init__(self, shape: Shape, options: LevelsOptions) -> None:
        super().__init__(shape, options)
        first, flat = nets.down(shape, options)
        dims = options.latents
        ways, posteriors, joins = [], [], []
        before = flat
        widths = [flat]  # of what stands below each level
        for level, d in enumerate(dims):
            some, before = layers(before, options, level)
            ways.append(nets.Net(*(first if level == 0 else []), *some))
            posteriors.append(Normal(before, d))
            widths.append(before)
        last_flat, last = nets.up_width(shape, options), nets.up(shape, options)
        for level, d in enumerate(dims):
            above = widths[level + 1] if level < len(dims) - 1 else 0
            some, width = layers(above + d, options, level)
            joins.append(nets.Net(*some, nn.Linear(width, last_flat if level == 0 else widths[level])))
        self.ways, self.posteriors, self.joins = nn.ModuleList(ways), nn.ModuleList(posteriors), nn.ModuleList(joins)
        self.last = nets.Net(*last)

    def posterior(self, x: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        """Mean and log-variance of q(z|x) by part, each (b, d)."""
        found = {}
        for name, way, posterior in zip(self.names, self.ways, self.posteriors, strict=True):
            x = way(x)
            found[name] = posterior(x)
        return {name: found[name] for name in self.space}

    def diagonal(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_var = zip(*self.posterior(self.looked_at(x)).values(), strict=True)
        return torch.cat(mean, 1), torch.cat(log_var, 1)

    def encode(self, x: Tensor, given: Mapping[str, Tensor] = NOTHING) -> Latent:
        return {name: given.get(name, mean) for name, (mean, _) in self.posterior(self.looked_at(x)).items()}

    def out(self, z: Latent) -> Tensor:
        self.check(z)
        below = z[self.names[-1]]
        for level, name in reversed(list(enumerate(self.names))):
            joined = below if level == len(self.names) - 1 else torch.cat([below, z[name]], dim=1)
            below = self.joins[level](joined)
        out: Tensor = self.last(below)
        return out

    def terms(self, x: Tensor, given: Mapping[str, Tensor] = NOTHING) -> dict[str, Tensor]:
        x, samples = self.learned_from(x), self.options.samples
        posterior = self.posterior(x)
        z = {
            name: reparameterise(mean, log_var, self.draw_noise(samples, *mean.shape)).flatten(0, 1)
            for name, (mean, log_var) in posterior.items()
        }
        out = self.out(z).unflatten(0, (samples, -1))  # (s, b, c, h, w)
        kl = {f"kl/{name}": kl_to_standard(mean, log_var) for name, (mean, log_var) in posterior.items()}
        return {"reconstruction": -self.log_p(x, out).mean(0), **kl}

    def infer(
        self, x: Tensor, samples: int, given: Mapping[str, Tensor] = NOTHING, generator: torch.Generator | None = None
    ) -> tuple[Latent, Tensor]:
        z: Latent = {}
        log_q = []
        for name, (mean, log_var) in self.posterior(self.looked_at(x)).items():
            noise = normal((samples, *mean.shape), mean, generator)
            z[name] = reparameterise(mean, log_var, noise)
            log_q.append(per_image(reparameterised_log_prob(log_var, noise), 2))
        return z, sum(log_q[1:], log_q[0])
