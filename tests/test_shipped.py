"""What the shipped checkpoints promise: they open, they are small, and their dimensions mean what the cards say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from PIL import Image
from sklearn.metrics import mutual_info_score

import trainer

SHIPPED = trainer.checkpoints(ROOT / "checkpoints")
OF_A_RUN = {"state.safetensors", "snapshots.npz", "control.jsonl"}  # these do not ship
FILES = {"config.json", "model.safetensors", "summary.npz", "history.jsonl", "README.md", "preview.png"}


def test_all_are_here() -> None:
    assert {"pca-digits", "ppca-digits", "vae-digits", "beta-vae-sprites"} <= {found.name for found in SHIPPED}
    total = sum(path.stat().st_size for path in (ROOT / "checkpoints").rglob("*") if path.suffix != ".state")
    assert total < 60e6


@pytest.mark.parametrize("found", SHIPPED, ids=lambda found: found.name)
def test_opens_and_says_what_it_is(found: trainer.Checkpoint) -> None:
    assert {path.name for path in found.path.iterdir()} - OF_A_RUN == FILES
    assert (found.path / "model.safetensors").stat().st_size < 8e6
    assert found.config.command in (found.path / "README.md").read_text()
    Image.open(found.path / "preview.png").verify()
    model = trainer.load(found.path)
    summary = trainer.load_summary(found.path)
    images = trainer.load_data(found.config.data.name, "test", found.config.data.size)
    x = images.batch(torch.arange(64))
    with torch.no_grad():
        z = model.encode(x)
        error = (model.decode(z) - x).square().mean()
        spread = (x - x.mean(0)).square().mean()
    assert error < 0.6 * spread  # better than the mean image by far
    for part, kind in model.space.items():
        assert isinstance(kind, trainer.Gaussian)
        assert len(summary.importance(part)[0]) == kind.dims
        low, high = summary.band(part)
        inside = ((z[part].numpy() >= low) & (z[part].numpy() <= high)).mean()
        assert 0.8 < inside < 0.98  # nine tenths of the data lie in the marked range


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
