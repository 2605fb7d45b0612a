"""The β-VAE, and three ways to choose its β.

    loss = −E_q[log p(x|z)] + β KL               Higgins et al. 2017; β may be warmed up from 0
    loss = −E_q[log p(x|z)] + γ |KL − C(t)|      Burgess et al. 2018; C grows to its last value
    loss = −E_q[log p(x|z)] + λ (KL − δ)         KL ≤ δ as a constraint; λ ≥ 0 rises while it is broken

KL is the batch mean of KL(q(z|x) ‖ p(z)) in nats. Prior, likelihood and posterior are the VAE's. A larger β lowers
the KL; it does not by itself make dimensions independent (Locatello et al. 2019).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import torch
from pydantic import Field, model_validator
from torch import Tensor

from trainer import formulas
from trainer.distributed import all_mean
from trainer.models.vae import VAE, VAEOptions
from trainer.options import needs
from trainer.trainable import Piece, Shape, total


class BetaVAEOptions(VAEOptions):
    """What weighs the KL: β, or a capacity, or a constraint; one at a time."""

    beta: float = Field(4.0, ge=0, le=10_000, description="weight β of the KL")
    warmup: int = Field(0, ge=0, le=10_000_000, description="steps over which β rises from 0; 0 is none")
    capacity: float | None = Field(
        None, ge=0, le=1000, description="C, the KL in nats that is aimed at in the end, instead of a β"
    )
    capacity_steps: int = Field(
        25_000, ge=1, le=10_000_000, description="steps over which C rises from 0", json_schema_extra=needs(capacity=[])
    )
    gamma: float = Field(
        100.0,
        gt=0,
        le=10_000,
        description="weight γ of the distance to the capacity",
        json_schema_extra=needs(capacity=[]),
    )
    max_kl: float | None = Field(
        None, ge=0, le=1000, description="δ, a KL in nats that must not be exceeded, instead of a β"
    )
    multiplier_rate: float = Field(
        0.01, gt=0, le=10, description="step of the multiplier λ per nat over δ", json_schema_extra=needs(max_kl=[])
    )

    @model_validator(mode="after")
    def _one_at_a_time(self) -> BetaVAEOptions:
        defaults = {"beta": 4.0, "warmup": 0, "capacity": None, "max_kl": None}
        names = [name for name, value in defaults.items() if getattr(self, name) != value]
        if names[:2] == ["beta", "warmup"]:
            names = ["beta with warmup", *names[2:]]  # these two go together
        if len(names) > 1:
            raise ValueError(f"{' and '.join(names)} exclude each other: give only one of them")
        return self


class BetaVAE(VAE):
    """The VAE with a weight on its KL."""

    Options: ClassVar[type[BetaVAEOptions]] = BetaVAEOptions
    options: BetaVAEOptions

    def __init__(self, shape: Shape, options: BetaVAEOptions) -> None:
        super().__init__(shape, options)
        if options.capacity is not None:
            self.add_knob("gamma", options.gamma)
            self.add_knob("capacity", 0.0)
        elif options.max_kl is not None:
            self.add_knob("max_kl", options.max_kl)
            self.add_knob("multiplier", 1.0)
        else:
            self.add_knob("beta", options.beta)

    @property
    def kl_weight(self) -> float | None:
        if "capacity" in self.knobs:
            return None
        return float(self.knobs["multiplier" if "multiplier" in self.knobs else "beta"])

    def loss(self, terms: Mapping[str, Tensor]) -> Tensor:
        means = {family: values.mean() for family, values in total(terms).items()}
        if "capacity" in self.knobs:
            distance = (all_mean(means["kl"]) - self.knobs["capacity"]).abs()
            return means["reconstruction"] + self.knobs["gamma"] * distance
        if "multiplier" in self.knobs:
            return means["reconstruction"] + self.knobs["multiplier"] * (means["kl"] - self.knobs["max_kl"])
        return means["reconstruction"] + self.knobs["beta"] * means["kl"]

    def objective(self, terms: Mapping[str, Tensor]) -> list[Piece]:
        knobs = self.knobs
        if "capacity" in knobs:
            distance = (all_mean(total(terms)["kl"].mean()) - knobs["capacity"]).abs()
            latex = formulas.lines(r"\gamma\, \lvert \mathrm{KL} - C \rvert", rf"\mathrm{{KL}} = {formulas.STANDARD}")
            about = "How far the KL, in the mean over a batch, is from the capacity C"
            symbols = {r"\gamma": knobs["gamma"], "C": knobs["capacity"]}
            kl = Piece(latex, about, knobs["gamma"] * distance, ("kl/z",), symbols)
        elif "multiplier" in knobs:
            symbols = {r"\lambda": knobs["multiplier"], r"\delta": knobs["max_kl"]}
            plain = self.kl_piece(terms, r"\lambda\, \big[{} - \delta\big]", symbols=symbols)
            kl = replace(plain, value=knobs["multiplier"] * (plain.value - knobs["max_kl"]))
        else:
            kl = self.kl_piece(terms, r"\beta\, {}", knobs["beta"], {r"\beta": knobs["beta"]})
        return [self.reconstruction(terms), kl]

    def schedule(self, step: int) -> dict[str, float]:
        if self.options.capacity is not None:
            return {"capacity": self.options.capacity * min(1.0, step / self.options.capacity_steps)}
        if self.options.warmup:
            return {"beta": self.options.beta * min(1.0, step / self.options.warmup)}
        return {}

    def after_step(self, terms: Mapping[str, Tensor]) -> None:
        if "multiplier" in self.knobs:  # dual ascent
            with torch.no_grad():
                over = all_mean(total(terms)["kl"].mean()) - self.knobs["max_kl"]
                self.knobs["multiplier"].add_(self.options.multiplier_rate * over).clamp_(min=0)

    def facts(self) -> dict[str, str]:
        if "beta" not in self.knobs:
            return super().facts()
        normalised = self.options.beta * self.options.latents / self.pixels
        return {**super().facts(), "β_norm = β M / D": f"{normalised:.8g}"}
