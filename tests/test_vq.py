"""What the models of codes promise."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from commandline import call
from torch import Tensor

import trainer
from trainer import card, data, models
from trainer.data import Images
from trainer.latent import Codes, tally
from trainer.measuring import summarise
from trainer.models.vq_vae import VQVAE
from trainer.probability import discretised_logistic_log_prob, discretised_logistic_mean
from trainer.state import load_state, save_state
from trainer.train import TrainOptions, start, train
from trainer.trainable import Shape

TINY: dict[str, Any] = {"channels": 8, "codes": 12, "dims": 4, "stages": 1}
CASES: list[tuple[str, Shape]] = [("vq_vae", (1, 8, 8)), ("vq_vae", (3, 10, 13)), ("vq_vae_1d", (1, 1, 50))]
each_case = pytest.mark.parametrize(("name", "shape"), CASES)


def noise(shape: Shape, count: int = 40) -> Images:
    generator = torch.Generator().manual_seed(3)
    pixels = torch.randint(0, 256, (count, *shape), generator=generator, dtype=torch.uint8)
    return Images("noise", pixels, torch.arange(count) % 3, ("x", "y", "z"))


def build(name: str, shape: Shape, **options: Any) -> VQVAE:
    torch.manual_seed(1)
    kind = models.get(name)
    model = kind(shape, kind.Options.read({**TINY, **options}))
    assert isinstance(model, VQVAE)
    model.begin(noise(shape))
    return model.eval()


def test_k_means_needs_a_vector_for_each_code() -> None:
    with pytest.raises(ValueError, match=r"codes=700, .* only 640 vectors .* choose fewer codes, or no k-means"):
        build("vq_vae", (1, 8, 8), codes=700)


# ---- the models


@each_case
@pytest.mark.parametrize("more", [{}, {"cosine": True}, {"likelihood": "discretised"}, {"likelihood": "binarised"}])
@torch.no_grad()
def test_decode_of_encode_is_the_forward_pass(name: str, shape: Shape, more: dict[str, Any]) -> None:
    model, x = build(name, shape, **more), noise(shape).batch(torch.arange(5))
    assert torch.equal(model.decode(model.encode(x)), model.reconstruct(x))
    codes = model.encode(x)["codes"]
    expected = model.codebook[codes].permute(0, 3, 1, 2)
    assert torch.equal(model.embed({"codes": codes}), expected)


@each_case
@pytest.mark.parametrize("blocks", [0, 2])
@torch.no_grad()
def test_a_code_changes_its_patch_and_nothing_else(name: str, shape: Shape, blocks: int) -> None:
    model = build(name, (shape[0], shape[1], 2 * shape[2]), blocks=blocks, stages=2, channels=32)
    part = model.space["codes"]
    assert isinstance(part, Codes)
    z = model.sample(part.size, generator=torch.Generator().manual_seed(4))["codes"]
    for row, column in {(0, 0), (part.h // 2, part.w // 2), (part.h - 1, part.w - 1)}:
        other = z.clone()
        other[:, row, column] = (other[:, row, column] + 1) % part.size
        change = (model.decoder(model.embed({"codes": z})) - model.decoder(model.embed({"codes": other}))).abs()
        changed = change.amax((0, 1)) > 0  # (h, w)
        top, left, bottom, right = model.receptive("codes", row, column)
        rows, columns = torch.where(changed)
        assert (int(rows.min()), int(columns.min())) == (top, left)
        assert (int(rows.max()) + 1, int(columns.max()) + 1) == (bottom, right)
        assert blocks or (bottom - top) * (right - left) < changed.numel()


@pytest.mark.parametrize("codebook", ["ema", "gradient"])
def test_a_resumed_run_is_the_same_to_the_last_bit(codebook: str, tmp_path: Path) -> None:
    images, options = noise((1, 8, 8)), TrainOptions(steps=12, batch=8, every=3)

    def fresh() -> VQVAE:
        return build("vq_vae", (1, 8, 8), codebook=codebook, restart=1)

    whole = fresh()
    measured = dict(train(whole, images, options))
    first, again = fresh(), fresh()
    state = start(first, options)
    for step, _ in train(first, images, options, state):
        if step == 6:
            break
    save_state(tmp_path, first, state)
    state = start(again, options)
    load_state(tmp_path, again, state)
    later = dict(train(again, images, options, state))
    for name, value in whole.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
    assert later[12]["perplexity"] == measured[12]["perplexity"] and later[12]["loss"] == measured[12]["loss"]


def test_what_is_counted_is_of_a_whole_epoch() -> None:
    """40 images of 4×4 codes in 5 steps: nothing before these, then the same until the next 5."""
    model, images = build("vq_vae", (1, 8, 8)), noise((1, 8, 8))
    seen, counted, measures = torch.zeros(12, dtype=torch.long), [], {}
    update = model.after_step

    def counting(terms: Any) -> None:
        seen.add_(torch.bincount(model.quantiser.seen[1], minlength=12))  # type: ignore[index]
        counted.append(seen.clone())
        update(terms)

    model.after_step = counting  # type: ignore[method-assign]
    for step, found in train(model, images, TrainOptions(steps=12, batch=8, every=1)):
        measures[step] = found
    assert all("perplexity" not in measures[step] for step in range(1, 5))
    for step, before, after in ((5, None, 4), (9, None, 4), (10, 4, 9), (12, 4, 9)):
        counts = (counted[after] - (0 if before is None else counted[before])).double()
        assert int(counts.sum()) == 40 * 16
        share = counts[counts > 0] / counts.sum()
        nats = float(-(share * share.log()).sum())
        assert measures[step]["perplexity"] == pytest.approx(math.exp(nats))
        assert measures[step]["bits_pooled"] == pytest.approx(16 * nats / math.log(2))
        assert measures[step]["codes_used"] == int((counts > 0).sum())
        assert measures[step]["dead_codes"] == 12 - int((counts > 0).sum())


def test_terms_and_loss_by_hand() -> None:
    model, x = build("vq_vae", (1, 8, 8), codebook="gradient", commitment=0.5), noise((1, 8, 8)).batch(torch.arange(4))
    terms, vectors = model.terms(x), model.encoder(x)
    codes = model.embed(model.encode(x))
    distance = (vectors - codes).square().flatten(1).sum(1)
    out = model.decoder(codes)
    torch.testing.assert_close(terms["reconstruction"], (x - out).square().flatten(1).sum(1))
    torch.testing.assert_close(terms["commitment"], distance)
    torch.testing.assert_close(terms["codebook"], distance)
    torch.testing.assert_close(model.loss(terms), (terms["reconstruction"] + 1.5 * distance).mean())


def test_discretised_logistic_masses_are_a_code() -> None:
    levels = torch.arange(256, dtype=torch.float64) / 255
    for mean, log_scale in ((0.3, -3.0), (0.0, -7.0), (1.2, 0.0), (0.5, 3.0)):
        at = torch.tensor(mean, dtype=torch.float64), torch.tensor(log_scale, dtype=torch.float64)
        found = discretised_logistic_log_prob(levels, *at)
        assert float(found.exp().sum()) == pytest.approx(1.0, abs=1e-9)
        edges = ((torch.arange(255, dtype=torch.float64) + 0.5) / 255 - at[0]) / at[1].exp()
        direct = torch.diff(edges.sigmoid(), prepend=torch.zeros(1).double(), append=torch.ones(1).double())
        torch.testing.assert_close(found.exp(), direct, rtol=1e-6, atol=1e-12)


def test_the_mean_of_a_discretised_logistic_is_that_of_its_masses() -> None:
    levels = torch.arange(256, dtype=torch.float64) / 255
    for mean, log_scale in ((0.3, -3.0), (0.0, -2.0), (1.2, 0.0), (-0.4, -1.0), (0.5, 3.0), (0.7, -7.0), (2.0, -7.0)):
        at = torch.tensor(mean, dtype=torch.float64), torch.tensor(log_scale, dtype=torch.float64)
        masses = discretised_logistic_log_prob(levels, *at).exp()
        found, expected = float(discretised_logistic_mean(*at)), float((masses * levels).sum())
        assert found == pytest.approx(expected, abs=1 / 510 if log_scale < -5 else 1e-5)
        single = discretised_logistic_mean(*(value.float() for value in at))
        assert float(single) == pytest.approx(found, abs=1e-5)


@torch.no_grad()
def test_decode_is_the_mean_of_what_is_scored() -> None:
    """Of one image, from the masses of all 256 levels of each pixel."""
    model = build("vq_vae", (1, 8, 8), likelihood="discretised")
    z = model.sample(1, generator=torch.Generator().manual_seed(0))
    out = model.decoder(model.embed(z))
    levels = torch.arange(256).view(256, 1, 1, 1) / 255
    masses = discretised_logistic_log_prob(levels, out[:, :1], (out[:, 1:] - 3).clamp(-7, 3)).exp()
    torch.testing.assert_close(model.decode(z), (masses * levels).sum(0, keepdim=True), rtol=0, atol=1e-4)


@torch.no_grad()
def test_bits_per_dimension_only_where_they_are_a_code_length() -> None:
    images = noise((1, 8, 8))
    for likelihood in ("distance", "bernoulli", "binarised", "discretised"):
        model = build("vq_vae", (1, 8, 8), likelihood=likelihood)
        summary = summarise(model, images, images)
        said = " ".join([*card.code_lines(model, summary, "image"), *card.headline(model, summary)])
        assert ("bits per dimension" in said) == model.is_code_length == (likelihood in ("binarised", "discretised"))
        assert "perplexity" in said
        if model.is_code_length:
            x = images.batch(torch.arange(40))
            nats = float(model.terms(x)["reconstruction"].mean()) + 16 * math.log(12)
            assert card.bits_per_dimension(model, summary) == pytest.approx(nats / math.log(2) / 64)


@each_case
@torch.no_grad()
def test_a_summary_counts_codes(name: str, shape: Shape) -> None:
    model, images = build(name, shape), noise(shape)
    summary = summarise(model, images, images)
    summary.check(model.space)
    codes = model.encode(images.batch(torch.arange(40)))["codes"]
    found = summary.codes["codes"]
    assert np.array_equal(found.counts, torch.nn.functional.one_hot(codes, 12).sum(0).numpy())
    assert found.by_class is not None and images.labels is not None and found.counts.dtype == np.uint32
    for label in range(3):
        of_class = codes[images.labels == label].flatten()
        assert np.array_equal(found.by_class[label], torch.bincount(of_class, minlength=12).numpy())
    del summary.arrays["codes/codes/counts"]
    with pytest.raises(ValueError, match="codes/codes/counts is missing"):
        summary.check(model.space)


def test_a_tally_by_hand() -> None:
    codes = torch.tensor([[0, 2], [0, 1]])
    assert tally(codes, torch.arange(2), (2, 3)).tolist() == [[2, 0, 0], [0, 1, 1]]  # by place
    assert tally(codes, torch.tensor([[1], [0]]), (2, 3)).tolist() == [[1, 1, 0], [1, 0, 1]]  # by class


def test_a_large_codebook_is_counted_in_the_room_of_its_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """One-hot codes of 40 images, 16 places and 65,536 codes would take 40 times the room of these counts."""
    model, images = build("vq_vae", (1, 8, 8), codes=65_536, kmeans=False), noise((1, 8, 8))
    codes = Codes(4, 4, 65_536).draw(40, generator=torch.Generator().manual_seed(0))
    codes[10:, 2, 3] = 65_535
    monkeypatch.setattr(model, "encode", lambda x: {"codes": codes})
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as found:
        model.end(images)
    counts = 8 * 16 * 65_536  # bytes
    assert max(event.self_cpu_memory_usage for event in found.events()) <= counts
    assert float(model.frequency[2, 3, 65_535]) == pytest.approx(30 / 40)
    torch.testing.assert_close(model.frequency.sum(-1), torch.ones(4, 4))


@torch.no_grad()
def test_samples_come_from_the_prior_or_say_that_they_do_not() -> None:
    model, images = build("vq_vae", (1, 8, 8)), noise((1, 8, 8))
    model.end(images)
    assert "no sample of the model" in model.sample_note and "code_prior" in model.sample_note
    drawn = model.sample(4000, generator=torch.Generator().manual_seed(0))["codes"]
    frequency = torch.nn.functional.one_hot(drawn, 12).float().mean(0)
    codes = torch.nn.functional.one_hot(model.encode(images.batch(torch.arange(40)))["codes"], 12).float().mean(0)
    assert float((frequency - codes).abs().max()) < 0.04
    given = drawn[:6].clone()
    given[:, 0] = -1
    kept = model.sample(6, {"codes": given})["codes"]
    assert torch.equal(kept[:, 1:], given[:, 1:]) and int(kept.min()) >= 0
    asked: dict[str, Any] = {}

    def sample(n: int, **more: Any) -> Tensor:
        asked.update(more, n=n)
        return drawn[:n]

    model.attach("code_prior", SimpleNamespace(sample=sample))
    assert torch.equal(model.sample(3, temperature=0.5)["codes"], drawn[:3])
    assert (asked["n"], asked["temperature"], asked["given_codes"]) == (3, 0.5, None)
    assert model.sample_note == ""


def test_waveforms_are_refused_as_images() -> None:
    kind = models.get("vq_vae_1d")
    with pytest.raises(ValueError, match=r"vq_vae_1d is for waveforms \(c, 1, n\), but these are images of 8×8 pixels"):
        kind((1, 8, 8), kind.Options.read({}))
    model = kind(data.load("vowels", "test", 10).shape, kind.Options.read({"stages": 4, "codes": 64}))
    assert model.space == {"codes": Codes(1, 256, 64)}


def test_a_trained_folder_opens_with_what_was_counted(tmp_path: Path) -> None:
    """From the command line, in float16: counts stay whole numbers, and the card and the config say how many codes."""
    small = ["--channels", 8, "--codes", 24, "--dims", 4, "--stages", 1, "--steps", 130, "--batch", 32, "--every", 50]
    out = tmp_path / "codes"
    assert call("train", "vq_vae", "--data", "digits", *small, "--half", "--device", "cpu", "--out", out) == 0
    model, summary = trainer.load(out), trainer.load_summary(out)
    assert isinstance(model, VQVAE)
    assert trainer.describe(out).config.weights == "float16"
    assert model.quantiser.last_epoch.dtype == torch.long and int(model.quantiser.last_epoch.sum()) == 50 * 32 * 16
    images = data.load("digits")
    codes = model.encode(images.batch(torch.arange(len(images))))["codes"]
    found = summary.codes["codes"]
    assert np.array_equal(found.counts, torch.nn.functional.one_hot(codes, 24).sum(0).numpy())
    text = (out / "README.md").read_text()
    used = f"{found.used} of 24 codes of `codes` are in use on training images"
    assert f"{used}, perplexity {found.perplexity:.1f}" in text
    assert "bits per dimension" not in text
    assert trainer.describe(out).config.measured["perplexity of codes"] == f"{found.perplexity:.0f} of 24"
    torch.testing.assert_close(model.frequency.sum(-1), torch.ones(4, 4), rtol=0, atol=2e-3)
    lines = [line for line in trainer.describe(out).history() if "perplexity" in line]
    assert [line["step"] for line in lines] == [50, 100, 130]
