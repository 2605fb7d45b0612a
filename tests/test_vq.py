"""Vector quantisation: REFERENCE.md rows 11 to 14 by hand, and what the models of codes promise."""

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
from trainer.graph import tf32
from trainer.latent import Codes, tally
from trainer.measuring import summarise
from trainer.models.vq_vae import VQVAE
from trainer.probability import discretised_logistic_log_prob, discretised_logistic_mean
from trainer.quantiser import Quantiser, smoothed
from trainer.state import load_state, save_state
from trainer.summary import CodeCounts
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


def learn(quantiser: Quantiser, vectors: Tensor) -> None:
    quantiser.train()(vectors)
    quantiser.update()


# ---- the quantiser, by hand


@pytest.mark.parametrize("axes", [(), (7,), (3, 4), (2, 3, 2)])  # none, sounds, images, films
def test_the_nearest_code_is_that_of_all_distances(axes: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    quantiser, vectors = Quantiser(20, 5), torch.randn(6, 5, *axes)
    quantiser.codebook.copy_(torch.randn(20, 5))
    distance = (vectors.unsqueeze(1) - quantiser.codebook.view(1, 20, 5, *[1] * len(axes))).square().sum(2)
    found = quantiser(vectors)
    assert torch.equal(found.indices, distance.argmin(1))
    assert torch.equal(quantiser.nearest(vectors), found.indices)
    assert torch.equal(quantiser.look_up(found.indices), found.values)
    least = distance.min(1).values.flatten(1).sum(1) if axes else distance.min(1).values
    torch.testing.assert_close(found.commitment, least)


def test_codes_are_searched_exactly_in_a_step_that_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    quantiser, vectors, seen = Quantiser(20, 5).train(), torch.randn(6, 5), []
    product = torch.addmm

    def spy(*given: Tensor) -> Tensor:
        seen.append(torch.get_float32_matmul_precision())
        return product(*given)

    monkeypatch.setattr(torch, "addmm", spy)
    with tf32():
        quantiser(vectors)
        assert torch.get_float32_matmul_precision() == "high"  # what comes after may round again
    assert seen == ["highest"] and torch.get_float32_matmul_precision() == "highest"


def test_a_search_in_parts_is_the_search_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    quantiser, vectors = Quantiser(20, 5), torch.randn(7, 5)
    whole = quantiser.nearest(vectors)
    for distances in (1, 40, 60):  # vectors one by one, two by two, and three by three
        monkeypatch.setattr("trainer.quantiser.DISTANCES", distances)
        assert torch.equal(quantiser.nearest(vectors), whole)


def test_straight_through_gradients_by_hand() -> None:
    """Row 12: z = 0.2, codes 0 and 1, decoder 2 z, x = 1, commitment 0.25."""
    quantiser, z = Quantiser(2, 1, gamma=None), torch.tensor([[0.2]], requires_grad=True)
    quantiser.codebook.data.copy_(torch.tensor([[0.0], [1.0]]))
    found = quantiser(z)
    loss = (1 - 2 * found.values).square().sum() + found.codebook.sum() + 0.25 * found.commitment.sum()
    loss.backward()  # type: ignore[no-untyped-call]
    assert z.grad is not None and quantiser.codebook.grad is not None
    assert float(z.grad) == pytest.approx(-3.9)
    assert quantiser.codebook.grad.flatten().tolist() == pytest.approx([-0.4, 0.0])
    assert found.values.tolist() == [[0.0]]


def test_moving_averages_by_hand() -> None:
    """Row 13: N = m = 1 and vectors 2 and 4; the batch is quantised by the codebook that it then moves."""
    quantiser = Quantiser(1, 1, gamma=0.99).train()
    for value in (quantiser.codebook, quantiser.counts, quantiser.sums):
        value.fill_(1)
    found = quantiser(torch.tensor([[2.0], [4.0]]))
    quantiser.update()
    assert found.values.flatten().tolist() == [1.0, 1.0]
    assert float(quantiser.counts) == pytest.approx(1.01) and float(quantiser.sums) == pytest.approx(1.05)
    assert float(quantiser.read()) == pytest.approx(1.039604, abs=1e-6)


def test_smoothing_keeps_the_sum_and_is_not_stored() -> None:
    counts = torch.tensor([0.0, 3.0, 1.0])
    assert float(smoothed(counts).sum()) == pytest.approx(4.0)
    assert float(smoothed(counts)[0]) == pytest.approx(1e-5 / (4 + 3e-5) * 4)
    quantiser = Quantiser(2, 1, gamma=0.5)
    quantiser.codebook.copy_(torch.tensor([[0.0], [9.0]]))
    learn(quantiser, torch.tensor([[1.0], [3.0]]))
    assert quantiser.counts.tolist() == [1.5, 0.5]  # γ 1 + (1 − γ) n, as they are


def test_an_idle_code_stays_where_it_is() -> None:
    """With the smoothing in its read-out it would go from 1 to 0.028 in 1,500 idle batches."""
    quantiser = Quantiser(2, 1, gamma=0.99)
    quantiser.codebook.copy_(torch.tensor([[0.0], [1.0]]))
    quantiser.sums.copy_(quantiser.codebook)
    for _ in range(1500):
        learn(quantiser, torch.tensor([[-0.1]]))
    assert float(quantiser.read()[1]) == 1.0
    assert float(quantiser.sums[1] / smoothed(quantiser.counts)[1]) == pytest.approx(0.028, abs=1e-3)
    assert float(quantiser.read()[0]) == pytest.approx(-0.1, abs=1e-3)


def test_the_codebook_loss_leaves_averages_out() -> None:
    quantiser = Quantiser(3, 2, gamma=None)
    before = quantiser.codebook.detach().clone()
    learn(quantiser, torch.randn(10, 2))
    assert torch.equal(quantiser.codebook, before)
    assert isinstance(quantiser.codebook, torch.nn.Parameter)
    assert {name for name, _ in quantiser.named_buffers()} == {"idle", "epoch", "last_epoch"}


def test_the_rate_of_alike_codes() -> None:
    """Row 14: ln 512 = 6.238325 nats; 128×128 images of 24 bits a pixel in 32×32 codes of 9 bits: 42.667 times less."""
    counts = CodeCounts(np.ones((32, 32, 512), np.uint32), None)
    assert counts.bits_uniform * math.log(2) / 32**2 == pytest.approx(6.238325)
    assert 128**2 * 24 / counts.bits_uniform == pytest.approx(42.667, abs=1e-3)
    assert counts.bits_empirical == pytest.approx(counts.bits_uniform) and counts.perplexity == pytest.approx(512)


def test_counts_by_hand() -> None:
    counts = CodeCounts(np.array([[[2, 2, 0, 0], [4, 0, 0, 0]]], np.uint32), None)
    assert counts.usage.tolist() == [6, 2, 0, 0]
    assert (counts.used, counts.dead) == (2, 2)
    assert counts.entropy.tolist() == [[1.0, 0.0]]
    assert counts.perplexity == pytest.approx(math.exp(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25))))
    assert (counts.bits_uniform, counts.bits_empirical) == (4.0, 1.0)


