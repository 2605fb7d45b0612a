"""Trainings that are told few labels: the command line, what it leaves, and M2 as a second stage on a VAE."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from commandline import call, history_of, refused
from scipy.stats import binomtest

import trainer
from trainer import checkpoint, data, models, stage
from trainer.device import choose
from trainer.summary import Errors
from trainer.train import TrainOptions, batches, train

FEW = ["--data", "digits", "--size", 300, "--labels", 33, "--batch", 20, "--device", "cpu", "--every", 5]
SMALL = ["--latents", 2, "--hidden", 8, "--classifier", 8, "--warm-up", 6]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small M2. Tests do not write into it."""
    out = tmp_path_factory.mktemp("checkpoints") / "digits-few"
    assert call("train", "semi_supervised", *FEW, *SMALL, "--steps", 20, "--seed", 3, "--out", out) == 0
    return out


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A VAE that knows no labels, with an M2 on its latents."""
    out = tmp_path_factory.mktemp("checkpoints") / "digits-vae"
    plain = [
        "--data",
        "digits",
        "--latents",
        8,
        "--hidden",
        64,
        "--device",
        "cpu",
        "--steps",
        600,
        "--likelihood",
        "gaussian",
    ]
    assert call("train", "vae", *plain, "--out", out) == 0
    few = ["--labels", 50, "--seed", 2, "--latents", 4, "--hidden", 32, "--classifier", 64, "--warm-up", 200]
    assert (
        call("stage", "semi_supervised", out, *few, "--steps", 600, "--rate", 3e-3, "--batch", 50, "--device", "cpu")
        == 0
    )
    return out


@pytest.fixture
def unlabelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Images of a person's own, without classes."""
    monkeypatch.setenv("LATENT_EXPLORER_HOME", str(tmp_path / "home"))
    path = tmp_path / "plain.npz"
    np.savez(path, images=np.random.default_rng(0).integers(0, 256, (40, 8, 8), np.uint8))
    return path


def test_the_labels_are_drawn_by_the_seed_and_are_in_the_config(folder: Path) -> None:
    found = checkpoint.describe(folder).config.data
    assert (found.labels, found.seed) == (33, 3)
    images, test = found.load("train"), found.load("test")
    assert torch.bincount(images.told[images.told >= 0]).sort().values.tolist() == [3] * 7 + [4] * 3
    assert images.labels is not None and int((images.labels < 0).sum()) == 0  # people see all of them
    assert test.labels is not None and torch.equal(test.told, test.labels.long())
    other = data.load("digits", size=300, labels=33, seed=4)
    assert not torch.equal(other.told, images.told)
    assert torch.equal(data.load("digits", size=300, labels=33, seed=3).told, images.told)


def test_a_training_counts_its_confusions(folder: Path) -> None:
    model, summary, test = trainer.load(folder), trainer.load_summary(folder), data.load("digits", "test", 300)
    assert test.labels is not None
    table = summary.confusion["y"]
    best = model.encode(test.batch(torch.arange(len(test))))["y"].argmax(1)
    for true in range(10):
        for taken in range(10):
            assert table[true, taken] == int(((test.labels == true) & (best == taken)).sum())
    wrong = int((best != test.labels).sum())
    assert summary.errors == {"y": Errors(wrong, len(test))}
    said = f"{summary.errors['y']}"
    assert said.startswith(f"{100 * wrong / len(test):.2f} % (")
    assert checkpoint.describe(folder).config.measured["test error of y"] == said
    assert f"* test error of `y`: {said}, Wilson's" in (folder / "README.md").read_text(encoding="utf-8")
    assert "with 33 labels told" in (folder / "README.md").read_text(encoding="utf-8")
    summary.check(model.space)


@pytest.mark.parametrize(("wrong", "total"), [(0, 10), (3, 10), (10, 10), (1197, 10_000)])
def test_the_interval_is_of_all_rates_that_would_not_surprise(wrong: int, total: int) -> None:
    """Its ends p solve |wrong/total − p| = 1.96 √(p (1 − p) / total)."""
    for end in Errors(wrong, total).interval:
        p = end / 100
        assert abs(wrong / total - p) == pytest.approx(1.959964 * (p * (1 - p) / total) ** 0.5, rel=1e-5, abs=1e-9)
    exact = binomtest(wrong, total).proportion_ci(method="exact")
    assert Errors(wrong, total).interval[1] == pytest.approx(100 * exact.high, abs=5)


def test_all_labels_leave_the_batches_as_they_were() -> None:
    """One order of all images, whoever is told them or none."""
    images, kind = data.load("digits", size=60), models.get("semi_supervised")
    model = kind(images.shape, kind.fitted(kind.Options.read({"hidden": (8,), "warm_up": 0}), images))
    seen: list[torch.Tensor] = []
    given = images.given
    images.given = lambda rows, who: seen.append(rows) or given(rows, who)  # type: ignore[method-assign, func-returns-value]
    for told in (
        images.told,
        images.told.where(torch.arange(60) < 0, torch.tensor(-1)),
        images.told.where(torch.arange(60) < 9, torch.tensor(-1)),
    ):
        images.told = told
        list(train(model, images, TrainOptions(steps=4, batch=16, seed=3)))
    plain = list(batches(60, TrainOptions(steps=4, batch=16, seed=3)))
    assert all(torch.equal(one, other) for one, other in zip(seen[:8], [*plain, *plain], strict=True))
    assert not any(torch.equal(one, other) for one, other in zip(seen[8:], plain, strict=True))


