"""What the shipped checkpoints promise: they open, they are small, and their dimensions mean what the cards say."""

from __future__ import annotations

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
    "beta-vae-fashion", "vq-vae-mnist", "vq-vae-cifar10", "vq-vae-vowels",
}  # fmt: skip
OF_A_RUN = {"state.safetensors", "snapshots.npz", "control.jsonl"}  # these do not ship
FILES = {"config.json", "model.safetensors", "summary.npz", "history.jsonl", "README.md", "preview.png"}


def test_all_are_here() -> None:
    assert {found.name for found in SHIPPED} >= NAMES
    total = sum(path.stat().st_size for path in (ROOT / "checkpoints").glob("*/*") if path.name in FILES)
    assert total < 60e6


@pytest.mark.parametrize("found", SHIPPED, ids=lambda found: found.name)
def test_opens_and_says_what_it_is(found: trainer.Checkpoint) -> None:
    files = {path.name for path in found.path.iterdir() if path.is_file() and not path.match("umap-*.npy")}
    assert files - OF_A_RUN == FILES
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
        else:  # what the summary keeps of the data stands in for them
            x = model.decode({part: values[:64] for part, values in known.items()})
        z = model.encode(x)
        error = (model.decode(z) - x).square().mean()
        spread = (x - x.mean(0)).square().mean()
    assert error < 0.6 * spread  # better than the mean image by far
    for part, kind in model.space.items():
        if isinstance(kind, trainer.Codes):
            assert_healthy(found, summary.codes[part])
            continue
        assert len(summary.importance(part)[0]) == kind.dims
        low, high = summary.band(part)
        for some in (z[part].numpy(), known[part].numpy()):
            inside = ((some >= low) & (some <= high)).mean()
            assert 0.8 < inside < 0.98  # nine tenths of the data lie in the marked range


def assert_healthy(found: trainer.Checkpoint, counts: trainer.CodeCounts) -> None:
    """Most codes carry their share, none is dead, and the card says so."""
    assert counts.perplexity > 0.6 * len(counts.usage)
    assert counts.dead <= 0.02 * len(counts.usage)
    assert f"perplexity {counts.perplexity:.1f}" in (found.path / "README.md").read_text()


STAGES = [stage for found in SHIPPED for stage in found.stages]


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: f"{stage.path.parent.name}-{stage.name}")
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


@pytest.mark.parametrize("found", SHIPPED, ids=lambda found: found.name)
def test_its_map_ships(found: trainer.Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LATENT_EXPLORER_HOME", str(tmp_path))
    points = trainer.load_summary(found.path).arrays["points"].astype(np.float32)
    places = layouts.kept(points, Umap(), found.path)
    assert places is not None and np.isfinite(places).all()
    rows = np.arange(0, len(points), 2)
    assert trustworthiness(points[rows], places[rows], n_neighbors=15) > 0.85  # places drawn by lot have ½


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