# ---- the cures of a collapse


def clusters(scale: float = 1.0) -> Tensor:
    """64 vectors about each of 8 places, (512, 2)."""
    generator = torch.Generator().manual_seed(5)
    angle = torch.arange(8) * (2 * math.pi / 8)
    places = 10 + 5 * torch.stack([angle.cos(), angle.sin()], 1)
    return scale * (places.repeat(64, 1) + 0.1 * torch.randn(512, 2, generator=generator))


def in_use(quantiser: Quantiser, vectors: Tensor) -> int:
    return len(quantiser.nearest(vectors).unique())


def test_k_means_and_restarts_bring_all_codes_into_use() -> None:
    vectors, used = clusters(), {}
    for cure in ("none", "kmeans", "restart"):
        torch.manual_seed(2)
        quantiser = Quantiser(8, 2, gamma=0.9, restart=5 if cure == "restart" else 0)
        if cure == "kmeans":
            quantiser.begin(vectors)
        for _ in range(100):
            learn(quantiser, vectors)
        used[cure] = in_use(quantiser, vectors)
    assert used["none"] <= 3  # most codes start too far off to be the nearest of any vector
    assert used["kmeans"] == 8
    assert used["restart"] == 8


@pytest.mark.parametrize("gamma", [None, 0.9])
def test_a_restarted_code_is_a_vector_of_the_batch(gamma: float | None) -> None:
    torch.manual_seed(0)
    quantiser, vectors = Quantiser(2, 2, gamma=gamma, restart=3), torch.randn(30, 2)
    quantiser.codebook.data.copy_(torch.tensor([[0.0, 0.0], [100.0, 100.0]]))
    for _ in range(2):
        learn(quantiser, vectors)
    assert quantiser.read()[1].tolist() == [100.0, 100.0] and quantiser.idle.tolist() == [0, 2]
    learn(quantiser, vectors)
    assert (vectors == quantiser.read()[1]).all(1).any() and quantiser.idle.tolist() == [0, 0]


def test_cosine_codes_are_chosen_by_angle() -> None:
    quantiser = Quantiser(8, 2, gamma=0.5, cosine=True)
    quantiser.begin(clusters() - 10)
    nearest = quantiser.nearest(clusters() - 10)
    assert torch.equal(nearest, quantiser.nearest(1000 * (clusters() - 10)))
    learn(quantiser, 1000 * (clusters() - 10))
    torch.testing.assert_close(quantiser.read().norm(dim=1), torch.ones(8))
    angles = (quantiser.read() @ torch.nn.functional.normalize(clusters() - 10, dim=1).T).amax(0)
    assert float(angles.min()) > 0.99


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
        said = " ".join([*card.code_lines(model, summary), *card.headline(model, summary)])
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
    assert f"{found.used} of 24 codes of `codes` are in use, perplexity {found.perplexity:.1f}" in text
    assert "bits per dimension" not in text
    assert trainer.describe(out).config.measured["perplexity of codes"] == f"{found.perplexity:.0f} of 24"
    torch.testing.assert_close(model.frequency.sum(-1), torch.ones(4, 4), rtol=0, atol=2e-3)
    lines = [line for line in trainer.describe(out).history() if "perplexity" in line]
    assert [line["step"] for line in lines] == [50, 100, 130]
