"""The partial encoder: its masks, its KL, its folder, and that it proposes better than what was there before."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from commandline import call, refused, weights_of
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import trainer
from trainer import data, models
from trainer.completion import complete, weighted
from trainer.latent import LatentModel
from trainer.probability import kl_between, per_image
from trainer.proposals import SHARE, prior_of, proposal_of
from trainer.stages.partial_encoder import PartialEncoder, PartialEncoderOptions

SMALL = ["--hidden", 32, "--components", 2, "--device", "cpu"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small VAE with a trained partial encoder. Tests do not write into it."""
    out = tmp_path_factory.mktemp("checkpoints") / "digits-vae"
    options = ["--hidden", 64, "--latents", 2, "--steps", 500, "--rate", 3e-3]
    assert call("train", "vae", "--data", "digits", "--device", "cpu", "--out", out, *options) == 0
    assert call("stage", "partial_encoder", out, *SMALL, "--steps", 600, "--rate", 3e-3) == 0
    return out


def stage(masks: str = "mixed", components: int = 1, binarise: str = "none") -> tuple[LatentModel, PartialEncoder]:
    torch.manual_seed(0)
    kind = models.get("vae")
    model = kind((1, 8, 8), kind.Options.read({"hidden": (8,), "latents": 2, "binarise": binarise})).eval()
    options = PartialEncoderOptions.read({"hidden": (8,), "components": components, "masks": masks})
    return model, PartialEncoder(model, options)


def test_the_folder_says_what_it_is_worth(base: Path) -> None:
    model = trainer.load(base)
    found = model.stages["partial_encoder"]
    assert isinstance(found, PartialEncoder) and model.refused == []
    assert set(weights_of(base / "partial_encoder")) == set(found.state_dict())
    assert not any(name.startswith("base") for name in found.state_dict())
    arrays = trainer.load_summary(base / "partial_encoder").arrays
    kl = float(arrays["mean/kl_to_r"])
    assert 0 < kl < 3
    ours, priors = (float(arrays[f"figures/effective draws of 1,000 from {name}"]) for name in ("r", "the prior"))
    assert 1 <= priors < ours / 1.5
    card = (base / "partial_encoder" / "README.md").read_text()
    assert "quadrants, boxes, pixels" in card and "ELBO" not in card
    history = trainer.describe(base / "partial_encoder").history()
    assert history[-1]["kl_to_r"] < history[0]["kl_to_r"]


def test_completion_proposes_by_it_and_weights_correct_it(base: Path) -> None:
    """The same mean as thousands of draws from the prior find, with many more draws that count."""
    model = trainer.load(base)
    x = data.load("digits", "test").batch(torch.arange(3))
    visible = torch.ones(1, 8, 8, dtype=torch.bool)
    visible[:, 4:, 4:] = False
    seen = visible.expand_as(x)
    with torch.no_grad():
        proposal = proposal_of(model, x, seen)
        learned = model.stages["partial_encoder"].propose(x, seen)
        k = learned.mean.shape[1]
        torch.testing.assert_close(proposal.mean[:, :k], learned.mean)
        torch.testing.assert_close(proposal.log_share[:, :k].exp().sum(1), torch.full((3,), 0.5 * (1 - SHARE)))
        prior = weighted(model, x, seen, prior_of(model, 3), 60_000, torch.Generator().manual_seed(1))
    found = complete(model, x, visible, 4_000, generator=torch.Generator().manual_seed(2))
    assert (found.ess / 4_000 > 2 * prior.ess / 60_000).all()
    for name in found.z:
        wanted = (prior.weights[..., None] * prior.z[name]).sum(0)
        ours = (found.weights[..., None] * found.z[name]).sum(0)
        torch.testing.assert_close(ours, wanted, rtol=0, atol=0.05)


