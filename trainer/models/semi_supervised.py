"""The semi-supervised VAE, told the class of a few images only (M2 of Kingma et al. 2014).

p(y)     = 1 / k
p(z)     = N(0, I), p(x|z,y) and q(z|x,y) as the conditional VAE has them
q(y|x)   = softmax(f(x)), the classifier

L(x, y)  = E_q(z|x,y)[log p(x|z,y)] + log p(y) − KL(q(z|x,y) ‖ p(z))      at most log p(x, y)
U(x)     = Σ_y q(y|x) L(x, y) + H(q(y|x))                                 at most log p(x)
loss     = 1/N [ −Σ_told L(x, y) − Σ_untold U(x) ] − w · mean_told log q(y|x)

over N images, M of which are told their class: w is `classifier_weight`, so that a told image has w·N/M of its
−log q(y|x) in the sum over all images (60 for 100 of 60,000 at 0.1). A batch of b has m told ones, more than their
share M/N, each of them as often as another. Its mean is the loss, expected over batches, if a told image weighs

    (M/N) / (m/b)      and an untold one      (1 − M/N) / (1 − m/b)

since the mean over the batch of what weighs 1/(m/b) for the told and 0 for others is their mean. That of the
classifier's term weighs w / (m/b). Terms in training have these weights; those of a model that is evaluated are the
bound's alone.

A classifier that has not begun to learn would take its classes from whatever clusters the decoder finds. So the bound
does not change it in the first steps, `warm_up`: what it says is then taken as it is.

All classes of all images are folded into one batch; the first layer of q(z|x,y) sees each image once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Literal, cast

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from trainer import distributed, formulas, nets
from trainer.data import Images
from trainer.models.cvae import CVAE, CVAEOptions
from trainer.probability import kl_between, reparameterise
from trainer.trainable import NOTHING, Piece, Shape, Track, total


class SemiSupervisedOptions(CVAEOptions):
    """The conditional VAE's, and the classifier's."""

    classifier_net: Literal["mlp", "conv"] = Field(
        "mlp", description="net of the classifier: fully connected, or stride-2 convolutions before"
    )
    classifier: nets.Widths = Field(
        (500,), max_length=8, description="widths of the classifier's fully connected layers"
    )
    classifier_weight: float = Field(
        0.1, ge=0, le=1e6, description="weight w of the mean −log q(y|x) of the images whose class is told"
    )
    warm_up: int = Field(
        500, ge=0, le=100_000_000, description="first steps, in which told images alone teach the classifier"
    )
    channels: int = Field(32, ge=1, le=512, description="channels of each convolution of either net; conv only")
    dropout: float = Field(0.5, ge=0, le=0.9, description="share of the classifier's units that is 0 while training")


class SemiSupervised(CVAE):
    """A conditional VAE with a classifier, whose unknown classes are latent."""

    Options: ClassVar[type[SemiSupervisedOptions]] = SemiSupervisedOptions
    options: SemiSupervisedOptions
    needs_labels = False
    share: Tensor

    def __init__(self, shape: Shape, options: SemiSupervisedOptions) -> None:
        super().__init__(shape, options)
        self.width = nets.down(shape, options)[1]
        layers, width = nets.down(shape, options.model_copy(update={"net": options.classifier_net}))
        for layer in nets.fully_connected([width, *options.classifier, options.classes]):
            layers += [layer, nn.Dropout(options.dropout)] if isinstance(layer, nn.ReLU) else [layer]
        self.classifier = nets.Net(*layers)
        self.register_buffer("share", torch.tensor(1.0))  # of the images whose class is told, M/N
        self.add_knob("unlabelled", 1.0)

    def begin(self, images: Images, track: Track[Tensor] = iter) -> bool:
        self.share.fill_((images.told >= 0).float().mean())
        return False

    # ---- the distributions

    def each_class(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """log q(y|x) (b, k), and mean and log-variance of q(z|x,y) for each class (b, k, d)."""
        return self.classifier(x).log_softmax(1), *self.posteriors(x)

    def posteriors(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z|x,y) for each class, (b, k, d)."""
        first = cast(nn.Linear, self.encoder[0])
        of_image = F.linear(self.features(x), first.weight[:, : self.width], first.bias)  # (b, h)
        of_class = first.weight[:, self.width :].T  # (k, h)
        mean, log_var = self.encoder(of_image[:, None] + of_class, 1).chunk(2, dim=2)
        return mean, log_var

    # ---- objective

    def schedule(self, step: int) -> dict[str, float]:
        return {"unlabelled": float(step >= self.options.warm_up)}

    def terms(self, x: Tensor, given: Mapping[str, Tensor] = NOTHING) -> dict[str, Tensor]:
        x, k = self.learned_from(x), self.label.size
        mean, log_var = self.posteriors(x)  # (b, k, d)
        noise = self.draw_noise(self.options.samples, len(x), self.options.latents)[:, :, None]
        z = reparameterise(mean, log_var, noise)  # (s, b, k, d), the same noise for all classes
        each = torch.eye(k, device=x.device)
        out = self.logits(each.expand(*z.shape[:2], k, k), z).flatten(1, 2)  # (s, b·k, c, h, w)
        log_p = self.log_p(x.repeat_interleave(k, 0), out).mean(0).view(-1, k)
        kl = kl_between(mean, log_var, *self.class_prior(each))  # (b, k, d)

        log_q = self.classifier(x).log_softmax(1)
        learned = log_q.detach() + self.knobs["unlabelled"] * (log_q - log_q.detach())
        y = given["y"] if "y" in given else x.new_full((len(x),), -1)
        is_told, is_class = (y >= 0)[:, None], y[:, None] == torch.arange(k, device=x.device)
        untold = (~is_told).to(x.dtype)  # (b, 1)
        shares = is_class.to(x.dtype) + untold * learned.exp()  # (b, k), those of q(y|x) or one class
        terms = {
            "reconstruction": -(shares * log_p).sum(1),  # (b,)
            "kl/y": math.log(k) + untold[:, 0] * (shares * learned).sum(1),  # (b,)
            "kl/z": (shares[:, :, None] * kl).sum(1),  # (b, d)
        }
        if not self.training:
            return terms
        weights, told_weights = self.weights(is_told[:, 0])
        weighted = {name: weights.view(-1, *[1] * (values.ndim - 1)) * values for name, values in terms.items()}
        return {**weighted, "classification": -told_weights * (is_class * log_q).sum(1)}

    def weights(self, is_told: Tensor) -> tuple[Tensor, Tensor]:
        """What an image of a batch (b,) weighs in the bound's terms, and in the classifier's but for w; each (b,).

        Where all, or none, are told they all weigh 1.
        """
        told = is_told.to(self.share.dtype)
        here = distributed.all_mean(told.mean())  # m/b
        mixed = (here > 0) & (here < 1)
        of_told, of_others = self.share / here, (1 - self.share) / (1 - here)
        weights = torch.where(is_told, of_told, of_others).masked_fill(~mixed, 1)
        return weights, (1 / here).expand_as(told).masked_fill(~is_told, 0)

    def loss(self, terms: Mapping[str, Tensor]) -> Tensor:
        weighted = {**terms}
        if "classification" in terms:
            weighted["classification"] = self.options.classifier_weight * terms["classification"]
        return total(weighted)["loss"].mean()

    def objective(self, terms: Mapping[str, Tensor]) -> list[Piece]:
        """With r(y) for q(y|x), or for 1 at the class that is told; in training ω for what `weights` gives an image."""
        omega, weighed = ("", "") if "classification" not in terms else (r"\omega\, ", "; ω as the share of told ones")
        over, each = omega + r"\textstyle\sum_y r(y)\, \mathbb{E}_q", formulas.kl(r"q(z \mid x, y)", self.prior_symbol)
        said = r"\ln k + \textstyle\sum_y r(y) \ln r(y)"
        pieces = [
            self.reconstruction(
                terms, "z, y", over, f"How far the image is from what z decodes to in the classes it may have{weighed}"
            ),
            self.piece(
                terms, rf"{omega}\big[{said}\big]" if omega else said,
                "How much is said of the class: r(y) is q(y|x), or 1 for the class that is told", "kl/y",
                symbols={"k": self.label.size},
            ),
            self.piece(
                terms, formulas.lines(
                    omega + rf"\textstyle\sum_y r(y)\, {each}",
                    rf"\mathrm{{KL}} = {self.closed_form_kl}",
                ), "How much z says of the image beyond its class", "kl/z",
            ),
        ]  # fmt: skip
        if "classification" not in terms:
            return pieces
        weight = self.options.classifier_weight
        about = "What the classifier gives the class that is told, of m in a batch of b; 0 for an unknown class"
        told = self.piece(
            terms, r"-w\, \tfrac{b}{m} \log q(y \mid x)", about, "classification", weight=weight, symbols={"w": weight}
        )
        return [*pieces, told]

    def added(self, x: Tensor, given: Mapping[str, Tensor] = NOTHING) -> list[Piece]:
        y = given["y"] if "y" in given else x.new_full((len(x),), -1)
        if not bool((y >= 0).all()):
            return []
        log_q = self.classifier(self.learned_from(x)).log_softmax(1)  # (b, k)
        weight = self.options.classifier_weight
        told = self.piece(
            {"classification": -log_q.gather(1, y[:, None].long())[:, 0]}, r"-w \log q(y \mid x)",
            "What the classifier, without dropout, gives the class that is told; times b/m, of m told in a batch of b",
            "classification", weight=weight, symbols={"w": weight},
        )  # fmt: skip
        return [told]

    @property
    def bounded(self) -> str:
        return "log p(x, y)"

    @property
    def likelihood(self) -> str:
        """The family of p(x|z,y), and that a bound is one on log p(x, y) where the class is given."""
        return f"{super(CVAE, self).likelihood} with the class"

    def facts(self) -> dict[str, str]:
        return {
            **super().facts(),
            "estimator": "a bound on log p(x, y), the class given, which is below log p(x); KL in closed form, "
            f"reconstruction from {self.options.samples} draw{'s' if self.options.samples > 1 else ''} of z per image",
            "a class that is not given": "told by the classifier q(y|x)",
        }
