"""The conditional VAE, which is told the class of each image (Sohn et al. 2015).

p(y)     = 1 / k
p(z|y)   = N(0, I)   or   N(m_y, diag v_y), learned for each class
p(x|z,y) = Bernoulli(sigmoid(g(z, y)))   or   N(g(z, y), σ² I), σ fixed or learned
q(z|x,y) = N(m(x, y), diag v(x, y))
loss     = −E_q[log p(x|z,y)] + KL(q(z|x,y) ‖ p(z|y))

The loss bounds −log p(x|y). Where the class is not given, it is inferred from each class's own posterior mean,
q(y|x) ∝ p(x|m(x,y),y) exp(−KL(q(z|x,y) ‖ p(z|y))) p(y): deterministic, and no part of the training. Nets see a
class as probabilities, so that classes can be blended.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from trainer import classes, formulas, nets
from trainer.classes import ClassOptions
from trainer.data import Images
from trainer.latent import Conditional, Gaussian, Label, Latent
from trainer.models.vae import VAEOptions
from trainer.noise import normal
from trainer.observed import Observed
from trainer.probability import gaussian_log_prob, kl_between, per_image, reparameterise, reparameterised_log_prob
from trainer.trainable import NOTHING, Piece, Shape, Track

AT_ONCE = 8192  # images times classes that are decoded in one batch to infer a class


class CVAEOptions(VAEOptions, ClassOptions):
    """The VAE's, how many classes there are, and what z is drawn from."""

    prior: Literal["independent", "dependent"] = Field(
        "independent", description="independent: z is standard normal in every class; dependent: p(z|y) is learned"
    )


