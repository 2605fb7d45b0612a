"""What the shipped checkpoints promise: they open, they are small, and their dimensions mean what the cards say."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from PIL import Image
from sklearn.manifold import trustworthiness
from sklearn.metrics import mutual_info_score

import trainer
from explorer import layouts
from explorer.projection import Umap

SHIPPED = trainer.checkpoints(ROOT / "checkpoints")
NAMES = {
    "pca-digits", "ppca-digits", "vae-digits", "beta-vae-sprites", "autoencoder-mnist", "vae-mnist", "vae-fashion",
    "beta-vae-fashion", "vq-vae-mnist", "vq-vae-cifar10", "vq-vae-vowels", "quadrant-mnist",
    "mixture-digits", "cvae-mnist", "cvae-fashion", "semi-supervised-mnist", "ladder-mnist", "hierarchical-mnist",
    "semi-supervised-mnist-600", "semi-supervised-mnist-1000", "vlae-sprites", "linear-vae-digits", "iwae-mnist",
    "tc-vae-sprites",
}  # fmt: skip
OF_A_RUN = {"state.safetensors", "snapshots.npz", "control.jsonl"}  # these do not ship
FILES = {"config.json", "model.safetensors", "summary.npz", "history.jsonl", "README.md", "preview.png"}  # of any


def test_all_are_here() -> None:
    assert {found.name for found in SHIPPED} == NAMES
    total = sum(path.stat().st_size for path in (ROOT / "checkpoints").glob("*/*") if path.name in FILES)
    assert total < 60e6


@pytest.mark.parametrize("found", SHIPPED, ids=lambda found: found.name)
def test_opens_and_says_what_it_is(found: trainer.Checkpoint) -> None:
    files = {path.name for path in found.path.iterdir() if path.is_file() and not path.match("umap-*.npy")}
    assert files - OF_A_RUN == FILES | {"evaluation.json"}
    evaluation = trainer.load_evaluation(found.path)  # refuses one of other weights
    assert evaluation and evaluation.decoded and bool(evaluation.bounds) is (found in DENSITIES)
    for bounds in evaluation.bounds:
        rising = [bounds.figures[name].value for name in bounds.figures if name == "ELBO" or name.startswith("L_")]
        assert all(above >= below - 1e-6 for below, above in itertools.pairwise(rising))  # from the same draws
    assert (found.path / "model.safetensors").stat().st_size < 8e6
    assert found.config.command in (found.path / "README.md").read_text()
    Image.open(found.path / "preview.png").verify()
    model = trainer.load(found.path)
    summary = trainer.load_summary(found.path)
    summary.check(model.space)
    real = all(isinstance(kind, trainer.Gaussian) for kind in model.space.values())
    with torch.no_grad():
        points = torch.from_numpy(summary.arrays["points"].astype(np.float32))
        known = model.from_points(points) if real else model.sample(64, generator=torch.Generator().manual_seed(0))
        if trainer.data_is_here(found.config.data.name):
            x = found.config.data.load("test").batch(torch.arange(64))
        elif any(isinstance(kind, trainer.Visible) for kind in model.space.values()):
            x = completions(found, model.shape)  # what it makes of nothing visible would be no such images
        else:  # what the summary keeps of the data stands in for them
            x = model.decode({part: values[:64] for part, values in known.items()})
        z = model.encode(x)
        error = (model.decode(z) - x).square().mean()
        spread = (x - x.mean(0)).square().mean()
    assert error < 0.6 * spread  # better than the mean image by far
    for part, kind in model.space.items():
        if isinstance(kind, trainer.Codes):
            assert_healthy(found, summary.codes[part])
        if not isinstance(kind, trainer.Gaussian):
            continue
        assert len(summary.importance(part)[0]) == kind.dims
        low, high = summary.band(part)
        for some in (z[part].numpy(), known[part].numpy()) if real and summary.active(part).any() else ():
            moves = high - low > 0.01  # a collapsed dimension is the same for all, but for its rounding
            inside = ((some >= low) & (some <= high))[:, moves].mean()
            assert 0.8 < inside < 0.98  # nine tenths of the data lie in the marked range


def completions(found: trainer.Checkpoint, shape: tuple[int, int, int]) -> torch.Tensor:
    """The 24 completions of a preview whose first row is what is seen, (24, 1, h, w) in [0, 1]."""
    with Image.open(found.path / "preview.png") as preview:
        paper = torch.from_numpy(np.asarray(preview.convert("L")).astype(np.float32) / 255)
    h, w = shape[1:]
    scale = len(paper) // (4 * (h + 1))
    tiles = paper[::scale, ::scale][1:, 1:].unfold(0, h, h + 1).unfold(1, w, w + 1)  # (4, 8, h, w)
    return tiles[1:].reshape(24, 1, h, w)


DENSITIES = [found for found in SHIPPED if isinstance(trainer.load(found.path), trainer.Density)]


@pytest.mark.parametrize("found", DENSITIES, ids=lambda found: found.name)
def test_a_bound_of_more_draws_is_no_looser(found: trainer.Checkpoint) -> None:
    """L_1, L_5 and L_50 of images of its own kind, each from draws of its own."""
    model, generator = trainer.load(found.path), torch.Generator().manual_seed(0)
    assert isinstance(model, trainer.Density)
    with torch.no_grad():
        if any(isinstance(kind, trainer.Visible) for kind in model.space.values()):
            x = completions(found, model.shape)[:6]
        else:
            x = model.draw(model.sample(6, generator=generator), generator)
        found = [bound_of(model, x, s, generator) for s in (1, 5, 50)]
        known = trainer.exact_evidence(model, x)
    for (below, below_error), (above, above_error) in itertools.pairwise(found):
        assert above >= below - 4 * (below_error**2 + above_error**2) ** 0.5 - 1e-3
    if known is not None:
        assert found[-1][0] <= float(known.mean()) + 4 * found[-1][1] + 1e-2


def bound_of(model: trainer.Density, x: torch.Tensor, samples: int, generator: torch.Generator) -> tuple[float, float]:
    """L_S, the mean over images, from ten or more estimates of each, and its standard error."""
    repeats = max(10, 100 // samples)
    each = trainer.importance_bound(model, x.repeat(repeats, 1, 1, 1), samples, generator).value.view(repeats, len(x))
    return float(each.mean()), float(each.mean(1).std()) / repeats**0.5


def assert_healthy(found: trainer.Checkpoint, counts: trainer.CodeCounts) -> None:
    """Most codes carry their share, none is dead, and the card says so."""
    assert counts.perplexity > 0.6 * len(counts.usage)
    assert counts.dead <= 0.02 * len(counts.usage)
    assert f"perplexity {counts.perplexity:.1f}" in (found.path / "README.md").read_text()


def stages_called(name: str) -> list[trainer.Checkpoint]:
    return [stage for found in SHIPPED for stage in found.stages if stage.name == name]


def its_name(stage: trainer.Checkpoint) -> str:
    return f"{stage.path.parent.name}-{stage.name}"


@pytest.mark.parametrize("stage", stages_called("code_prior"), ids=its_name)
def test_a_prior_takes_fewer_bits_than_each_place_alone(stage: trainer.Checkpoint) -> None:
    assert {path.name for path in stage.path.iterdir()} - OF_A_RUN == FILES - {"preview.png"}
    assert (stage.path / "model.safetensors").stat().st_size < 3e6
    model = trainer.load(stage.path.parent)
    assert list(model.stages) == ["code_prior"] and model.refused == [] and model.sample_note == ""
    figures = trainer.load_summary(stage.path).arrays
    alone = float(figures["figures/each place alone"])
    assert figures["figures/prior"] < 0.95 * alone
    card = (stage.path / "README.md").read_text()
    assert stage.config.command in card and stage.config.measured["prior"] in card
    codes = model.sample(200, generator=torch.Generator().manual_seed(0))["codes"]
    with torch.no_grad():
        bits = -model.prior.log_prob(codes) / np.log(2)  # whose mean over its own samples is its entropy
    assert float(bits.mean()) < alone


@pytest.mark.parametrize("stage", stages_called("partial_encoder"), ids=its_name)
def test_a_partial_encoder_proposes_better_than_the_prior(stage: trainer.Checkpoint) -> None:
    assert {path.name for path in stage.path.iterdir()} - OF_A_RUN == FILES - {"preview.png"}
    assert (stage.path / "model.safetensors").stat().st_size < 3e6
    model = trainer.load(stage.path.parent)
    assert "partial_encoder" in model.stages and model.refused == []
    figures = trainer.load_summary(stage.path).arrays
    ours, priors = (figures[f"figures/effective draws of 1,000 from {name}"] for name in ("r", "the prior"))
    assert ours > 3 * priors
    assert stage.config.command in (stage.path / "README.md").read_text()


@pytest.mark.parametrize("stage", stages_called("semi_supervised"), ids=its_name)
def test_classes_on_latents_are_told_better_than_on_pixels(stage: trainer.Checkpoint) -> None:
    """Few labels on the latents of a VAE that saw all images beside the same number of them for M2 alone."""
    assert {path.name for path in stage.path.iterdir()} - OF_A_RUN == FILES - {"preview.png"}
    assert (stage.path / "model.safetensors").stat().st_size < 3e6
    model = trainer.load(stage.path.parent)
    assert "semi_supervised" in model.stages and model.refused == []
    alone = named("semi-supervised-mnist")
    assert stage.config.data.labels == alone.config.data.labels
    errors, plain = (trainer.load_summary(found.path).errors["y"] for found in (stage, alone))
    assert errors.interval[1] < plain.interval[0]
    card = (stage.path / "README.md").read_text()
    assert stage.config.command in card and str(errors) in card


def named(name: str) -> trainer.Checkpoint:
    return next(found for found in SHIPPED if found.name == name)


def test_a_hundred_labels_tell_digits_as_well_as_published() -> None:
    """Kingma et al. 2014 report 11.97 % of the test images for M2."""
    found = named("semi-supervised-mnist")
    errors = trainer.load_summary(found.path).errors["y"]
    assert found.config.data.labels == 100 and errors.rate < 11.97
    assert f"{errors.rate:.2f} %" in (found.path / "README.md").read_text()


def test_a_ladder_uses_levels_that_collapse_without_one() -> None:
    ladder, plain = (trainer.load_summary(named(name).path) for name in ("ladder-mnist", "hierarchical-mnist"))
    upper = ("z5", "z4", "z3", "z2")
    active = [sum(int(summary.active(part).sum()) for part in upper) for summary in (ladder, plain)]
    assert active[0] >= active[1] + 10
    assert ladder.arrays["mean/loss"] < plain.arrays["mean/loss"] - 1  # nats
    assert ladder.arrays["kl/z5"].sum() > 0.5 > 0.01 > plain.arrays["kl/z5"].sum()


def test_quadrants_are_completed_as_well_as_published() -> None:
    """Sohn et al. 2015 report 68.62 nats with one quadrant observed; three more are allowed."""
    found = named("quadrant-mnist")
    value = float(trainer.load_summary(found.path).arrays["figures/negative CLL"])
    assert found.config.options["observed"] == 1 and value < 68.62 + 3
    assert found.config.measured["negative CLL"] == f"{value:.1f} nats"
    assert f"negative CLL: {value:.2f} nats" in (found.path / "README.md").read_text()


@pytest.mark.parametrize("found", SHIPPED, ids=lambda found: found.name)
def test_its_map_ships(found: trainer.Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LATENT_EXPLORER_HOME", str(tmp_path))
    points = trainer.load_summary(found.path).arrays["points"].astype(np.float32)
    places = layouts.kept(points, Umap(), found.path)
    assert places is not None and np.isfinite(places).all()
    rows = np.arange(0, len(points), 2)
    assert trustworthiness(points[rows], places[rows], n_neighbors=15) > 0.65  # places drawn by lot have ½


CODED = [found for found in SHIPPED if trainer.load_summary(found.path).codes]


@pytest.mark.parametrize("found", CODED, ids=lambda found: found.name)
def test_codes_ship_with_their_prior_and_its_samples_as_preview(found: trainer.Checkpoint) -> None:
    model = trainer.load(found.path)
    assert list(model.stages) == ["code_prior"]
    with torch.no_grad():
        images = model.decode(model.sample(32, generator=torch.Generator().manual_seed(0)))
    with Image.open(found.path / "preview.png") as preview:
        shown = np.asarray(preview).astype(int)
    drawn = np.asarray(trainer.contact_sheet(images, 8, shown.shape[1] // (8 * images.shape[3]) or 1)).astype(int)
    assert drawn.shape == shown.shape and np.abs(drawn - shown).mean() < 8  # another machine may round another way


def test_vae_mnist_is_as_good_as_its_net_can_be() -> None:
    """784-400-20 on grey pixels with a Bernoulli likelihood: -100.3 nats is what long trainings reach."""
    found = next(found for found in SHIPPED if found.name == "vae-mnist")
    assert (found.config.options["hidden"], found.config.options["likelihood"]) == ([400], "bernoulli")
    summary = trainer.load_summary(found.path)
    assert -float(summary.arrays["mean/loss"]) > -101
    assert (
        f"ELBO | {-float(summary.arrays['mean/loss']):.2f}".replace("-", "−") in (found.path / "README.md").read_text()
    )


def factor_information(path: Path) -> np.ndarray:
    """(d, f) mutual information in nats of each latent dimension (20 equal bins) with each factor."""
    model = trainer.load(path)
    images = trainer.load_data("sprites", "test", None)
    rows = torch.arange(3000)
    with torch.no_grad():
        z = torch.cat([model.encode(images.batch(some))["z"] for some in rows.split(500)]).numpy()
    factors = images.factors(rows)
    assert factors is not None
    levels = factors.numpy()
    bins = [np.digitize(column, np.histogram_bin_edges(column, 20)[1:-1]) for column in z.T]
    return np.array([[mutual_info_score(levels[:, f], binned) for f in range(levels.shape[1])] for binned in bins])


def test_position_and_scale_are_dimensions_of_their_own() -> None:
    path = ROOT / "checkpoints/beta-vae-sprites"
    active = trainer.load_summary(path).active("z")
    information = factor_information(path)[active]  # inactive dimensions hold nothing that a person could see
    names = list(trainer.load_data("sprites", "test", 100).factor_names)
    best = {}
    for name in ("scale", "position x", "position y"):
        column = information[:, names.index(name)]
        best[name] = int(column.argmax())
        second = np.sort(column)[-2]
        assert column.max() > 2 * second, (name, column.round(2))  # one dimension holds it
        assert names[int(information[best[name]].argmax())] == name  # and holds it above all else
    assert len(set(best.values())) == 3


def test_an_autoencoder_gives_back_more_but_its_codes_are_no_standard_normal() -> None:
    """The same net with and without a prior: sharper without one, but then a Gaussian misses where the codes lie."""
    psnr, correlation = [], []
    for name in ("autoencoder-mnist", "vae-mnist"):
        arrays = trainer.load_summary(ROOT / "checkpoints" / name).arrays
        psnr.append(arrays["quantiles/psnr"][50])
        off_diagonal = np.corrcoef(arrays["points"].astype(np.float32).T) - np.eye(arrays["points"].shape[1])
        correlation.append(np.square(off_diagonal).mean() ** 0.5)
    assert psnr[0] > psnr[1] + 0.5
    assert correlation[0] > 2 * correlation[1]
