"""M2: its bound against the conditional VAE and class by class, its weights over batches, and labels that few have."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from trainer import told
from trainer.data import Images
from trainer.likelihood import log_weights
from trainer.models.cvae import CVAE
from trainer.models.semi_supervised import SemiSupervised
from trainer.probability import log_mean_exp
from trainer.train import TrainOptions, batches

SHAPE = (1, 8, 8)
K = 3


def images_of(labels: Tensor) -> Images:
    """As many images of random bytes, told these labels."""
    generator = torch.Generator().manual_seed(4)
    pixels = torch.randint(0, 256, (len(labels), *SHAPE), generator=generator, dtype=torch.uint8)
    return Images("noise", pixels, torch.arange(len(labels)) % K, ("a", "b", "c"), told=labels)


def model_of(**more: object) -> SemiSupervised:
    torch.manual_seed(1)
    options = {"latents": 2, "hidden": (16,), "classifier": (8,), "classes": K, "dropout": 0.0, "warm_up": 0, **more}
    model = SemiSupervised(SHAPE, SemiSupervised.Options.read(options))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)  # away from a posterior that is the prior
    return model


def total_of(terms: dict[str, Tensor]) -> Tensor:
    """(b,)"""
    return sum((values.flatten(1).sum(1) if values.ndim > 1 else values for values in terms.values()), torch.zeros(()))


@pytest.mark.parametrize("more", [{}, {"net": "conv", "channels": 4}, {"prior": "dependent"}, {"hidden": ()}])
@torch.no_grad()
def test_with_every_label_it_is_the_conditional_vae_and_the_prior_of_the_class(more: dict[str, object]) -> None:
    model = model_of(**more, samples=3).eval()
    shared = {name: value for name, value in model.options.model_dump().items() if name in CVAE.Options.model_fields}
    conditional = CVAE(SHAPE, CVAE.Options.read(shared)).eval()
    missing = conditional.load_state_dict(model.state_dict(), strict=False)
    assert not missing.missing_keys
    images = images_of(torch.arange(12) % K)
    x, given = images.batch(torch.arange(12)), images.given(torch.arange(12), model)
    torch.manual_seed(7)
    whole = model.terms(x, given)
    torch.manual_seed(7)
    expected = conditional.terms(x, given)
    for name, values in expected.items():
        torch.testing.assert_close(whole[name], values)
    torch.testing.assert_close(total_of(whole), total_of(expected) + math.log(K))
    assert whole.keys() - expected.keys() == {"kl/y"}


@torch.no_grad()
def test_the_unlabelled_bound_is_the_expected_labelled_one_and_the_entropy() -> None:
    """U(x) = Σ_y q(y|x) L(x, y) + H(q(y|x)), class by class."""
    model = model_of().eval()
    x = images_of(torch.full((5,), -1)).batch(torch.arange(5))

    def bound(y: int | None) -> Tensor:
        torch.manual_seed(3)
        return -total_of(model.terms(x, {} if y is None else {"y": torch.full((5,), y)}))

    q = model.encode(x)["y"]
    entropy = -(q * q.log()).sum(1)
    expected = sum(q[:, y] * bound(y) for y in range(K)) + entropy
    assert float(entropy.min()) > 0.01
    torch.testing.assert_close(bound(None), expected)


@torch.no_grad()
def test_draws_of_the_class_give_the_same_bound() -> None:
    """The mean of log p(x, y, z) − log q(y, z|x) over draws is U(x); and its importance bound is not below."""
    model = model_of().eval()
    x = images_of(torch.full((4,), -1)).batch(torch.arange(4))
    weights = log_weights(model, x, 4000, torch.Generator().manual_seed(2))
    sums = -torch.stack([total_of(model.terms(x)) for _ in range(400)])
    error = (weights.var(0) / len(weights) + sums.var(0) / len(sums)).sqrt()
    assert ((weights.mean(0) - sums.mean(0)).abs() < 5 * error).all()
    assert (log_mean_exp(weights) > weights.mean(0)).all()


def test_batches_sum_to_the_loss_of_the_whole_set() -> None:
    """Over every batch with two of the three told images and two of the six others: the mean loss, and its gradient,
    is 1/N [−Σ_told L − Σ_untold U] + w · mean_told −log q(y|x).
    """
    labels = torch.tensor([0, 1, 2, -1, -1, -1, -1, -1, -1])
    images, model = images_of(labels), model_of(classifier_weight=0.7, std=0.5)
    model.draw_noise = lambda samples, batch, *rest: torch.zeros(samples, batch, *rest)  # type: ignore[method-assign]
    model.begin(images)

    def gradient(loss: Tensor) -> Tensor:
        return torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(model.parameters()))])

    everything = torch.arange(9)
    x, y = images.batch(everything), images.given(everything, model)["y"]
    log_q = model.each_class(x)[0]
    model.eval()
    bounds = total_of(model.terms(x, {"y": y}))  # −L or −U
    expected = bounds.mean() - 0.7 * log_q[torch.arange(3), labels[:3]].mean()
    model.train()
    found = []
    for mine in itertools.combinations(range(3), 2):
        for rest in itertools.combinations(range(3, 9), 2):
            rows = torch.tensor([*mine, *rest])
            found.append(model.loss(model.terms(images.batch(rows), images.given(rows, model))))
    losses = torch.stack(found)
    mean = losses.mean()
    torch.testing.assert_close(mean, expected)
    torch.testing.assert_close(gradient(mean), gradient(expected), rtol=1e-4, atol=1e-5)
    assert float(losses.std()) > 0.1  # which no one batch gives


def test_while_it_warms_up_the_classifier_learns_from_the_told_alone() -> None:
    images, model = images_of(torch.tensor([0, 1, 2, -1, -1, -1])), model_of(warm_up=3)
    assert [model.schedule(step)["unlabelled"] for step in range(5)] == [0, 0, 0, 1, 1]
    rows = torch.tensor([3, 4, 5])

    def reached() -> bool:
        model.zero_grad()
        model.loss(model.terms(images.batch(rows), images.given(rows, model))).backward()  # type: ignore[no-untyped-call]
        assert model.encoder[0].weight.grad.count_nonzero() > 0
        return bool(next(model.classifier.parameters()).grad.count_nonzero() > 0)

    model.knobs["unlabelled"].fill_(0)
    assert not reached()
    model.knobs["unlabelled"].fill_(1)
    assert reached()


# ---- labels that few have


def test_labels_are_kept_alike_by_seed() -> None:
    labels = torch.arange(60) % 4
    kept = told.keep(labels, 10, "abcd", 3, "some")
    assert kept.dtype == torch.int64 and int((kept >= 0).sum()) == 10
    assert torch.equal(kept[kept >= 0], labels[kept >= 0])
    assert sorted(torch.bincount(kept[kept >= 0], minlength=4).tolist()) == [2, 2, 3, 3]
    assert torch.equal(kept, told.keep(labels, 10, "abcd", 3, "some"))
    others = [told.keep(labels, 10, "abcd", seed, "some") for seed in range(8)]
    assert len({tuple(values.tolist()) for values in others}) == 8
    assert len({tuple((torch.bincount(values[values >= 0], minlength=4) == 3).tolist()) for values in others}) > 1


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (3, 'labels came as 3, fewer than the 4 classes of "some": each keeps one at least'),
        (41, 'labels came as 41, but "some" has 40 in what is trained on'),
        (36, 'which is 9 of each of the 4 classes of "some", but "d" has 4'),
    ],
)
def test_labels_that_there_are_not_are_sentences(count: int, said: str) -> None:
    labels = torch.cat([torch.arange(36) % 3, torch.full((4,), 3), torch.full((5,), -1)])
    with pytest.raises(ValueError, match=said):
        told.keep(labels, count, "abcd", 0, "some")


@pytest.mark.parametrize(("n", "known", "size"), [(60, 5, 20), (61, 40, 8), (30, 29, 7), (9, 1, 2)])
def test_every_batch_has_as_many_told_images(n: int, known: int, size: int) -> None:
    labels = torch.full((n,), -1)
    labels[torch.randperm(n, generator=torch.Generator().manual_seed(1))[:known]] = 2
    options = TrainOptions(steps=4 * (n // size) + 1, batch=size, seed=5)
    whole = list(batches(n, options, labels=labels))
    share = min(math.ceil(size * max(0.1, known / n)), size - 1)
    assert all(len(rows) == size and int((labels[rows] >= 0).sum()) == share for rows in whole)
    epochs = torch.cat(whole[:-1]).view(4, -1)
    assert not torch.equal(epochs[0], epochs[1])
    drawn = torch.bincount(torch.cat(whole), minlength=n)
    for which in (labels >= 0, labels < 0):
        assert int(drawn[which].max() - drawn[which].min()) <= 5  # one more in an epoch, at most
    later = list(batches(n, options, 3, labels=labels))
    assert all(torch.equal(one, other) for one, other in zip(whole[3:], later, strict=True))


def test_slices_of_a_batch_have_as_many_told_images() -> None:
    labels = torch.full((400,), -1)
    labels[:10] = 1
    for rows in batches(400, TrainOptions(steps=5, batch=80), labels=labels):
        assert (labels[rows].view(4, 20) >= 0).sum(1).tolist() == [2, 2, 2, 2]


def test_a_batch_of_one_cannot_hold_both() -> None:
    with pytest.raises(ValueError, match="a batch of 1 image cannot hold"):
        next(batches(4, TrainOptions(batch=1), labels=torch.tensor([0, -1, -1, 1])))
