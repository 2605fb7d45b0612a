"""The vector-quantised VAE (van den Oord et al. 2017).

    k      = argmin_i ‖f(x) − e_i‖               at each place of a grid, of K codes
    p(x|k) = likelihood(g(e_k)),   p(k) uniform
    loss   = −log p(x|k) + β ‖f(x) − sg[e_k]‖²   and ‖sg[f(x)] − e_k‖² where no moving averages learn e

With a squared distance in the place of −log p(x|k), as in the paper. The KL to the uniform p(k) is ln K nats at each
place, whatever is learned; a prior over the codes is a stage of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from trainer import formulas, local_nets
from trainer.data import Images, shuffled
from trainer.latent import Codes, Latent, LatentModel, tally
from trainer.options import needs
from trainer.probability import (
    bernoulli_log_prob,
    discretised_logistic_log_prob,
    discretised_logistic_mean,
    per_image,
)
from trainer.quantiser import Quantiser
from trainer.trainable import NOTHING, Piece, Shape, Track

MEASURED = 10_000  # images for how often each code stands at each place
STARTED_FROM = 20_000  # vectors for k-means
SCALES = (-7.0, 3.0)  # bounds of the log-scale of a discretised logistic distribution


class VQVAEOptions(local_nets.LocalNetOptions):
    """The codebook, how it is learned, what keeps it in use, and what p(x|k) is."""

    codes: int = Field(256, ge=2, le=65_536, description="number of codes K")
    dims: int = Field(32, ge=1, le=512, description="numbers of each code; with few, more codes stay in use")
    commitment: float = Field(0.25, ge=0, le=100, description="weight β of the distance from vectors to their codes")
    codebook: Literal["ema", "gradient"] = Field(
        "ema", description="how codes follow their vectors: ema, moving averages; gradient, the codebook loss"
    )
    gamma: float = Field(
        0.99,
        gt=0,
        lt=1,
        description="γ of the moving averages; nearer to 1 is steadier and slower",
        json_schema_extra=needs(codebook=["ema"]),
    )
    kmeans: bool = Field(
        True, description="start from k-means of the first vectors: codes far from all vectors would never be chosen"
    )
    restart: int = Field(
        100,
        ge=0,
        le=1_000_000,
        description="batches unused after which a code is set on a vector of the batch, since nothing else moves it; "
        "0 is never",
    )
    cosine: bool = Field(False, description="compare by angle: at length 1 no code is left behind because vectors grow")
    likelihood: Literal["distance", "bernoulli", "binarised", "discretised"] = Field(
        "distance",
        description="distance: squared, as in the paper; bernoulli: on grey pixels a cross-entropy; binarised: "
        "bernoulli on pixels above and below ½; discretised: 256 levels of a logistic. The last two are code lengths",
    )


class VQVAE(LatentModel):
    """An encoder into a grid of codes, and a decoder in which a code stays local."""

    Options: ClassVar[type[VQVAEOptions]] = VQVAEOptions
    is_line: ClassVar[bool] = False  # whether the grid is along the width alone
    options: VQVAEOptions
    frequency: Tensor  # (h, w, K) of each code at each place
    units: Mapping[str, str] = {  # as the options are by default
        "reconstruction": "squared distance",
        "commitment": "squared distance",
        "perplexity": "codes",
        "codes_used": "codes",
        "dead_codes": "codes",
        "bits_pooled": "bits",
    }

    def __init__(self, shape: Shape, options: VQVAEOptions) -> None:
        super().__init__(shape, options)
        h, w = local_nets.grid(shape, options.stages, self.is_line)
        self.space = {"codes": Codes(h, w, options.codes)}
        self.units = dict(self.units)
        if options.codebook == "gradient":
            self.units["codebook"] = "squared distance"
        if options.likelihood != "distance":
            del self.units["reconstruction"]
        outputs = shape[0] * (2 if options.likelihood == "discretised" else 1)  # a location and a log-scale
        self.encoder = local_nets.encoder(shape, options, options.dims, self.is_line)
        self.decoder = local_nets.decoder(shape, options, options.dims, outputs, self.is_line)
        gamma = options.gamma if options.codebook == "ema" else None
        self.quantiser = Quantiser(options.codes, options.dims, gamma, options.cosine, options.restart)
        self.register_buffer("frequency", torch.full((h, w, options.codes), 1 / options.codes))
        self.add_knob("commitment_weight", options.commitment)

    @property
    def codebook(self) -> Tensor:
        """The codes as the decoder gets them, (K, d)."""
        return self.quantiser.read()

    @property
    def prior(self) -> Any:
        """The second stage that has learned p(k), None where none is attached."""
        return self.stages.get("code_prior")

    def encode(self, x: Tensor, given: Mapping[str, Tensor] = NOTHING) -> Latent:
        found = self.quantiser.nearest(self.encoder(self.looked_at(x)))
        return {"codes": _kept(found, given)}

    def looked_at(self, x: Tensor) -> Tensor:
        return (x > 0.5).to(x.dtype) if self.options.likelihood == "binarised" else x

    def embed(self, z: Latent) -> Tensor:
        """The codes' vectors, (b, d, h, w)."""
        self.space["codes"].check("codes", z["codes"])
        return self.quantiser.look_up(z["codes"])

    def decode(self, z: Latent) -> Tensor:
        return self._image(self.decoder(self.embed(z)))

    def _image(self, out: Tensor) -> Tensor:
        if self.likelihood == "Bernoulli":
            return out.sigmoid()
        found = discretised_logistic_mean(*_logistic(out)) if self.options.likelihood == "discretised" else out
        return found.clamp(0, 1)

    def reconstruct(self, x: Tensor) -> Tensor:
        """What training compares x with: the forward pass, (b, c, h, w)."""
        return self._image(self.decoder(self.quantiser(self.encoder(self.looked_at(x))).values))

    def sample(
        self,
        n: int,
        given: Mapping[str, Tensor] = NOTHING,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
        track: Track[Any] = iter,
    ) -> Latent:
        """From the prior over codes; without one each place alone, by how often its codes were measured.

        What is −1 in given codes is drawn; a learned prior takes "y" (n,) too, the classes. `temperature` divides the
        log-probabilities; at 0 the likeliest is taken. `track` wraps a learned prior's loop over the places.
        """
        if self.prior is not None:
            kept = {"given_codes": given.get("codes"), "y": given.get("y")}
            return {"codes": self.prior.sample(n, **kept, temperature=temperature, generator=generator, track=track)}
        frequency = self.frequency.flatten(0, 1).cpu()  # (h·w, K)
        if temperature == 0:
            drawn = frequency.argmax(1, keepdim=True).expand(-1, n)
        else:
            sharp = (frequency / frequency.amax(1, keepdim=True)) ** (1 / temperature)
            drawn = torch.multinomial(sharp, n, replacement=True, generator=generator)
        return {"codes": _kept(drawn.T.reshape(n, *self.frequency.shape[:2]).to(self.device), given)}

    @property
    def sample_note(self) -> str:
        if self.prior is not None:
            return ""
        return (
            "each code was drawn alone, by how often it stands at its place, which is no sample of the model, since "
            "codes depend on each other; train the prior over codes to sample it: "
            "python -m trainer stage code_prior CHECKPOINT"
        )

    def points(self, z: Latent) -> Tensor:
        """(b, ≤ 4 d): the codes' vectors, their mean in each quarter of the grid."""
        vectors = self.embed(z)  # (b, d, h, w)
        rows = min(2, vectors.shape[2])
        return F.adaptive_avg_pool2d(vectors, (rows, min(4 // rows, vectors.shape[3]))).flatten(1)

    def receptive(self, part: str, row: int, column: int) -> tuple[int, int, int, int]:
        return local_nets.patch(self.shape, self.options, (row, column), self.is_line)

    # ---- training

    def terms(self, x: Tensor, given: Mapping[str, Tensor] = NOTHING) -> dict[str, Tensor]:
        x = self.looked_at(x)
        found = self.quantiser(self.encoder(x))
        terms = {"reconstruction": self._reconstruction(x, self.decoder(found.values))}
        if self.options.codebook == "gradient":
            terms["codebook"] = found.codebook
        return {**terms, "commitment": found.commitment}

    def _reconstruction(self, x: Tensor, out: Tensor) -> Tensor:
        """(b,) −log p(x|k) in nats, or the squared distance."""
        if self.options.likelihood == "distance":
            return per_image((x - out).square())
        if self.likelihood == "Bernoulli":
            return per_image(-bernoulli_log_prob(x, out))
        levels = (255 * x).round() / 255
        return per_image(-discretised_logistic_log_prob(levels, *_logistic(out)))

    def loss(self, terms: Mapping[str, Tensor]) -> Tensor:
        weighted = {**terms, "commitment": self.knobs["commitment_weight"] * terms["commitment"]}
        return super().loss(weighted)

    def objective(self, terms: Mapping[str, Tensor]) -> list[Piece]:
        beta = self.knobs["commitment_weight"]
        places = "over the places t; sg lets no gradient pass" + ("; all at length 1" if self.options.cosine else "")
        latex, about = self._reconstruction_formula()
        pieces = [self.piece(terms, latex, about, "reconstruction")]
        if "codebook" in terms:
            pieces.append(self.piece(
                terms, r"\textstyle\sum_t \lVert \mathrm{sg}[f_t(x)] - e_{k_t} \rVert^2",
                f"What draws codes to the vectors they stand for, {places}", "codebook",
            ))  # fmt: skip
        pieces.append(self.piece(
            terms, r"\beta\, \textstyle\sum_t \lVert f_t(x) - \mathrm{sg}[e_{k_t}] \rVert^2",
            f"What holds the encoder's vectors to their codes, {places}", "commitment", weight=beta,
            symbols={r"\beta": beta},
        ))  # fmt: skip
        return pieces

    def _reconstruction_formula(self) -> tuple[str, str]:
        """LaTeX and words."""
        if self.options.likelihood == "distance":
            return r"\lVert x - g(e_k) \rVert^2", "How far the image is from what its codes decode to"
        bernoulli = formulas.bernoulli("g(e_k)")
        expanded, family = {
            "bernoulli": (bernoulli, "Bernoulli, grey pixels as probabilities"),
            "binarised": (bernoulli, "Bernoulli, pixels above and below ½"),
            "discretised": (formulas.DISCRETISED, "discretised logistic of 256 levels, m and s from g"),
        }[self.options.likelihood]
        latex = formulas.lines(r"-\log p(x \mid k)", *expanded)
        return latex, f"How badly the image fits its codes ({family})"

    @torch.no_grad()
    def begin(self, images: Images, track: Track[Tensor] = iter) -> bool:
        if self.options.kmeans:
            part = self.space["codes"]
            assert isinstance(part, Codes)
            rows = shuffled(len(images))[: math.ceil(STARTED_FROM / (part.h * part.w))]
            found = [self.encoder(self.looked_at(images.batch(some, self.device))) for some in track(rows.split(256))]
            self.quantiser.begin(torch.cat(found))
        return False

    def after_step(self, terms: Mapping[str, Tensor]) -> None:
        self.quantiser.update()

    def after_epoch(self) -> None:
        self.quantiser.after_epoch()

    def measures(self) -> dict[str, float]:
        counts = self.quantiser.last_epoch.double().cpu()
        if not counts.any():
            return {}  # no epoch is over yet
        nats = float(torch.special.entr(counts / counts.sum()).sum())
        places = self.frequency[..., 0].numel()
        used = int((counts > 0).sum())
        return {
            "perplexity": math.exp(nats),
            "codes_used": used,
            "dead_codes": len(counts) - used,
            "bits_pooled": places * nats / math.log(2),  # by the frequencies of all places together
        }

    @torch.no_grad()
    def end(self, images: Images) -> None:
        h, w, size = self.frequency.shape
        places, counts = torch.arange(h * w), torch.zeros(h * w, size, dtype=torch.long)
        for rows in torch.arange(min(MEASURED, len(images))).split(256):
            codes = self.encode(images.batch(rows, self.device))["codes"].flatten(1).cpu()
            counts += tally(codes, places, (h * w, size))
        self.frequency.copy_((counts / counts.sum(-1, keepdim=True)).view(h, w, size))

    # ---- what it is

    @property
    def likelihood(self) -> str:
        families = {"distance": "", "discretised": "discretised logistic"}
        return families.get(self.options.likelihood, "Bernoulli")

    @property
    def is_code_length(self) -> bool:
        return self.options.likelihood in ("binarised", "discretised")

    def facts(self) -> dict[str, str]:
        h, w, size = self.frequency.shape
        codebook = "moving averages" if self.options.codebook == "ema" else "its gradient"
        return {"codes": f"{h} × {w} of {size:,}, each {self.options.dims} numbers, learned by {codebook}"}


def _logistic(out: Tensor) -> tuple[Tensor, Tensor]:
    """What the decoder gives (b, 2 c, h, w) -> the locations and the log-scales, each (b, c, h, w)."""
    location, log_scale = out.chunk(2, dim=1)
    return location, (log_scale - 3).clamp(*SCALES)


def _kept(found: Tensor, given: Mapping[str, Tensor]) -> Tensor:
    """Codes (b, h, w), but the given ones where these are not −1."""
    return torch.where(given["codes"] < 0, found, given["codes"]) if "codes" in given else found
