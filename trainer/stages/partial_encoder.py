"""A partial encoder (Harvey et al. 2022): what is visible of an image, to the latents that a trained VAE would find.

    r(z | visible) = Σ_k share_k(visible) N(m_k(visible), diag v_k(visible))
    loss           = KL(q(z|x) ‖ r(z|visible)), from draws of q, over random masks; the VAE stays as it is

Completion proposes by it; importance weights correct what it gets wrong. Its net reads the pixels, 0 where they are
hidden, and the mask.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from trainer import distributed, nets
from trainer.completion import weighted
from trainer.data import Images
from trainer.latent import Density, Gaussian, LatentModel
from trainer.observed import Observed
from trainer.options import Options
from trainer.proposals import SHARE, Mixture, Proposer, prior_of
from trainer.stage import Stage
from trainer.trainable import NOTHING, Figures, Piece

COMPARED, DRAWS = 200, 1000  # test images, and draws for each, of the effective sample sizes
KINDS = ("quadrants", "boxes", "pixels")


class PartialEncoderOptions(Options):
    """The net, and what is hidden from it in training."""

    hidden: nets.Widths = Field((400, 400), max_length=8, description="widths of the fully connected layers")
    components: int = Field(4, ge=1, le=64, description="Gaussians in the mixture r(z|visible)")
    masks: Literal["mixed", "quadrants", "boxes", "pixels"] = Field(
        "mixed",
        description="what is visible: some quadrants; a box, or all but one; each pixel by lot; or all of these",
    )


class PartialEncoder(Proposer, Stage):
    """r(z|visible) for a model with one Gaussian part and a density."""

    Options = PartialEncoderOptions
    options: PartialEncoderOptions

    def __init__(self, base: LatentModel, options: PartialEncoderOptions) -> None:
        super().__init__(base, options)
        kinds = [type(part) for part in base.space.values()]
        if not isinstance(base, Density) or kinds != [Gaussian]:
            there = ", ".join(f"{name} ({type(part).__name__})" for name, part in base.space.items())
            raise ValueError(
                "partial_encoder stands on a model with a likelihood and one part of real numbers; this one has "
                + there
            )
        self.base: tuple[Any] = (base,)  # in a tuple, so that its weights are none of this module's
        ((self.part, part),) = base.space.items()
        assert isinstance(part, Gaussian)
        self.dims = part.dims
        outputs = options.components * (1 + 2 * self.dims)
        inputs = base.pixels + base.pixels // self.shape[0]
        self.net = nets.Net(*nets.fully_connected([inputs, *options.hidden, outputs]))

    def propose(self, x: Tensor, visible: Tensor) -> Mixture:
        pixels = torch.where(visible, x, 0.0).flatten(1)
        out = self.net(torch.cat([pixels, visible[:, 0].flatten(1).to(x.dtype)], 1))
        k, d = self.options.components, self.dims
        share, mean, log_var = out.split([k, k * d, k * d], 1)
        return Mixture(share.log_softmax(1), mean.unflatten(1, (k, d)), log_var.unflatten(1, (k, d)))

    def masks(self, b: int) -> Tensor:
        """(b, c, h, w) bool: what is visible of each image, by lot."""
        kinds = KINDS if self.options.masks == "mixed" else (self.options.masks,)
        _, h, w = self.shape
        whole = torch.rand(b * distributed.world(), 7 + h * w, device=self.device)
        lot, noise = whole[distributed.part(b)].split([7, h * w], 1)
        drawn = torch.stack([MAKERS[kind](lot[:, 1:], noise.view(b, h, w)) for kind in kinds])  # (kinds, b, h, w)
        chosen = (lot[:, 0] * len(kinds)).long().clamp_max(len(kinds) - 1)
        return drawn[chosen, torch.arange(b, device=self.device)][:, None].expand(b, *self.shape)

    def learned_from(self, x: Tensor) -> Tensor:
        """The images that q is of, (b, c, h, w): where the model binarises them, they are drawn anew while training, as
        its own steps do, since a draw by each image's seed would wait for the host.
        """
        (base,) = self.base
        is_drawn = self.training and isinstance(base, Observed) and base.options.binarise == "dynamic"
        return base.binarised(x) if is_drawn else x

    def terms(self, x: Tensor, given: Mapping[str, Tensor] = NOTHING) -> dict[str, Tensor]:
        """ "kl_to_r" (b,), nats: log q(z|x) − log r(z|visible) at one draw of q."""
        (base,) = self.base
        with torch.no_grad():
            z, log_q = base.infer(self.learned_from(x), 1)
        return {"kl_to_r": log_q[0] - self.propose(x, self.masks(len(x))).log_prob(z[self.part])[0]}

    def objective(self, terms: Mapping[str, Tensor]) -> list[Piece]:
        latex = r"\mathbb{E}_q\big[\log q(z \mid x) - \log r(z \mid x_V)\big]"
        about = "How far r, which sees the visible pixels V alone, is from the posterior"
        return [self.piece(terms, latex, about, "kl_to_r")]

    def facts(self) -> dict[str, str]:
        options = self.options
        layers = " and ".join(f"{width}" for width in options.hidden)
        net = f"a net with layers of {layers}" if layers else "a linear net"
        return {
            "r(z|visible)": f"{options.components} Gaussians, by {net}",
            "visible in training": ", ".join(KINDS) if options.masks == "mixed" else options.masks,
            "effective draws": f"medians over {COMPARED} test images, a mask for each as in training",
        }

    @torch.no_grad()
    def figures(self, images: Images, test: Images) -> Figures:
        """The median of how many draws of a thousand count, from r(z|visible) and from the prior."""
        (base,) = self.base
        torch.manual_seed(0)
        generator = torch.Generator().manual_seed(0)
        found: dict[str, list[Tensor]] = {"r": [], "the prior": []}
        for rows in torch.arange(min(COMPARED, len(test))).split(20):
            x = test.batch(rows, self.device)
            visible, prior = self.masks(len(x)), prior_of(base, len(x))
            proposals = {"r": self.propose(x, visible).beside(prior, SHARE), "the prior": prior}
            for name, proposal in proposals.items():
                found[name].append(weighted(base, x, visible, proposal, DRAWS, generator).ess)
        return {f"effective draws of {DRAWS:,} from {name}": (float(torch.cat(ess).median()), "draws")
                for name, ess in found.items()}  # fmt: skip


# ---- masks (b, h, w) bool from lots (b, 6) and noise (b, h, w), all uniform in 0 … 1


def _places(noise: Tensor) -> tuple[Tensor, Tensor]:
    """Rows (h, 1) and columns (1, w) of pixels, their middles in 0 … 1."""
    _, h, w = noise.shape
    rows, columns = torch.arange(h, device=noise.device), torch.arange(w, device=noise.device)
    return (rows[:, None] + 0.5) / h, (columns[None] + 0.5) / w


def _quadrants(lot: Tensor, noise: Tensor) -> Tensor:
    """One, two or three of the four quadrants are visible, each set as often as another of its size."""
    y, x = _places(noise)
    rank = lot[:, :4].argsort(1).argsort(1)  # (b, 4), in an order by lot
    seen = rank < 1 + (3 * lot[:, 4:5]).long()
    return seen[:, 2 * (y > 0.5).long() + (x > 0.5).long()]


def _boxes(lot: Tensor, noise: Tensor) -> Tensor:
    """A box with corners by lot is hidden, or, as often, all that is outside of it."""
    y, x = _places(noise)
    corners = lot[:, :4, None, None]
    inside = (y > corners[:, :2].amin(1)) & (y < corners[:, :2].amax(1))
    inside = inside & (x > corners[:, 2:].amin(1)) & (x < corners[:, 2:].amax(1))
    return inside ^ (lot[:, 4, None, None] < 0.5)


def _pixels(lot: Tensor, noise: Tensor) -> Tensor:
    """Each pixel is visible with the same probability, which is by lot for each image."""
    return noise < lot[:, 0, None, None]


MAKERS = {"quadrants": _quadrants, "boxes": _boxes, "pixels": _pixels}
