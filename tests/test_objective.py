"""The objective as it is written on the screen: its pieces sum to the loss."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from contract import SHAPES, build, noise_images, options_of, shapes_of, some, told

from trainer import models
from trainer.trainable import Trainable, total

VARIANTS: dict[str, list[dict[str, Any]]] = {  # options that change what is written, beside the defaults
    "vae": [{"likelihood": "gaussian"}, {"likelihood": "learned"}, {"binarise": "dynamic", "samples": 3}],
    "beta_vae": [{"beta": 2, "warmup": 9}, {"capacity": 5}, {"max_kl": 4}],
    "cvae": [{"prior": "dependent", "likelihood": "learned"}],
    "semi_supervised": [{"prior": "dependent", "classifier_weight": 3.5}],
    "hierarchical_vae": [{"inference": "bottom_up", "warmup": 9}, {"free_bits": 1.5}, {"free_bits": 40}],
    "vlae": [{"free_bits": 1.5, "likelihood": "gaussian"}],
    "vq_vae": [
        {"codebook": "gradient", "commitment": 0.7},
        *({"likelihood": each, "cosine": True} for each in ("bernoulli", "binarised", "discretised")),
    ],
    "mixture": [{"likelihood": "bernoulli"}, {"variance": "shared"}],
    "quadrant": [{"observed": 3, "binarise": "none"}],
}  # fmt: skip
WRITTEN = [(name, more) for name in models.names() for more in ({}, *VARIANTS.get(name, []))]


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluated"])
@pytest.mark.parametrize(("name", "more"), WRITTEN, ids=str)
@torch.no_grad()
def test_the_pieces_of_the_objective_sum_to_the_loss(name: str, more: dict[str, Any], training: bool) -> None:
    shape = shapes_of(name)[0]
    torch.manual_seed(0)
    kind = models.get(name)
    model = kind(shape, kind.Options.read({**options_of(name, None), **more}))
    model.begin(noise_images(shape))
    model.train(training)
    for place, knob in enumerate(model.knobs.values()):
        knob.fill_(0.3 + 1.7 * place)  # none is 1, or as another
    given = told(model, 6)
    if "classifier" in kind.Options.model_fields:
        given = {"y": torch.where(torch.arange(6) < 4, given["y"], -1)}
        model.share.fill_(0.4)
    terms = model.terms(some(shape, 6), given)
    pieces = model.objective(terms)
    torch.testing.assert_close(sum(piece.value.mean() for piece in pieces), model.loss(terms), rtol=1e-5, atol=1e-4)
    assert {term for piece in pieces for term in piece.terms} == set(terms)
    written = {float(value) for piece in pieces for value in piece.symbols.values()}
    assert {float(knob) for knob_name, knob in model.knobs.items() if knob_name != "unlabelled"} <= written
    for piece in pieces:
        assert piece.value.shape in ((6,), ())
        assert piece.unit == model.units.get(piece.terms[0], "nats")
        assert piece.about and "\n" not in piece.about and "$" not in piece.about
        assert all(symbol in piece.latex for symbol in piece.symbols)
        assert piece.latex.count("{") == piece.latex.count("}") and "text{" not in piece.latex
        assert all(math.isfinite(float(value)) for value in piece.symbols.values())


@pytest.mark.parametrize(("name", "more", "weight"), [
    ("vae", {}, 1), ("ppca", {}, 1), ("beta_vae", {"beta": 3}, 3), ("beta_vae", {"max_kl": 4}, 0.7),
    ("beta_vae", {"capacity": 5}, None), ("tc_vae", {"beta": 4}, None), ("tc_vae", {"beta": 1}, 1),
    ("factor_vae", {}, None), ("factor_vae", {"gamma": 0}, 1), ("iwae", {}, None), ("iwae", {"samples": 1}, 1),
])  # fmt: skip
@torch.no_grad()
def test_the_weight_of_the_kl_is_what_the_loss_has(name: str, more: dict[str, Any], weight: float | None) -> None:
    """loss + E log p − β KL is one number, whatever the images, with that β alone; with none for another objective."""
    shape = SHAPES[0]
    torch.manual_seed(0)
    kind = models.get(name)
    model = kind(shape, kind.Options.read({**options_of(name, None), **more})).eval()
    model.begin(noise_images(shape))
    if "multiplier" in model.knobs:
        model.knobs["multiplier"].fill_(0.7)
    assert model.kl_weight == (weight if weight is None else pytest.approx(weight))
    found = []
    for scale in (0.2, 1.0, 3.0):
        terms = model.terms(some(shape, 6).pow(scale))
        terms["kl/z"] = scale * terms["kl/z"]
        if "extra/total_correlation" in terms:
            terms["extra/total_correlation"] += scale
        if "extra/critic" in terms:
            terms["extra/critic"] *= 0  # what it learns from, which is no part of the model's own objective
        kl, reconstruction = float(terms["kl/z"].sum(1).mean()), float(terms["reconstruction"].mean())
        found.append(float(model.loss(terms)) - reconstruction - (weight or 1) * kl)
    alike = found == pytest.approx([found[0]] * 3, abs=1e-3)
    assert alike == (weight is not None)


def test_what_writes_no_formulas_of_its_own_has_its_terms_as_pieces() -> None:
    model = build(("vae", "mlp"), SHAPES[0])
    terms = model.terms(some(SHAPES[0]))
    pieces = Trainable.objective(model, terms)
    assert [piece.latex for piece in pieces] == [r"\text{reconstruction}", r"\text{kl/z}"]
    torch.testing.assert_close(sum(piece.value for piece in pieces), total(terms)["loss"])
