"""Maps: what is known of points, what is sent of them, and how they are exported."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from coded import run_of, save_coded, save_waves
from mapped import array, digits_run, opened, shown, some_of
from PIL import Image

import trainer
from explorer import cloud as clouds
from explorer import exports, projection, waves
from explorer import map as canvas
from explorer.cloud import Cloud, Column
from explorer.opened import Run


@pytest.fixture(scope="module")
def digits() -> Run:
    return digits_run()


@pytest.fixture(scope="module")
def train(digits: Run) -> trainer.Images:
    return digits.checkpoint.config.data.load("train")


@pytest.fixture(scope="module")
def some(digits: Run) -> Cloud:
    return some_of(digits)


# -- points ------------------------------------------------------------------------------------------------------------


def test_each_point_has_its_own_terms(digits: Run, train: trainer.Images) -> None:
    told: list[int] = []
    cloud = clouds.from_images(digits, train, "train", 300, told.append)
    assert told == [256, 300] and len(cloud) == 300
    x = train.batch(torch.tensor([7]))
    with torch.no_grad():
        assert np.allclose(cloud.points[7], digits.model.points(digits.model.encode(x))[0], atol=1e-5)
        terms = trainer.total(digits.model.terms(x))
    columns = cloud.columns
    assert list(columns)[:4] == ["class", "error", "KL", "ELBO"]
    assert columns["error"].label == "Reconstruction error (nats)"
    assert np.allclose(columns["ELBO"].values, -columns["error"].values - columns["KL"].values, rtol=1e-5)
    assert columns["KL"].values[7] == pytest.approx(float(terms["kl"]), rel=1e-4)  # which has no noise
    assert columns["class"].levels[columns["class"].values[7]] == str(int(train.labels[7]))
    assert np.array_equal(columns["z3"].values, cloud.points[:, 3])


def test_the_same_images_get_the_same_terms(digits: Run, train: trainer.Images, some: Cloud) -> None:
    again = clouds.from_images(digits, train, "train", 300, lambda done: None)
    assert np.array_equal(again.columns["error"].values, some.columns["error"].values)


def test_the_summary_s_images_have_the_summary_s_points(digits: Run, train: trainer.Images) -> None:
    count = digits.points
    cloud = clouds.from_images(digits, train, "train", count, lambda done: None)
    assert np.array_equal(cloud.points, digits.summary.arrays["points"].astype(np.float32))
    shipped = clouds.from_summary(digits)
    assert np.array_equal(shipped.points, cloud.points) and shipped.images is None
    assert np.array_equal(shipped.columns["class"].values, cloud.columns["class"].values)


def test_without_images_decodes_stand_in(digits: Run) -> None:
    cloud = clouds.from_summary(digits)
    rows = np.array([3, 5])
    assert cloud.pictures(rows) is None
    decodes = cloud.decodes(rows)
    assert decodes is not None and decodes.shape == (2, 8, 8, 1)
    assert np.abs(decodes[1].astype(int) - digits.decode(digits.point(5))[0]).max() <= 1
    with pytest.raises(ValueError, match="digits"):
        cloud.batch(rows)
    thumbnails = cloud.thumbnails(2**21)
    assert thumbnails is not None and np.abs(thumbnails[5].astype(int) - decodes[1]).max() <= 1


def test_thumbnails_are_the_images_and_keep_to_their_bytes(some: Cloud) -> None:
    whole = some.thumbnails(300 * 64)
    own = some.pictures(np.arange(300))
    assert whole is not None and own is not None and np.array_equal(whole, own)
    assert some.thumbnails(300 * 64 - 1) is None  # smaller than 8 × 8 they would show nothing


def test_factors_are_columns_and_the_class_is_not_there_twice() -> None:
    run = run_of(trainer.root() / "beta-vae-sprites")
    images = run.checkpoint.config.data.load("test")
    cloud = clouds.from_images(run, images, "test", 5, lambda done: None)
    assert [name for name in cloud.columns if name not in cloud.dims] == [
        "class", "scale", "orientation", "position x", "position y", "error", "KL", "ELBO"]  # fmt: skip
    levels = images.factors(torch.arange(5))
    assert levels is not None and cloud.columns["position x"].values.tolist() == levels[:, 3].tolist()
    assert cloud.columns["class"].levels == ("square", "ellipse", "heart")


def test_codes_have_points_but_no_place_decodes(tmp_path: Path) -> None:
    run = save_coded(tmp_path / "coded")
    cloud = clouds.from_images(run, run.images, "test", 10, lambda done: None)
    with torch.no_grad():
        points = run.model.points(run.model.encode(run.images.batch(torch.arange(10))))
    assert torch.allclose(torch.from_numpy(cloud.points), points)
    assert not cloud.can_decode and cloud.dims[0] == "p0"
    decodes, (image, _) = cloud.decodes(np.array([2])), run.image(2)
    assert decodes is not None and decodes.shape[1:] == image.shape
    view = shown(cloud)
    asked = canvas.Asked(revision=view.revision, point=2, place=(0.0, 0.0), view=(-1, -1, 1, 1))
    header, _ = opened(view.peek(asked))
    assert header["image"] and header["decode"] and header["here"] is None
    assert view.grid(asked) is None


def test_waveforms_are_drawn(tmp_path: Path) -> None:
    run = save_waves(tmp_path / "waves")
    cloud = clouds.from_images(run, run.images, "test", 2, lambda done: None)
    drawn, decodes = cloud.pictures(np.array([1])), cloud.decodes(np.array([1]))
    assert drawn is not None and decodes is not None and drawn.shape == decodes.shape == (1, 48, 96, 1)
    assert np.array_equal(drawn[0], waves.drawn(trainer.to_bytes(run.images.batch(torch.tensor([1])))[0]))
    thumbnails = cloud.thumbnails(2 * 24 * 48)
    assert thumbnails is not None and thumbnails.shape == (2, 24, 48, 1)


@pytest.mark.parametrize(("images", "offered"), [(0, [0]), (1, [1]), (1_618, [1_618]), (10_000, [2_000, 5_000, 10_000]),
                                                  (600_000, [2_000, 5_000, 10_000, 30_000, 70_000])])  # fmt: skip
def test_counts_end_with_all_images(images: int, offered: Sequence[int]) -> None:
    assert clouds.counts(images) == offered


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_map_of_few_points(digits: Run, train: trainer.Images, count: int) -> None:
    cloud = clouds.from_images(digits, train, "train", count, lambda done: None)
    view = shown(cloud)
    header, _ = opened(canvas.pack_points(
        cloud, view.projected.places, cloud.columns["z0"], key="k", points="p", revision=view.revision,
        thumbnails=cloud.thumbnails(2**20), about="",
    ))  # fmt: skip
    assert header["places"]["shape"] == [8 * count] and header["decodes"] == (count > 0)
    assert (header["amount"] is None) == (count == 0)
    asked = canvas.Asked(revision=view.revision, point=count - 1, place=(0.5, 0.5), view=(-1, -1, 1, 1))
    here = opened(view.peek(asked))[0]["here"]
    assert (here is None) == (count == 0)
    assert (view.grid(asked) is None) == (count == 0)


def test_a_map_of_one_place(digits: Run) -> None:
    points = np.ones((5, 10), np.float32)
    cloud = Cloud(digits, "train", points, np.arange(5), {"z0": Column("z0", points[:, 0])}, None)
    view = shown(cloud)
    assert not view.projected.places.any()
    header, _ = opened(canvas.pack_points(cloud, view.projected.places, cloud.columns["z0"], key="", points="",
                                          revision="", thumbnails=None, about=""))  # fmt: skip
    assert header["classes"] is None and header["labels"] == []
    assert (header["amount"]["low"], header["amount"]["high"]) == (1, 1)
    assert np.allclose(view.plane.latents(np.array([[0.0, 0.0]]))[0], 1)
    assert np.isfinite(view.placed(np.zeros((1, 10)))).all()


# -- the packet --------------------------------------------------------------------------------------------------------


def test_a_packet_holds_points_colours_and_labels(some: Cloud) -> None:
    view = shown(some)
    packed = canvas.pack_points(some, view.projected.places, some.columns["error"], key="k", points="p", revision="r",
                                thumbnails=some.thumbnails(2**20), about="text")  # fmt: skip
    header, _ = opened(packed)
    assert np.array_equal(array(packed, header["places"], np.float32).reshape(-1, 2), view.projected.places)
    assert np.array_equal(array(packed, header["amount"]["values"], np.float32), some.columns["error"].values)
    assert array(packed, header["classes"]["values"], np.uint16).tolist() == some.columns["class"].values.tolist()
    assert array(packed, header["ids"], np.uint32).tolist() == list(range(300))
    label = next(label for label in header["labels"] if label["text"] == "3")
    own = view.projected.places[some.columns["class"].values == 3]
    assert label["place"] == pytest.approx(np.median(own, axis=0).tolist())
    assert header["amount"]["title"] == "Reconstruction error (nats)"


def test_a_scale_is_cut_only_for_strays() -> None:
    even = np.arange(101.0)
    assert canvas._range(even) == {"low": 0, "high": 100, "cut": False}
    assert canvas._range(np.append(even, 10_000)) == {"low": pytest.approx(1.01), "high": pytest.approx(99.99),
                                                      "cut": True}  # fmt: skip


def test_what_is_no_number_does_not_spoil_a_scale() -> None:
    assert canvas._range(np.array([1.0, np.nan, 3])) == {"low": 0, "high": 3, "cut": False}


def test_too_large_a_packet_is_refused(some: Cloud) -> None:
    with pytest.raises(ValueError, match="send smaller thumbnails"):
        canvas.pack_points(some, projection.pca(some.points), None, key="", points="", revision="", about="",
                           thumbnails=np.zeros((300, 100, 100, 1), np.uint8))  # fmt: skip


@pytest.mark.parametrize("raw", [
    {}, {"chosen": 3}, {"chosen": {"revision": "old", "kind": "none", "number": 1}},
    {"chosen": {"revision": "r", "kind": "point", "number": 1, "point": 5}},
    {"chosen": {"revision": "r", "kind": "polygon", "number": 1, "polygon": [[0, float("nan")]]}},
    {"asked": {"revision": "r", "point": 9, "place": None, "view": [0, 0, 1, 1]}},
    {"asked": {"revision": "r", "point": 1, "place": [1], "view": [0, 0, 1, 1]}},
])  # fmt: skip
def test_what_a_browser_cannot_have_meant_is_left_out(raw: dict[str, Any]) -> None:
    assert canvas.read(raw, "r", 5) == canvas.Report(None, None)


def test_what_a_browser_means_is_read() -> None:
    chosen = {"revision": "r", "kind": "point", "number": 1, "point": 4, "hidden": [2]}
    report = canvas.read({"chosen": chosen}, "r", 5)
    assert report.chosen and (report.chosen.point, report.chosen.hidden) == (4, [2])


def test_hidden_classes_are_not_selected(some: Cloud) -> None:
    view = shown(some)
    everywhere = [(-1e3, -1e3), (1e3, -1e3), (1e3, 1e3), (-1e3, 1e3)]
    chosen = canvas.Chosen(revision="r", kind="polygon", number=1, polygon=everywhere, hidden=[3, 4])
    mask = view.selected(chosen)
    assert mask is not None
    assert np.array_equal(mask, ~np.isin(some.columns["class"].values, [3, 4]))
    assert view.selected(chosen.model_copy(update={"polygon": [(1e3, 1e3), (2e3, 1e3), (2e3, 2e3)]})) is None
    point = view.selected(canvas.Chosen(revision="r", kind="point", number=1, point=7))
    assert point is not None and np.flatnonzero(point).tolist() == [7]


def test_the_classes_that_colour_the_map_are_those_of_the_legend(some: Cloud) -> None:
    """A model's guess of the class, beside the class itself: what is hidden belongs to the one that is shown."""
    known = some.columns["class"]
    guessed = replace(known, title="Inferred y", values=(known.values + 1) % 10)
    cloud = replace(some, columns={**some.columns, "inferred_y": guessed})
    view = shown(cloud)
    for name, column in (("class", known), ("inferred_y", guessed), ("error", known)):
        packet = canvas.pack_points(cloud, view.projected.places, cloud.columns[name], key="", points="", revision="",
                                    about="", thumbnails=None)  # fmt: skip
        sent = opened(packet)[0]["classes"]
        assert (sent["name"], sent["title"]) == ("class" if name == "error" else name, column.title)
        assert np.array_equal(array(packet, sent["values"], np.uint16), column.values)
    everywhere = [(-1e3, -1e3), (1e3, -1e3), (1e3, 1e3), (-1e3, 1e3)]
    chosen = canvas.Chosen(
        revision="r", kind="polygon", number=1, polygon=everywhere, hidden=[3, 4], levels="inferred_y"
    )
    mask, nothing = view.selected(chosen), view.selected(chosen.model_copy(update={"levels": "no such column"}))
    assert mask is not None and np.array_equal(mask, ~np.isin(guessed.values, [3, 4]))
    assert nothing is not None and nothing.all()


