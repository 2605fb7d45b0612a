"""A grid of codes in the explorer: where a code can be seen, what replacing it does, what it is near, its rate."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from coded import run_of, save_coded, save_waves
from commandline import call
from PIL import Image

import trainer
from explorer import board, codebook_figures, codes, progress, rate, waves
from explorer.opened import Run
from trainer.models.vq_vae import VQVAE
from trainer.stages.code_prior import CodePrior, CodePriorOptions


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return save_coded(tmp_path_factory.mktemp("checkpoints") / "coded")


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return save_waves(tmp_path_factory.mktemp("checkpoints") / "waves")


@pytest.fixture
def grid(run: Run) -> np.ndarray:
    return codes.encode(run, "codes", run.picture(5) / 255)


def test_an_image_becomes_the_models_own_grid(run: Run, grid: np.ndarray) -> None:
    with torch.no_grad():
        own = run.model.encode(run.images.batch(torch.tensor([5])))
    assert grid.shape == (4, 4) and np.array_equal(grid, own["codes"][0])
    assert run.plain(own) == {"codes": grid.flatten().tolist()}
    assert torch.equal(run.tensors(run.plain(own))["codes"], own["codes"])


def test_cells_share_the_picture_and_reach_around_themselves(run: Run) -> None:
    own, reach = codes.boxes(run, "codes")
    assert own[0] == (0, 0, 2, 2) and own[6] == (2, 4, 4, 6) and own[15] == (6, 6, 8, 8)
    covered = np.zeros((8, 8), int)
    for top, left, bottom, right in own:
        covered[top:bottom, left:right] += 1
    assert (covered == 1).all()
    assert reach[5] == (1, 1, 5, 5)  # the four by four pixels of one transposed convolution
    assert codes.reach(run, "codes", [5, 6]) == (1, 1, 5, 7)
    assert codes.middle(run, "codes") == 10


def test_candidates_are_the_decodes_and_change_nothing_else(run: Run, grid: np.ndarray) -> None:
    found = codes.candidates(run, "codes", grid, [5, 6], 2**20)
    assert sorted(found.codes) == list(range(24))
    usage = run.summary.codes["codes"].usage
    assert (np.diff(usage[found.codes].astype(int)) <= 0).all()
    top, left, bottom, right = found.box
    before = codes.decode(run, "codes", grid[None])[0]
    for code, picture in zip(found.codes[:5], found.pictures, strict=False):
        edited = grid.copy()
        edited.flat[[5, 6]] = code
        whole = codes.decode(run, "codes", edited[None])[0]
        assert np.abs(whole[top:bottom, left:right].astype(int) - picture).max() <= 1  # a batch rounds differently
        whole[top:bottom, left:right] = before[top:bottom, left:right]
        assert np.abs(whole.astype(int) - before).max() <= 1
    assert (found.pictures.std(0) > 0).any()


def test_fewer_candidates_where_there_is_no_room(run: Run, grid: np.ndarray) -> None:
    every = codes.candidates(run, "codes", grid, [5], 2**20)
    few = codes.candidates(run, "codes", grid, [5], 7 * 16)
    assert len(few.codes) == 7 and np.array_equal(few.codes, every.codes[:7])
    assert few.pictures.shape == (7, 4, 4, 1)


def test_a_code_fills_cells_and_leaves_the_others() -> None:
    grid = np.arange(6).reshape(2, 3)
    found = codes.replaced(grid, [0, 4], np.array([7, 8]))
    assert found.tolist() == [[[7, 1, 2], [3, 7, 5]], [[8, 1, 2], [3, 8, 5]]]
    assert grid.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_a_tile_is_the_middle_of_a_constant_grid(run: Run) -> None:
    tiles = codes.constant_tiles(run, "codes", np.array([3, 9]))
    assert tiles.shape == (2, 2, 2, 1)
    with torch.no_grad():
        whole = trainer.to_bytes(run.model.decode({"codes": torch.full((1, 4, 4), 9)}))[0]
    assert np.abs(tiles[1].astype(int) - whole[4:6, 4:6]).max() <= 1


def test_neighbours_and_their_distances() -> None:
    book = np.array([[0.0, 0], [3, 4], [0, 1], [0, 0]])
    near, distances = codes.neighbours(book, 0, 3)
    assert near.tolist() == [3, 2, 1] and distances.tolist() == [0, 1, 5]
    near, _ = codes.neighbours(book, 3, 9)
    assert near.tolist() == [0, 2, 1]  # a copy of a code is its neighbour, not the code itself


def test_the_map_keeps_distances_of_a_plane() -> None:
    flat = np.random.default_rng(0).normal(size=(20, 2)) @ np.array([[1.0, 2, 0], [0, 1, -1]])
    places, share = codes.plane(flat)
    assert share == pytest.approx(1)
    assert np.linalg.norm(places[3] - places[7]) == pytest.approx(np.linalg.norm(flat[3] - flat[7]))
    assert places[:, 0].var() >= places[:, 1].var()
    assert codes.plane(np.ones((1, 3)))[0].tolist() == [[0, 0]]


def test_places_of_a_code_come_from_different_images_first() -> None:
    grids = np.array([[[1, 1], [1, 0]], [[0, 1], [0, 0]], [[0, 0], [0, 0]]])
    assert codes.occurrences(grids, 1, 3) == [(0, 0), (1, 1), (0, 1)]
    assert codes.occurrences(grids, 2, 3) == []


def test_surroundings_have_one_size_also_at_the_edge() -> None:
    image = np.arange(64).reshape(8, 8, 1)
    assert codes.surroundings(image, (2, 4, 4, 6))[..., 0].tolist() == image[0:6, 2:8, 0].tolist()
    assert codes.surroundings(image, (0, 0, 2, 2))[..., 0].tolist() == image[0:6, 0:6, 0].tolist()
    assert codes.surroundings(image, (6, 6, 8, 8), times=9).shape == (8, 8, 1)


@pytest.mark.parametrize(("used", "ill"), [(64, False), (60, False), (40, True)])
def test_a_codebook_with_idle_codes_is_sick(run: Run, used: int, ill: bool) -> None:
    config = run.checkpoint.config.model_copy(update={"options": {}})
    counts = np.zeros((1, 1, 64), np.uint32)
    counts[..., :used] = 5
    said = codes.sickness(trainer.CodeCounts(counts, None), config)
    assert bool(said) == ill
    if ill:
        assert "40 of 64 codes are in use, 24 are dead" in said and "restart" in said and "k-means" in said


def test_all_used_but_one_for_everything_is_sick_too(run: Run) -> None:
    counts = np.ones((1, 1, 64), np.uint32)
    counts[..., 7] = 100_000
    assert "perplexity is 1.0" in codes.sickness(trainer.CodeCounts(counts, None), run.checkpoint.config)


@pytest.mark.parametrize(("options", "steps", "said"), [
    ({"restart": 0, "kmeans": False, "cosine": False}, 9,
     "Train it anew with a restart of unused codes, a k-means start, cosine codes, or fewer codes: those"),
    ({"restart": 100, "kmeans": True, "cosine": False}, 100, "Train it anew with cosine codes, or fewer codes: those"),
    ({"restart": 2000, "kmeans": True, "cosine": True}, 1999,
     "Train it longer: codes are restarted after 2,000 steps unused, and it took 1,999. Or anew with fewer codes"),
])  # fmt: skip
def test_what_is_advised_is_not_there_yet(run: Run, options: dict[str, Any], steps: int, said: str) -> None:
    config = run.checkpoint.config.model_copy(update={"options": options, "steps_done": steps})
    counts = np.zeros((1, 1, 4096), np.uint32)
    counts[..., :1024] = 5
    found = codes.sickness(trainer.CodeCounts(counts, None), config)
    assert f"1,024 of 4,096 codes are in use, 3,072 are dead, and the perplexity is 1,024.0. {said}" in found


# -- what the browser is handed and what it reports --------------------------------------------------------------------


def shown(run: Run, grid: np.ndarray) -> board.Board:
    starts = np.stack([grid, grid[::-1]])
    pictures = codes.decode(run, "codes", starts)
    own, reach = codes.boxes(run, "codes")
    order = np.arange(24)
    return board.Board(
        starts, starts, [5], pictures, pictures, [None, pictures[1]], codes.candidates(run, "codes", grid, [5], 2**20),
        order, order / order.sum(), codes.constant_tiles(run, "codes", order), own, reach, 3,
    )  # fmt: skip


def test_a_payload_holds_what_its_header_says(run: Run, grid: np.ndarray) -> None:
    given = shown(run, grid)
    packed = given.pack()
    (length,) = struct.unpack("<I", packed[:4])
    head, pixels = json.loads(packed[4 : 4 + length]), packed[4 + length :]
    assert (head["rows"], head["columns"], head["line"], head["revision"]) == (4, 4, False, 3)
    assert head["originals"][0] is None and head["starts"] == [grid.flatten().tolist(), grid[::-1].flatten().tolist()]
    at = head["candidates"]["pictures"]
    found = np.frombuffer(pixels, np.uint8, int(np.prod(at["shape"])), at["offset"]).reshape(at["shape"])
    assert np.array_equal(found, given.candidates.pictures)
    assert len(head["reach"]) == 16


def test_a_report_is_read_only_if_it_fits() -> None:
    starts = np.zeros((1, 2, 2), np.int64)
    good = {"grids": [[0, 1, 2, 3]], "cells": [3, 1, 3], "revision": 7}
    found = board.read(good, starts, 4, 7)
    assert found is not None and found.grids.tolist() == [[[0, 1], [2, 3]]] and found.cells == [1, 3]
    grids = [[[0, 1, 2, 4]], [[0, 1, 2]], [[0, 1, 2, -1]], [[0, 1, 2, "a"]], [[0, 1, 2, 3]] * 2, []]
    wrong = [None, "x", {**good, "revision": 6}, {**good, "more": 1}, *({**good, "grids": each} for each in grids)]
    wrong += [{**good, "cells": cells} for cells in ([], [4], [-1])]
    assert [board.read(raw, starts, 4, 7) for raw in wrong] == [None] * len(wrong)


# -- rates -------------------------------------------------------------------------------------------------------------


def test_rates_of_codes_by_hand(run: Run) -> None:
    uniform, empirical = rate.of_codes(run, "codes")
    assert uniform.bits == pytest.approx(16 * np.log2(24))
    counts = run.summary.arrays["codes/codes/counts"].reshape(16, 24) / len(trainer.load_data("digits", size=300))
    assert empirical.bits == pytest.approx(-sum(p * np.log2(p) for row in counts for p in row if p > 0))
    assert rate.of_codes(run, "codes") == rate.of_frequencies(run, "codes")


def test_rates_by_a_prior_are_those_of_its_summary(tmp_path: Path) -> None:
    folder = tmp_path / "coded"
    save_coded(folder)
    small = ("--width", 8, "--layers", 1, "--heads", 2, "--steps", 5, "--batch", 32, "--device", "cpu")
    assert call("stage", "code_prior", folder, "--conditional", *small) == 0
    staged, test = run_of(folder), trainer.load_data("digits", "test", size=300)
    with torch.no_grad():
        grids = staged.model.encode(test.batch(torch.arange(len(test))))["codes"]
        nats = [staged.model.stages["code_prior"].log_prob(grids, y) for y in (None, test.labels)]
    bits = {each.name: each.bits for each in rate.of_codes(staged, "codes")}
    assert bits["codes, all alike"] == pytest.approx(16 * np.log2(24))
    assert bits["codes, by the learned prior"] == pytest.approx(-float(nats[0].mean()) / np.log(2), rel=1e-5)
    assert bits["codes, by the prior, class known"] == pytest.approx(-float(nats[1].mean()) / np.log(2), rel=1e-5)
    assert bits["codes, by frequency"] == float(
        trainer.load_summary(folder / "code_prior").arrays["figures/each place alone"]
    )
    (folder / "code_prior" / "summary.npz").unlink()
    with pytest.raises(FileNotFoundError, match="code_prior"):
        rate.of_codes(staged, "codes")


def test_what_no_jpeg_reaches_is_said(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "psnr", lambda x, y: torch.full((len(x),), 90.0))
    found = {each.name: each for each in rate.of_files(run, run.images, 3)}
    assert "does not reach up to quality 95" in found["JPEG"].note and "the decodes have 90.0 dB" in found["JPEG"].note
    pixels = [run.picture(number) for number in range(3)]
    assert found["JPEG"].bits == 8 * np.mean([len(file) for file in rate.jpegs(pixels, 95)[1]])


def test_a_code_length_gives_a_lossless_rate(run: Run) -> None:
    found = rate.of_codes(run, "codes")
    assert rate.lossless(run, found) == []  # a squared distance is the length of nothing
    shape = (1, 8, 8)
    for likelihood, half in (("discretised", False), ("binarised", True)):
        options = VQVAE.Options.read({**vars(run.model.options), "likelihood": likelihood})
        other = Run(run.checkpoint, VQVAE(shape, options), run.summary)
        pixels = float(run.summary.arrays["mean/reconstruction"]) / np.log(2)
        (whole,) = rate.lossless(other, found)
        assert whole.bits == pytest.approx(16 * np.log2(24) + pixels)
        assert ("above ½" in whole.note) == half
        (less,) = rate.lossless(other, [*found, rate.Rate("codes, by the learned prior", 40.0, "")])
        assert less.bits == pytest.approx(40 + pixels) and less.note.startswith("codes, by the learned prior")


def test_files_are_counted_as_they_are_written(run: Run) -> None:
    told: list[float] = []
    found = {each.name: each for each in rate.of_files(run, run.images, 5, told.append)}
    pictures = [run.picture(number)[..., 0] for number in range(5)]
    assert told == sorted(told) and 0 < told[0] < 0.2 and told[-1] == 1
    assert found["PNG"].bits - found["PNG, pixels alone"].bits == 8 * 57
    lengths = []
    for picture in pictures:
        out = io.BytesIO()
        Image.fromarray(picture).save(out, "png", optimize=True)
        lengths.append(8 * len(out.getvalue()))
    assert found["PNG"].bits == pytest.approx(np.mean(lengths))
    assert 0 < found["JPEG, pixels alone"].bits < found["JPEG"].bits


def test_the_frame_of_a_png_is_57_bytes() -> None:
    """The IDAT of one black pixel, compressed, and the rest of the file."""
    file = rate.written(np.zeros((1, 1, 1), np.uint8), "png")
    (length,) = struct.unpack(">I", file[33:37])
    assert file[37:41] == b"IDAT" and len(file) - length == rate.PNG_FRAME


def test_jpeg_has_the_lowest_quality_that_is_as_near(run: Run) -> None:
    found = next(each for each in rate.of_files(run, run.images, 5) if each.name == "JPEG")
    quality = int(found.note.split("quality ")[1].split(":")[0])
    pixels = [run.picture(number) for number in range(5)]
    x = run.images.batch(torch.arange(5))
    with torch.no_grad():
        own = float(trainer.psnr(x, run.model.decode(run.model.encode(x))).mean())
    assert rate.jpegs(pixels, quality)[0] >= own
    assert quality == 1 or rate.jpegs(pixels, quality - 1)[0] < own


def test_scan_bytes_are_what_follows_the_last_header() -> None:
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 1), np.uint8)
    file = rate.written(image, "jpeg", quality=50)
    begin = file.index(b"\xff\xda")
    (length,) = struct.unpack(">H", file[begin + 2 : begin + 4])
    assert rate.scan_bytes(file) == len(file[begin + 2 + length : -2]) > 16


# -- waveforms ---------------------------------------------------------------------------------------------------------


def test_a_waveform_is_decoded_played_and_drawn(line: Run) -> None:
    assert line.is_line and line.latent_title == "a grid of 1 × 64 codes out of 8"
    grid = codes.encode(line, "codes", line.images.batch(torch.tensor([0]))[0].permute(1, 2, 0).numpy())
    wave = waves.of(line, {"codes": grid.flatten().tolist()})
    assert wave.shape == (4096,) and wave.min() >= 0 and wave.max() <= 1
    assert waves.rate_of(line) == 8000
    assert waves.played(np.array([0, 0.5, 1])).tolist() == [-32767, 0, 32767]
    drawn = waves.drawn(np.array([[[255], [128], [0]]], np.uint8))[..., 0]
    assert drawn[0].tolist() == [255, 0, 0] and drawn[-1].tolist() == [0, 0, 255]  # up is loud
    assert drawn[22:26, 1].any() and (drawn.max(0) == 255).all()
    picture = np.zeros((2, 2, 3), np.uint8)
    assert waves.drawn(picture) is picture
    assert codes.boxes(line, "codes")[0][3] == (0, 192, 1, 256)


def test_figures_say_what_they_count(run: Run) -> None:
    counts = run.summary.codes["codes"]
    figure = codebook_figures.usage(counts, 3)
    bars = figure.data[0]
    assert f"{counts.used} of 24 codes in use, {counts.dead} dead" in figure.layout.title.text
    assert figure.layout.yaxis.dtick == 1  # a tick at each power of ten
    assert np.nansum(bars.y) == pytest.approx(100) and list(bars.marker.color).count("#D55E00") == 1
    place = codebook_figures.where(counts, 3, "image")
    assert place.data[0].z.shape == (4, 4) and place.data[0].colorbar.title.text == "% of images"
    assert (place.layout.xaxis.title.text, place.layout.yaxis.title.text) == ("column", "row")
    assert counts.by_class is not None
    table = codebook_figures.by_class(counts, [str(digit) for digit in range(10)]).data[0]
    assert table.z.sum(1) == pytest.approx(100)
    assert np.array_equal(codebook_figures.entropy(counts).data[0].z, counts.entropy)


def test_a_waveform_has_places_and_no_rows(line: Run) -> None:
    place = codebook_figures.where(line.summary.codes["codes"], 3, "waveform")
    assert place.layout.xaxis.title.text == "place" and place.layout.yaxis.visible is False
    assert place.data[0].colorbar.title.text == "% of waveforms"
    assert place.data[0].hovertemplate.startswith("place %{x}: ") and "row" not in place.data[0].hovertemplate


def test_a_learned_prior_gives_samples_of_a_class(run: Run) -> None:
    model = trainer.load(run.checkpoint.path)
    torch.manual_seed(0)
    prior = CodePrior(model, CodePriorOptions(width=8, layers=1, heads=2, conditional=True, classes=10)).eval()
    assert not run.has_prior and "no sample of the model" in run.sample_note and run.known_classes == []
    model.attach("code_prior", prior)
    other = Run(run.checkpoint, model, run.summary)
    assert other.has_prior and other.sample_note == "" and other.prior_title == "the prior"
    assert other.known_classes == [str(digit) for digit in range(10)]
    lengths: list[int] = []
    z = other.sample(3, 20, 0.8, 4, track=lambda loop: lengths.append(len(list(loop))) or loop)
    assert lengths == [16] and z["codes"].shape == (20, 4, 4)  # all images in one batch, place by place
    again = model.sample(20, {"y": torch.full((20,), 4)}, 0.8, torch.Generator().manual_seed(3))
    assert torch.equal(z["codes"], again["codes"])


def test_a_bar_says_how_far_a_loop_is_and_how_long_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[object] = []
    place = SimpleNamespace(progress=lambda share, text: said.append((share, text)), empty=lambda: said.append("gone"))
    clock = iter([10.0, 10.0, 10.25, 12.0, 13.0, 14.0])  # at the start, before each step, and at the end
    monkeypatch.setattr(progress, "st", SimpleNamespace(empty=lambda: place))
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    assert list(progress.shown("Drawing", "places")(iter("abcd"))) == list("abcd")
    assert said == [
        (0.5, "Drawing: 2 of 4 places, 2 s left"),
        (0.75, "Drawing: 3 of 4 places, 1 s left"),
        "gone",
    ]
