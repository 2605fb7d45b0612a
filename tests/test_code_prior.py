"""The transformer over codes: a probability, causal, sampled from its cache, and as good as its data allow."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from stepping import Spy
from torch import Tensor

from trainer import models
from trainer.data import Images
from trainer.latent import Codes, Latent, LatentModel
from trainer.stages import code_prior
from trainer.stages.code_prior import CodePrior, CodePriorOptions, place_shares
from trainer.step import Step
from trainer.train import TrainOptions, start, train
from trainer.trainable import NOTHING

SMALL: dict[str, Any] = {"width": 16, "layers": 2, "heads": 2, "dropout": 0.0}


class Grid(LatentModel):
    """Whose codes are its pixels."""

    def __init__(self, h: int, w: int, size: int) -> None:
        super().__init__((1, h, w), None)
        self.space = {"codes": Codes(h, w, size)}
        self.register_buffer("here", torch.zeros(1))

    def encode(self, x: Tensor, given: Mapping[str, Tensor] = NOTHING) -> Latent:
        return {"codes": (255 * x[:, 0]).round().long()}


def build(h: int, w: int, size: int, classes: int = 0, **options: Any) -> CodePrior:
    """A prior that is far from uniform."""
    torch.manual_seed(0)
    chosen = CodePriorOptions.read({**SMALL, "conditional": classes > 0, "classes": classes, **options})
    prior = CodePrior(Grid(h, w, size), chosen)
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return prior.eval()


def random_codes(prior: CodePrior, b: int = 5) -> Tensor:
    return prior.grid.draw(b, generator=torch.Generator().manual_seed(4))


def all_grids(h: int, w: int, size: int) -> Tensor:
    return torch.tensor(list(itertools.product(range(size), repeat=h * w))).view(-1, h, w)


@pytest.mark.parametrize("y", [None, -1, 0, 1])
def test_the_probabilities_of_all_grids_sum_to_one(y: int | None) -> None:
    prior, grids = build(2, 2, 4, classes=2), all_grids(2, 2, 4)
    classes = None if y is None else torch.full((len(grids),), y)
    with torch.no_grad():
        log_prob = prior.log_prob(grids, classes)
    assert log_prob.shape == (256,)
    assert float(log_prob.double().exp().sum()) == pytest.approx(1, abs=1e-5)
    assert float(log_prob.max()) > math.log(4 / 256)  # and it is not uniform


@pytest.mark.parametrize(("classes", "written"), [(0, r"k_{t-1})"), (2, r"k_{t-1}, y)")])
def test_its_objective_is_written(classes: int, written: str) -> None:
    prior = build(2, 2, 4, classes=classes)
    terms = prior.terms(random_codes(prior)[:, None], {"y": torch.tensor([0, 1, -1, 0, 1])})
    (piece,) = prior.objective(terms)
    assert piece.latex.endswith(written)
    assert torch.equal(piece.value.mean(), prior.loss(terms))


def test_classes_differ_and_an_unknown_one_is_none() -> None:
    prior = build(2, 3, 5, classes=3)
    codes = random_codes(prior)
    with torch.no_grad():
        by_class = [prior.log_prob(codes, torch.full((5,), y)) for y in (-1, 0, 1, 2)]
        assert torch.equal(by_class[0], prior.log_prob(codes))
        mixed = prior.log_prob(codes, torch.tensor([2, 1, 0, -1, 2]))
    assert all((one - other).abs().max() > 1e-3 for one, other in itertools.combinations(by_class, 2))
    expected = [by_class[row][at] for at, row in enumerate([3, 2, 1, 0, 3])]
    torch.testing.assert_close(mixed, torch.stack(expected))


def test_a_later_code_changes_nothing_before_it() -> None:
    prior = build(3, 4, 6)
    codes = random_codes(prior)
    with torch.no_grad():
        before = prior.logits(codes)
        for place in range(12):
            other = codes.flatten(1).clone()
            other[:, place] = (other[:, place] + 1) % 6
            after = prior.logits(other.view_as(codes))
            torch.testing.assert_close(after[:, : place + 1], before[:, : place + 1])
            assert ((after - before)[:, place + 1 :].abs().amax(2) > 1e-4).all()  # and all that comes after hears of it


@pytest.mark.parametrize("classes", [0, 3])
def test_sampling_from_the_cache_is_sampling_from_the_whole(classes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    prior, seen = build(3, 4, 6, classes), []
    draw = code_prior._drawn

    def spy(logits: Tensor, *rest: Any) -> Tensor:
        seen.append(logits)
        return draw(logits, *rest)

    monkeypatch.setattr(code_prior, "_drawn", spy)
    monkeypatch.setattr(code_prior, "ROWS", 3)  # so that there are several parts
    y = torch.tensor([0, 2, 1, -1, 2]) if classes else None
    codes = prior.sample(5, y=y, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole = prior.logits(codes, y)
    cached = torch.cat([torch.stack(seen[:12], 1), torch.stack(seen[12:], 1)])
    torch.testing.assert_close(cached, whole, rtol=1e-4, atol=1e-5)
    assert torch.equal(codes, prior.sample(5, y=y, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_samples_are_as_frequent_as_they_are_probable(temperature: float) -> None:
    prior, n = build(1, 2, 3), 20_000
    drawn = prior.sample(n, temperature=temperature, generator=torch.Generator().manual_seed(0))
    shares = torch.bincount((3 * drawn[:, 0, 0] + drawn[:, 0, 1]), minlength=9) / n
    with torch.no_grad():
        step = (prior.logits(all_grids(1, 2, 3)) / temperature).log_softmax(2)  # (9, 2, 3)
    expected = step.gather(2, all_grids(1, 2, 3).view(9, 2, 1)).sum((1, 2)).exp()
    assert float(expected.sum()) == pytest.approx(1, abs=1e-5)
    assert ((shares - expected).abs() < 5 * (expected * (1 - expected) / n).sqrt()).all()


def test_the_coldest_sample_is_the_likeliest_code_at_each_place() -> None:
    prior = build(2, 3, 5)
    codes = prior.sample(3, temperature=0)
    with torch.no_grad():
        assert torch.equal(prior.logits(codes).argmax(2).view_as(codes), codes)
    assert torch.equal(prior.sample(3, temperature=1e-30), codes)  # and nothing overflows on the way there


def test_given_codes_are_kept_and_what_follows_follows_them() -> None:
    prior = build(2, 3, 5)
    given = torch.full((400, 2, 3), -1)
    given[:, 0, 1], given[:, 1, 2] = torch.arange(400) % 5, 4
    codes = prior.sample(400, given, generator=torch.Generator().manual_seed(0))
    assert torch.equal(codes[given >= 0], given[given >= 0])
    assert codes.min() == 0 and codes.max() == 4
    free = prior.sample(400, generator=torch.Generator().manual_seed(0))
    assert torch.equal(codes[:, 0, 0], free[:, 0, 0])  # what comes before does not know
    assert not torch.equal(codes[:, 0, 2], free[:, 0, 2])


def test_progress_counts_every_place() -> None:
    prior, lengths = build(2, 3, 5), []
    prior.sample(3, track=lambda loop: lengths.append(len(loop)) or loop)
    assert lengths == [6]


# ---- what it learns


def markov_codes(n: int, h: int, w: int, chain: Tensor, start: Tensor, seed: int) -> Tensor:
    """(n, h, w) from a chain with transitions (K, K) along the raster."""
    generator = torch.Generator().manual_seed(seed)
    codes = [torch.multinomial(start, n, replacement=True, generator=generator)]
    for _ in range(h * w - 1):
        codes.append(torch.multinomial(chain[codes[-1]], 1, generator=generator)[:, 0])
    return torch.stack(codes, 1).view(n, h, w)


def test_it_reaches_the_entropy_of_a_markov_chain() -> None:
    generator = torch.Generator().manual_seed(2)
    chain = torch.softmax(2.5 * torch.randn(5, 5, generator=generator), 1)
    start = torch.linalg.matrix_power(chain.double(), 500)[0].float()  # stationary
    steps = torch.special.entr(chain).sum(1) @ start
    entropy = float(torch.special.entr(start).sum() + 11 * steps) / math.log(2)  # bits per image
    base, sets = Grid(3, 4, 5), []
    for count, seed in ((4000, 0), (2000, 1)):
        codes = markov_codes(count, 3, 4, chain, start, seed)
        sets.append(Images("chain", codes[:, None].to(torch.uint8)))
    torch.manual_seed(0)
    prior = CodePrior(base, CodePriorOptions.read({**SMALL, "width": 32}))
    images, test = (prior.images_of(base, images) for images in sets)
    for _ in train(prior, images, TrainOptions(steps=300, batch=64, rate=1e-2, every=300)):
        pass
    figures = {name: value for name, (value, _) in prior.eval().figures(images, test).items()}
    alone = float(torch.special.entr(start).sum()) * 12 / math.log(2)
    assert figures["all codes alike"] == pytest.approx(12 * math.log2(5))
    assert figures["each place alone"] == pytest.approx(alone, rel=0.01)  # each is stationary
    assert entropy < 0.75 * alone  # so that there is something to learn
    assert figures["prior"] == pytest.approx(entropy, rel=0.02)


def test_a_class_that_says_all_leaves_nothing_and_unknown_leaves_its_entropy() -> None:
    """Grids all of one code, which is the class."""
    labels = torch.arange(600) % 3
    pixels = labels.view(-1, 1, 1, 1).expand(-1, 1, 2, 2).to(torch.uint8)
    base = Grid(2, 2, 3)
    torch.manual_seed(0)
    known = Images("classes", pixels, labels, ("a", "b", "c"))
    options = CodePrior.fitted(CodePriorOptions.read({**SMALL, "conditional": True}), known)
    prior = CodePrior(base, options)
    images = prior.images_of(base, known)
    assert images.shape == prior.shape == (1, 2, 2) and torch.equal(
        images.batch(torch.arange(3))[:, 0, 0, 0], labels[:3]
    )
    for _ in train(prior, images, TrainOptions(steps=400, batch=60, rate=5e-3, every=400)):
        pass
    figures = {name: value for name, (value, _) in prior.eval().figures(images, images).items()}
    assert figures["prior, class known"] < 0.05
    assert figures["prior"] == pytest.approx(math.log2(3), abs=0.1)
    assert figures["each place alone"] == pytest.approx(4 * math.log2(3), abs=0.01)
    y = torch.tensor([2, 0, 1])
    assert torch.equal(
        prior.sample(3, y=y, generator=torch.Generator().manual_seed(0)), y.view(3, 1, 1).expand(3, 2, 2)
    )


def test_shares_by_hand() -> None:
    codes = torch.tensor([[0, 1], [0, 0], [0, 2]], dtype=torch.int32).view(3, 1, 1, 2)
    shares = place_shares(Images("three", codes), Codes(1, 2, 3))
    assert shares.tolist() == [[3.5 / 4.5, 0.5 / 4.5, 0.5 / 4.5], [1.5 / 4.5] * 3]


def test_the_loss_reaches_every_parameter() -> None:
    prior = build(2, 3, 5, classes=3).train()
    y = torch.tensor([0, 1, 2, -1] * 30)
    terms = prior.terms(random_codes(prior, 120)[:, None], {"y": y})
    assert {name: tuple(values.shape) for name, values in terms.items()} == {"code_length": (120,)}
    prior.loss(terms).backward()
    for name, parameter in prior.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_a_step_reads_no_value_and_brings_none() -> None:
    """So that a device can record it."""
    prior = build(2, 3, 5, classes=3, dropout=0.1)
    codes = Images("some", random_codes(prior, 64)[:, None].int(), torch.arange(64) % 3, ("a", "b", "c"))
    step = Step(prior.train(), codes, start(prior, TrainOptions()))
    step(torch.arange(16))  # what is made once may come from the host
    with Spy() as spy:
        step(torch.arange(16))
    assert spy.found == []


# ---- what is refused


def test_a_model_without_codes_is_refused() -> None:
    vae = models.get("vae")
    model = vae((1, 8, 8), vae.Options.read({"hidden": (4,)}))
    with pytest.raises(ValueError, match=r"one part of codes; this one has z \(Gaussian\)"):
        CodePrior(model, CodePriorOptions.read(SMALL))
    with pytest.raises(ValueError, match="classes came as 0: a data set, or a number, must say how many there are"):
        CodePrior(Grid(2, 2, 3), CodePriorOptions.read({**SMALL, "conditional": True}))
    with pytest.raises(ValueError, match="classes came as 3, but has no effect without conditional"):
        CodePriorOptions.read({**SMALL, "classes": 3})
    with pytest.raises(ValueError, match="width 16 is no multiple of heads 3"):
        CodePriorOptions.read({"width": 16, "heads": 3})


@pytest.mark.parametrize(("given", "said"), [
    ({"y": torch.tensor([0, 3])}, r"classes came as \[0, 3\], expected 2 whole numbers from −1 \(not known\) to 2"),
    ({"y": torch.tensor([0])}, "expected 2 whole numbers"),
    ({"y": torch.tensor([0.0, 1.0])}, "expected 2 whole numbers"),
    ({"given_codes": torch.zeros(1, 2, 3).long()}, r"given codes came as \(1, 2, 3\), expected \(2, 2, 3\)"),
    ({"given_codes": torch.full((2, 2, 3), 5)}, 'latent part "codes" came with codes from 5 to 5'),
])  # fmt: skip
def test_what_cannot_be_given_is_a_sentence(given: dict[str, Tensor], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        build(2, 3, 5, classes=3).sample(2, **given)


def test_codes_and_classes_that_it_does_not_know_are_sentences() -> None:
    prior = build(2, 3, 5)
    with pytest.raises(ValueError, match='latent part "codes" came with codes from 0 to 5'):
        prior.log_prob(torch.tensor([[[0, 1, 2], [3, 4, 5]]]))
    with pytest.raises(ValueError, match="a class was given, but this prior knows none"):
        prior.log_prob(random_codes(prior), torch.zeros(5).long())