# -- files -------------------------------------------------------------------------------------------------------------


def test_tables_hold_ids_places_and_latents(some: Cloud) -> None:
    from pyarrow import csv, parquet

    places, rows = projection.pca(some.points), np.array([4, 9])
    text = csv.read_csv(io.BytesIO(exports.csv(some, places, rows)))
    typed = parquet.read_table(io.BytesIO(exports.parquet(some, places, rows)))
    for table in (text, typed):
        assert table["id"].to_pylist() == [4, 9] and table["split"].to_pylist() == ["train", "train"]
        assert table["x"].to_pylist() == pytest.approx(places[rows, 0].tolist(), rel=1e-5)
        assert table["z9"].to_pylist() == pytest.approx(some.points[rows, 9].tolist(), rel=1e-5)
        names = [str(name) for name in table["class"].to_pylist()]
        assert names == [some.columns["class"].levels[some.columns["class"].values[row]] for row in rows]
    assert str(typed.schema.field("z0").type) == "float"


def test_the_projector_s_files_fit_each_other(some: Cloud) -> None:
    rows = np.arange(5)
    with zipfile.ZipFile(io.BytesIO(exports.projector(some, rows))) as archive:
        tensors = np.loadtxt(io.BytesIO(archive.read("tensors.tsv")), delimiter="\t")
        metadata = archive.read("metadata.tsv").decode().splitlines()
        sprite = np.asarray(Image.open(io.BytesIO(archive.read("sprite.png"))))
        config = archive.read("projector_config.pbtxt").decode()
    assert np.allclose(tensors, some.points[rows], rtol=1e-5)
    assert metadata[0].split("\t") == ["id", "class", "error", "KL", "ELBO"] and len(metadata) == 6
    assert sprite.shape == (24, 24)  # three by three of 8 × 8
    pictures = some.pictures(rows)
    assert pictures is not None and np.array_equal(sprite[8:16, 8:16], pictures[4, ..., 0])
    assert not sprite[16:].any()
    for name in ("tensors.tsv", "metadata.tsv", "sprite.png", "single_image_dim: 8"):
        assert name in config
