"""What a model makes of one image, against the model's own answers and closed forms."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from conftest import ROOT
from PIL import Image

import trainer
from explorer import geometry, pictures
from explorer.opened import Run
from explorer.understanding import interpolations, prior_draws, understand


def run_of(name: str) -> Run:
    path = ROOT / "checkpoints" / name
    found = next(found for found in trainer.checkpoints(path.parent) if found.path == path)
    return Run(found, trainer.load(path), trainer.load_summary(path))


def image_of(run: Run, number: int) -> np.ndarray:
    return np.asarray(run.picture(number), np.float32) / 255


def test_the_figures_of_probabilistic_pca_are_exact() -> None:
    """Its posterior is exact, so the ELBO is log p(x), whatever the draws."""
    run = run_of("ppca-digits")
    found = understand(run, image_of(run, 3))
    figures = {figure.name: figure for figure in found.figures}
    x = run.images.batch(torch.tensor([3]))
    with torch.no_grad():
        exact = float(run.model.log_evidence(x))  # type: ignore[operator]
        mean, var = run.model.posterior(x)  # type: ignore[operator]
        losses = torch.cat([run.model.log_evidence(some) for some in run.images.stream()])  # type: ignore[operator]
    assert figures["ELBO"].value == pytest.approx(exact, abs=0.02)  # float16 weights: not quite orthonormal
    assert figures["ELBO"].unit == "nats"
    assert figures["ELBO"].value == pytest.approx(-figures["Reconstruction"].value - figures["KL"].value, abs=1e-3)
    below = float((losses < exact).float().mean()) * 100
    assert figures["ELBO"].percentile == pytest.approx(below, abs=2)
    assert found.latent["z"] == pytest.approx(mean[0].tolist(), abs=1e-5)
    assert found.spread["z"] == pytest.approx(var.sqrt().tolist(), rel=1e-4)
    assert found.samples is not None and found.samples.shape == (4, 8, 8, 1)
    error = (found.reconstruction.astype(float) - found.seen) / 255
    assert found.difference == pytest.approx(error[..., 0], abs=1 / 255)
    assert figures["PSNR"].value == pytest.approx(-10 * np.log10((error**2).mean()), abs=0.05)
    assert figures["PSNR"].percentile is not None and figures["SSIM"].percentile is not None


def test_a_point_has_no_spread_and_no_nats() -> None:
    run = run_of("pca-digits")
    found = understand(run, image_of(run, 0))
    assert found.samples is None and found.spread == {}
    assert {figure.name: figure.unit for figure in found.figures} == {
        "Reconstruction": "squared distance", "PSNR": "dB", "SSIM": "",
    }  # fmt: skip
    squared = float((found.difference.astype(float) ** 2).sum())
    assert squared < found.figures[0].value < 1.2 * squared  # the term counts what is cut to [0, 1] on screen


def test_a_term_of_the_whole_batch_is_not_told_of_one_image() -> None:
    run = run_of("tc-vae-sprites")
    figures = {figure.name for figure in understand(run, image_of(run, 0)).figures}
    assert "ELBO" in figures and "extra" not in figures


def test_the_same_image_has_the_same_figures_and_leaves_the_generator_alone() -> None:
    run = run_of("vae-digits")
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one, other = understand(run, image_of(run, 1)), understand(run, image_of(run, 1))
    assert torch.equal(torch.rand(1), expected)
    assert one.figures == other.figures
    assert one.samples is not None and np.array_equal(one.samples, other.samples)  # type: ignore[arg-type]


def test_interpolations_end_at_their_pictures() -> None:
    run = run_of("vae-digits")
    one, other = understand(run, image_of(run, 0)), understand(run, image_of(run, 1))
    between = interpolations(run, one, other, 5)
    assert between.shape == (5, 8, 8, 1)
    for found, end in ((one, between[0]), (other, between[-1])):
        assert np.abs(found.reconstruction.astype(int) - end).max() <= 1
    middle = {part: [(a + b) / 2 for a, b in zip(v, other.latent[part], strict=True)] for part, v in one.latent.items()}
    assert np.abs(run.decode(run.tensors(middle))[0].astype(int) - between[2]).max() <= 1
    z = geometry.interpolate(run.tensors(one.latent), run.tensors(other.latent), 3)
    assert z["z"].shape == (3, 10)
    assert prior_draws(run, 6).shape == (6, 8, 8, 1)


def test_rows_of_the_posterior_are_in_the_order_of_the_sliders() -> None:
    run = run_of("vae-digits")
    found = understand(run, image_of(run, 0))
    labels, mean, std, low, high = run.posterior_rows(found.latent, found.spread)
    importance, _ = run.summary.importance("z")
    dims = [int(label.removeprefix("z")) for label in labels]
    assert list(importance[dims]) == sorted(importance, reverse=True)
    assert mean.tolist() == [found.latent["z"][dim] for dim in dims]
    assert (low < high).all() and (std > 0).all()


# ---- pictures


def test_signed_differences_are_white_at_zero_and_symmetric() -> None:
    colours, limit = pictures.signed(np.array([[-0.5, -0.25, 0.0, 0.25, 0.5]]))
    assert limit == 0.5
    assert colours[0, 2].tolist() == [255, 255, 255]
    blue, red = colours[0, 0].astype(int), colours[0, 4].astype(int)
    assert blue[2] > blue[0] + 50 and red[0] > red[2] + 50
    assert pictures.signed(np.zeros((2, 2)))[0].tolist() == [[[255] * 3] * 2] * 2
    with_scale, _ = pictures.difference(np.zeros((16, 10)))
    assert with_scale.shape == (16, 10 + 1 + 2, 3)
    assert np.array_equal(with_scale[0, -1], pictures.signed(np.array([[1.0, -1.0]]))[0][0, 0])  # the limit, at the top


def test_crisp_pictures_keep_their_pixels() -> None:
    image = np.random.default_rng(0).integers(0, 256, (28, 20, 1), np.uint8)
    large, width = pictures.crisp(image, 140)
    assert (large.shape, width) == ((280, 200, 1), 100)
    assert np.array_equal(large[::10, ::10], image)
    reduced, width = pictures.crisp(np.zeros((1200, 900, 3), np.uint8), 100)
    assert (reduced.shape, width) == ((200, 150, 3), 75)


def test_tiles_and_strips() -> None:
    images = np.arange(4, dtype=np.uint8)[:, None, None, None].repeat(2, 1).repeat(3, 2)
    tiles = pictures.tiles(images, 2)
    assert tiles.shape == (5, 7, 1)
    assert tiles[[0, 0, 4, 4], [0, 6, 0, 6], 0].tolist() == [0, 1, 2, 3]
    assert pictures.strip(list(images)).shape == (2, 15, 1)


def test_a_sheet_holds_every_row() -> None:
    grey, colour = np.full((8, 8, 1), 200, np.uint8), np.full((30, 40, 3), (255, 0, 0), np.uint8)
    content = pictures.sheet([("one", [("grey", grey)]), ("two", [("a", colour), ("b", grey)])])
    with Image.open(io.BytesIO(content)) as sheet:
        pixels = np.asarray(sheet.convert("RGB"))
    assert (pixels == (255, 0, 0)).all(-1).sum() == pytest.approx(140 * 105, rel=0.5)
    assert (pixels == 200).all(-1).sum() >= 2 * 100 * 100


def test_people_at_once_do_not_change_each_others_figures() -> None:
    run = run_of("vae-digits")
    images = [image_of(run, number) for number in range(4)]
    alone = [understand(run, image).figures for image in images]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda image: understand(run, image).figures, images * 6))
    assert together == alone * 6


@pytest.mark.parametrize("name", ["vlae-sprites", "cvae-mnist"])
def test_a_spread_is_that_of_many_draws(name: str) -> None:
    """Exact where q(z|x) is one Gaussian, each level its own, and of draws where classes mix it."""
    run = run_of(name)
    c, h, w = run.model.shape
    x = torch.rand(2, c, h, w, generator=torch.Generator().manual_seed(0))
    assert isinstance(run.model, trainer.Density)
    with torch.no_grad():
        found, (drawn, _) = run.model.spread(x, 2000), run.model.infer(x, 4000)
    assert list(found) == list(drawn)
    for part, std in found.items():
        assert std.shape == drawn[part].shape[1:]
        torch.testing.assert_close(std, drawn[part].std(0), rtol=0.12, atol=0.02)