@pytest.mark.parametrize("components", [1, 3])
@torch.no_grad()
def test_its_term_is_the_kl(components: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one component, or several that are alike, the mean of the term is the KL of two Gaussians."""
    model, found = stage(components=components)
    x = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    visible = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(3)) < 0.5
    monkeypatch.setattr(found, "masks", lambda b: visible)
    one = found.propose(x, visible)
    alike = type(one)(one.log_share, one.mean[:, :1].expand_as(one.mean), one.log_var[:, :1].expand_as(one.mean))
    monkeypatch.setattr(found, "propose", lambda x, visible: alike)
    torch.manual_seed(5)
    terms = torch.stack([found.terms(x)["kl_to_r"] for _ in range(1_000)])
    closed = per_image(kl_between(*model.posterior(x), one.mean[:, 0], one.log_var[:, 0]))
    assert ((terms.mean(0) - closed).abs() < 5 * terms.std(0) / 1_000**0.5).all()


@torch.no_grad()
def test_its_objective_is_written() -> None:
    _, encoder = stage()
    terms = encoder.terms(torch.rand(4, 1, 8, 8))
    (piece,) = encoder.objective(terms)
    assert "r(z" in piece.latex and piece.unit == "nats"
    assert torch.equal(piece.value.mean(), encoder.loss(terms))


class OnTheDevice(TorchDispatchMode):
    """Notes what noise is drawn elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.elsewhere: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = function(*args, **(kwargs or {}))
        self.elsewhere += [str(function)] if "rand" in str(function) and out.device.type != "meta" else []
        return out


@pytest.mark.parametrize("binarise", ["none", "dynamic"])
def test_its_steps_bring_nothing_from_the_host(binarise: str) -> None:
    """On a device that holds no numbers nothing can be read either."""
    model, found = stage(binarise=binarise)
    model.to("meta")
    with OnTheDevice() as spy:
        assert found.to("meta").terms(torch.rand(4, 1, 8, 8, device="meta"))["kl_to_r"].shape == (4,)
    assert spy.elsewhere == []


@torch.no_grad()
def test_binarised_pixels_are_drawn_anew_while_training(monkeypatch: pytest.MonkeyPatch) -> None:
    model, found = stage(binarise="dynamic")
    seen: list[Tensor] = []
    posterior = model.posterior
    monkeypatch.setattr(model, "posterior", lambda x: (seen.append(x), posterior(x))[1])
    x = torch.full((500, 1, 8, 8), 0.3)
    for training in (True, True, False, False):
        found.train(training).terms(x)
    assert all(each.unique().tolist() == [0, 1] and each.dtype == torch.float32 for each in seen)
    assert float(seen[0].mean()) == pytest.approx(0.3, abs=0.02) and not torch.equal(seen[0], seen[1])
    assert torch.equal(seen[2], model.looked_at(x)) and torch.equal(seen[2], seen[3])


@torch.no_grad()
def test_hidden_pixels_are_not_read() -> None:
    _, found = stage()
    x = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    visible = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(3)) < 0.5
    changed = torch.where(visible, x, 1 - x)
    assert torch.equal(found.propose(x, visible).mean, found.propose(changed, visible).mean)
    assert not torch.equal(found.propose(0 * x, visible).mean, found.propose(0 * x, ~visible).mean)  # it reads the mask


def drawn(masks: str) -> Tensor:
    """(2000, 8, 8) bool."""
    torch.manual_seed(1)
    return stage(masks)[1].masks(2_000)[:, 0]


def test_quadrants_are_whole() -> None:
    seen = drawn("quadrants").view(-1, 2, 4, 2, 4)
    whole = seen[:, :, 0, :, 0]
    assert torch.equal(seen, whole[:, :, None, :, None].expand_as(seen))
    count = whole.flatten(1).sum(1)
    assert torch.bincount(count, minlength=5).tolist() == pytest.approx([0, 667, 667, 667, 0], abs=80)
    assert whole.float().mean(0).flatten().tolist() == pytest.approx([0.5] * 4, abs=0.05)


def test_boxes_are_boxes() -> None:
    seen = drawn("boxes")
    inside = torch.where(seen[:, :1, :1], ~seen, seen)  # as if no box reached the corner, which some do
    box = inside.any(1)[:, None] & inside.any(2)[:, :, None]
    assert float((inside == box).flatten(1).all(1).float().mean()) > 0.9
    assert 0.4 < float(seen.float().mean()) < 0.6 and seen.flatten(1).all(1).any()


def test_pixels_are_by_lot() -> None:
    share = drawn("pixels").float().flatten(1).mean(1)
    assert 0.45 < float(share.mean()) < 0.55
    assert share.quantile(torch.tensor([0.1, 0.9])).tolist() == pytest.approx([0.1, 0.9], abs=0.05)
    mixed = drawn("mixed")
    assert 0.45 < float(mixed.float().mean()) < 0.55


def test_a_model_that_it_cannot_stand_on_is_named(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--data", "digits", "--size", 100, "--steps", 1, "--hidden", 4, "--device", "cpu"]
    assert call("train", "quadrant_baseline", "--out", tmp_path / "quadrant", *options) == 0
    said = refused(capsys, "stage", "partial_encoder", tmp_path / "quadrant", *SMALL)
    assert "one part of real numbers; this one has visible (Visible)" in said
    copy = Path(shutil.copytree(base, tmp_path / "copy"))
    assert call("resume", copy, "--steps", 1, "--device", "cpu") == 0
    model = trainer.load(copy)
    assert model.stages == {} and "was trained on other weights" in model.refused[0]
