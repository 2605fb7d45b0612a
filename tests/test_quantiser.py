"""Vector quantisation by hand: distances, gradients, moving averages, and the cures of a collapse."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from trainer.graph import tf32
from trainer.quantiser import Quantiser, smoothed
from trainer.summary import CodeCounts


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