class CVAE(Conditional, Observed):
    """A VAE whose encoder and decoder are told the class."""

    Options: ClassVar[type[CVAEOptions]] = CVAEOptions
    options: CVAEOptions
    labelled = True
    needs_labels = True

    @classmethod
    def fitted(cls, options: CVAEOptions, images: Images) -> CVAEOptions:
        return classes.fitted(options, images, cls.needs_labels)

    def __init__(self, shape: Shape, options: CVAEOptions) -> None:
        super().__init__(shape, options)
        if not options.classes:
            raise ValueError("classes came as 0: a data set, or a number, must say how many there are")
        k, d = options.classes, options.latents
        unit = {} if options.prior == "independent" else {"unit": "one of z itself, alike in every class"}
        self.label, self.gaussian = Label(k), Gaussian(d, **unit)
        self.space = {"y": self.label, "z": self.gaussian}
        features, width = nets.down(shape, options)
        self.features = nets.Net(*features)
        self.encoder = nets.Net(*nets.fully_connected([width + k, *options.hidden, 2 * d]))
        self.decoder = nets.decoder(shape, options, d + k)
        if options.prior == "dependent":  # begins as N(0, I) for all
            self.prior_mean = nn.Parameter(torch.zeros(k, d))
            self.prior_log_var = nn.Parameter(torch.zeros(k, d))

    # ---- the distributions; y is (…, k) probabilities

    def class_prior(self, y: Tensor) -> tuple[Tensor, Tensor]:
        if self.options.prior == "dependent":
            return y @ self.prior_mean, y @ self.prior_log_var
        standard = y.new_zeros(*y.shape[:-1], self.options.latents)
        return standard, standard

    def posterior(self, features: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z|x,y), each (b, d), from `features` (b, f) of the images."""
        mean, log_var = self.encoder(torch.cat([features, y], 1)).chunk(2, dim=1)
        return mean, log_var

    def out(self, z: Latent) -> Tensor:
        for name, part in self.space.items():
            part.check(name, z[name])
        return self.logits(z["y"], z["z"])

    def logits(self, y: Tensor, z: Tensor) -> Tensor:
        """`out` for (…, k) and (…, d), unchecked: a check would ask a GPU in every step."""
        flat = torch.cat([z, y], -1).flatten(0, -2)
        out: Tensor = self.decoder(flat)
        return out.unflatten(0, z.shape[:-1])  # (…, c, h, w)

    def each_class(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """log q(y|x) (b, k), and mean and log-variance of q(z|x,y) for each class (b, k, d), all in one batch."""
        features, k, b = self.features(x), self.label.size, len(x)
        found: list[tuple[Tensor, Tensor, Tensor]] = []
        for some in torch.eye(k).to(features).split(max(1, AT_ONCE // b)):  # (c, k)
            y = some.repeat_interleave(b, 0)  # (c·b, k)
            mean, log_var = self.posterior(features.repeat(len(some), 1), y)
            kl = per_image(kl_between(mean, log_var, *self.class_prior(y)))
            y, mean, log_var, kl = (values.unflatten(0, (-1, b)) for values in (y, mean, log_var, kl))  # (c, b, …)
            found.append((self.log_likelihood(x, {"y": y, "z": mean}) - kl, mean, log_var))
        bound, mean, log_var = (torch.cat(values).transpose(0, 1) for values in zip(*found, strict=True))
        return bound.log_softmax(1), mean, log_var  # p(y) is alike for all, and cancels

    # ---- latents

    def encode(self, x: Tensor, given: Mapping[str, Tensor] = NOTHING) -> Latent:
        """Without a class: q(y|x), by each class's log p(x|m(x,y),y) less its KL, and the mean m of z in the most
        probable class. With one: the posterior mean in it. With z alone: p(y|x,z).
        """
        x = self.looked_at(x)
        if "y" in given:
            y = self.told(given)
            return {"y": y, "z": given["z"] if "z" in given else self.posterior(self.features(x), y)[0]}
        if "z" in given:
            return {"y": self.log_class(x, given["z"]).exp(), "z": given["z"]}
        log_q, mean, _ = self.each_class(x)
        best = log_q.argmax(1)
        return {"y": log_q.exp(), "z": mean[torch.arange(len(x), device=best.device), best]}

    def log_class(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(y|x,z), (b, k), exactly: of p(x|z,y) p(z|y), whose p(y) is alike in all classes; z (b, d)."""
        y = torch.eye(self.label.size).to(z)[:, None].expand(-1, len(z), -1)  # (k, b, k)
        latent = {"y": y, "z": z.expand(len(y), *z.shape)}
        return (self.log_likelihood(x, latent) + self.log_prior(latent)).T.log_softmax(1)

    def sample(
        self,
        n: int,
        given: Mapping[str, Tensor] = NOTHING,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
        track: Track[Any] = iter,
    ) -> Latent:
        """n latents from p(y) p(z|y); `temperature` scales the standard deviations of p(z|y) about its mean."""
        y = self.told(given) if "y" in given else self.label.draw(n, temperature, generator).to(self.device)
        mean, log_var = self.class_prior(y)
        noise = self.gaussian.draw(n, temperature, generator).to(mean)
        return {"y": y, "z": given["z"] if "z" in given else reparameterise(mean, log_var, noise)}

    def told(self, given: Mapping[str, Tensor]) -> Tensor:
        """The class that is given, as probabilities (b, k). Raises ValueError where it is none."""
        return self.label.of("y", given["y"]).to(self.device)

    # ---- objective and density

    def terms(self, x: Tensor, given: Mapping[str, Tensor] = NOTHING) -> dict[str, Tensor]:
        if "y" not in given:
            raise ValueError(f'{type(self).__name__} learns from classes: its terms need "y", the class of each image')
        x = self.learned_from(x)
        y = (given["y"][:, None] == torch.arange(self.label.size, device=x.device)).to(x.dtype)  # (b, k), one-hot
        mean, log_var = self.posterior(self.features(x), y)
        noise = self.draw_noise(self.options.samples, *mean.shape)  # (s, b, d)
        z = reparameterise(mean, log_var, noise)
        return {
            "reconstruction": -self.log_p(x, self.logits(y.expand(len(z), -1, -1), z)).mean(0),  # (b,)
            "kl/z": kl_between(mean, log_var, *self.class_prior(y)),  # (b, d)
        }

    def objective(self, terms: Mapping[str, Tensor]) -> list[Piece]:
        left = formulas.kl(r"q(z \mid x, y)", self.prior_symbol)
        latex = formulas.lines(left, f"= {self.closed_form_kl}")
        about = "How much z says of the image beyond its class: how far its posterior is from the prior"
        return [self.reconstruction(terms, "z, y"), self.piece(terms, latex, about, "kl/z")]

    @property
    def prior_symbol(self) -> str:
        """The prior of z in a class, in LaTeX."""
        return "p(z)" if self.options.prior == "independent" else r"p(z \mid y)"

    @property
    def closed_form_kl(self) -> str:
        """The KL of a class to it, in LaTeX: of N(m, v) to N(0, 1), or to N(n, u), which is the class's own."""
        return formulas.STANDARD if self.options.prior == "independent" else formulas.BETWEEN

    def infer(
        self, x: Tensor, samples: int, given: Mapping[str, Tensor] = NOTHING, generator: torch.Generator | None = None
    ) -> tuple[Latent, Tensor]:
        """From q(y|x) q(z|x,y), or from q(z|x,y) where y is given, and the log of that."""
        x = self.looked_at(x)
        if "y" in given:
            y = self.told(given).expand(samples, -1, -1)  # (s, b, k)
            mean, log_var = (values.expand(samples, -1, -1) for values in self.posterior(self.features(x), y[0]))
            log_q_y = mean.new_zeros(samples, len(x))
        else:
            log_q, means, log_vars = self.each_class(x)
            chosen = torch.multinomial(log_q.exp().cpu(), samples, replacement=True, generator=generator).T.to(x.device)
            rows = torch.arange(len(x), device=x.device)
            mean, log_var, log_q_y = (values[rows, chosen] for values in (means, log_vars, log_q))  # (s, b, …)
            y = self.told({"y": chosen.flatten()}).unflatten(0, chosen.shape)
        noise = normal(mean.shape, mean, generator)
        z = reparameterise(mean, log_var, noise)
        return {"y": y, "z": z}, log_q_y + per_image(reparameterised_log_prob(log_var, noise), 2)

    def log_prior(self, z: Latent, given: Mapping[str, Tensor] = NOTHING) -> Tensor:
        """log p(y) + log p(z|y), (s, b), or where y is given log p(z|y) alone."""
        mean, log_var = self.class_prior(z["y"])
        log_p = per_image(gaussian_log_prob(z["z"], mean, log_var.exp()), 2)
        return log_p if "y" in given else log_p - math.log(self.label.size)

    @property
    def bounded(self) -> str:
        return "log p(x|y)"

    @property
    def likelihood(self) -> str:
        """The family of p(x|z,y), and that a bound is one on log p(x|y): no other bounds compare with it."""
        return f"{super().likelihood} given the class"

    def facts(self) -> dict[str, str]:
        return {
            **super().facts(),
            "estimator": "a bound on log p(x|y), the class given; KL in closed form, reconstruction from "
            f"{self.options.samples} draw{'s' if self.options.samples > 1 else ''} of z per image, as in training",
            "a class that is not given": "inferred by log p(x|m,y) − KL of each class, m its posterior mean, all "
            "classes alike before; in no part of the training",
        }