def test_a_run_that_was_stopped_goes_on_the_same(folder: Path, tmp_path: Path) -> None:
    command = ["train", "semi_supervised", *FEW, *SMALL, "--seed", 3, "--no-decay", "--out"]
    assert call(*command, tmp_path / "whole", "--steps", 21) == 0
    assert call(*command, tmp_path / "parts", "--steps", 8) == 0
    assert call("resume", tmp_path / "parts", "--steps", 13, "--device", "cpu") == 0
    whole, parts = history_of(tmp_path / "whole"), history_of(tmp_path / "parts")
    assert whole[-1] == parts[-1]
    assert [line["unlabelled"] for line in whole] == [0, 1, 1, 1, 1]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--data", "digits", "--labels", 9], 'labels came as 9, fewer than the 10 classes of "digits"'),
        (["--data", "digits", "--labels", 9999], 'labels came as 9,999, but "digits" has 1,618 in what is trained on'),
        (["--labels", 30], 'labels came as 30, but data set "plain.npz" has none'),
        ([], 'data set "plain.npz" has no labels'),
        (["--data", "digits", "--classes", 4], 'classes came as 4, but data set "digits" has 10'),
    ],
)
def test_labels_that_there_are_not_are_refused(
    more: list[object], said: str, unlabelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = [] if "--data" in more else ["--data", unlabelled]
    assert said in refused(capsys, "train", "semi_supervised", *more, *where, "--out", tmp_path / "none")
    assert not (tmp_path / "none").exists() or not list((tmp_path / "none").iterdir())


def test_a_model_that_needs_all_labels_says_who_does_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, "train", "cvae", *FEW[:6], "--out", tmp_path / "none")
    assert '267 of the 300 images of "digits" have no label' in said and "semi-supervised models do not" in said


# ---- M1+M2


def test_m2_on_the_latents_of_a_vae_tells_digits(base: Path) -> None:
    """Far better than guessing, and its figure is the share of wrong classes at the posterior means."""
    found = checkpoint.describe(base / "semi_supervised")
    assert (found.config.data.labels, found.config.data.seed) == (50, 2)
    assert checkpoint.describe(base).config.data.labels is None
    model, test = trainer.load(base), data.load("digits", "test")
    z = model.encode(test.batch(torch.arange(len(test))))["z"]
    best = model.stages["semi_supervised"].encode(z[:, None, None])["y"].argmax(1)
    error = 100 * float((best != test.labels).float().mean())
    assert error < 40
    summary = trainer.load_summary(base / "semi_supervised")
    assert test.labels is not None
    pairs, counts = torch.stack([test.labels.long(), best]).unique(dim=1, return_counts=True)
    table = summary.confusion["y"]
    assert table.dtype == np.uint32 and table.sum() == counts.sum() == len(test)
    assert table[tuple(pairs)].tolist() == counts.tolist()
    assert summary.errors["y"].rate == pytest.approx(error, abs=1e-4)
    said = str(summary.errors["y"])
    assert found.config.measured == {"test error of y": said}
    card = (base / "semi_supervised" / "README.md").read_text(encoding="utf-8")
    assert f"* test error of `y`: {said}, Wilson's 95 % interval" in card and "with 50 labels told" in card
    assert found.config.options["classes"] == 10  # as the data set has


def test_it_learns_from_draws_and_is_measured_at_means(base: Path) -> None:
    config = checkpoint.describe(base / "semi_supervised").config
    below = stage.load_base(base / "semi_supervised", config, choose("cpu"))
    above = stage.build(config, below)
    images = data.load("digits", "test", labels=None)
    latents = above.images_of(below, images)
    assert latents.shape == (9, 1, 8)
    whole = latents.batch(torch.arange(len(latents)))
    mean, log_var = below.posterior(images.batch(torch.arange(len(images))))  # type: ignore[operator]
    torch.testing.assert_close(whole[:, 0, 0], mean)
    spread = (whole[:, 1:, 0] - mean[:, None]) / (0.5 * log_var)[:, None].exp()
    assert float(spread.mean()) == pytest.approx(0, abs=0.03) and float(spread.std()) == pytest.approx(1, abs=0.03)
    above.eval()
    torch.manual_seed(0)
    first = above.terms(whole[:5])
    torch.manual_seed(0)
    again = above.terms(torch.cat([whole[:5, :1], 9 + whole[:5, 1:]], 1))  # draws have no part in it
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_it_stands_on_one_gaussian_and_classes(
    folder: Path, unlabelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(capsys, "stage", "semi_supervised", folder)
    assert "stands on a model with one Gaussian part" in said and "y (Label), z (Gaussian)" in said
    plain = ["--data", unlabelled, "--hidden", 8, "--steps", 1, "--device", "cpu", "--out", tmp_path / "plain"]
    assert call("train", "vae", *plain) == 0
    said = refused(capsys, "stage", "semi_supervised", tmp_path / "plain")
    assert 'data set "plain.npz" has no labels' in said
    said = refused(capsys, "stage", "semi_supervised", tmp_path / "plain", "--labels", 20)
    assert 'labels came as 20, but data set "plain.npz" has none' in said
    assert not (tmp_path / "plain/semi_supervised").exists()


def test_it_has_as_many_classes_as_the_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = ["--data", "digits", "--hidden", 8, "--steps", 1, "--device", "cpu", "--out", tmp_path / "plain"]
    assert call("train", "vae", *plain) == 0
    for more, said in {
        ("--classes", 7): 'classes came as 7, but data set "digits" has 10',
        ("--labels", 9): 'labels came as 9, fewer than the 10 classes of "digits"',
        ("--labels", 9999): 'labels came as 9,999, but "digits" has',
    }.items():
        assert said in refused(capsys, "stage", "semi_supervised", tmp_path / "plain", *more)
    assert not (tmp_path / "plain/semi_supervised").exists()
