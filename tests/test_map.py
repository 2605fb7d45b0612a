"""Maps: what is known of points, how they are chosen, compared and exported, what stands at a place of the plane."""

from __future__ import annotations

import io
import itertools
import json
import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from coded import run_of, save_coded, save_waves
from PIL import Image

import trainer
from explorer import cloud as clouds
from explorer import exports, figures, nearness, projection, query, selection, waves
from explorer import map as canvas
from explorer.atlas import Projected, Shown
from explorer.cloud import Cloud, Column
from explorer.nearness import Plane
from explorer.opened import Run
from explorer.selection_figures import classes, effects


@pytest.fixture(scope="module")
def digits() -> Run:
    return run_of(trainer.root() / "vae-digits")


@pytest.fixture(scope="module")
def train(digits: Run) -> trainer.Images:
    return digits.checkpoint.config.data.load("train")


@pytest.fixture(scope="module")
def some(digits: Run, train: trainer.Images) -> Cloud:
    return clouds.from_images(digits, train, "train", 300, lambda done: None)


def shown(cloud: Cloud, places: np.ndarray | None = None, **more: Any) -> Shown:
    found = projection.pca(cloud.points) if places is None else places
    return Shown(cloud, "points", Projected(found, "PCA", "pca", linear=places is None, **more), "key")


def opened(packet: bytes) -> tuple[dict[str, Any], bytes]:
    (length,) = struct.unpack("<I", packet[:4])
    return json.loads(packet[4 : 4 + length]), packet[4 + length :]


def array(packet: bytes, part: dict[str, Any], kind: Any = np.uint8) -> np.ndarray:
    body = opened(packet)[1]
    size = int(np.prod(part["shape"]))
    return np.frombuffer(body[part["offset"] : part["offset"] + size], kind)


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


# -- selections --------------------------------------------------------------------------------------------------------


def test_inside_a_polygon_that_is_not_convex() -> None:
    horseshoe = np.array([[0, 0], [3, 0], [3, 3], [2, 3], [2, 1], [1, 1], [1, 3], [0, 3]])
    places = np.array([[0.5, 2], [1.5, 2], [2.5, 2], [1.5, 0.5], [4, 0.5], [-1, 0.5], [1.5, 5]])
    assert selection.inside(horseshoe, places).tolist() == [True, False, True, True, False, False, False]
    assert selection.inside(horseshoe[::-1], places).tolist() == selection.inside(horseshoe, places).tolist()
    with pytest.raises(ValueError, match=r"expected finite \(v, 2\)"):
        selection.inside(np.array([[0, np.inf]]), places)


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


COLUMNS = {
    "class": Column("Class", np.array([0, 1, 2, 2, 1]), ("shirt", "T-shirt/top", "rock and roll")),
    "error": Column("Error", np.array([1.0, 2, 3, 4, 4], np.float32), unit="nats"),
    "position x": Column("Position x", np.array([0.0, -1.5, 2, 3, 4], np.float32)),
}


@pytest.mark.parametrize(("text", "rows"), [
    ("class = shirt", [0]),
    ("class = t-shirt/top", [1, 4]),
    ('CLASS = "rock and roll"', [2, 3]),
    ("class != shirt and error < 4", [1, 2]),
    ("error>=3 and not class = t-shirt/top", [2, 3]),
    ("error in top 1 %", [3, 4]),  # two are equally high
    ("error in bottom 40 %", [0, 1]),
    ("position x <= -1.5 or position x > 3", [1, 4]),
    ("error = 1 or class = t-shirt/top and error = 4", [0, 4]),
    ("(error = 1 or class = t-shirt/top) and error = 4", [4]),
    ("not not error = 2", [1]),
])  # fmt: skip
def test_queries(text: str, rows: list[int]) -> None:
    assert np.flatnonzero(query.select(text, COLUMNS)).tolist() == rows


@pytest.mark.parametrize(("text", "sentence"), [
    ("", "A condition is expected, and nothing came"),
    ("eror > 3", "There is no “eror” to choose by. Did you mean “error”?"),
    ("error", "After “error” one of =, !="),
    ("error >", "After “error >” a value is expected"),
    ("error > big", "After “error >” a number is expected, and “big” came"),
    ("error > nan", "a number is expected"),
    ("class = 12", "“class” has no value “12”. There are: shirt"),
    ("class > shirt", "“class” has no order"),
    ("class in top 1 %", "“class” has no order"),
    ("error in 1 %", "“top” or “bottom” is expected"),
    ("error in top 0 %", "more than 0 %"),
    ("error in top 5", "a share is expected"),
    ("(error = 1", "opened and not closed"),
    ("error = 1)", r"“\)” was not expected there"),
    ("error = 1 class = shirt", "number is expected|not expected"),
    ('error = "1', "cannot be read"),
    ("error ! 1", "cannot be read"),
    ("not " * 200 + "error = 1", "characters"),
    ("(" * 40 + "error = 1", "levels deep"),
])  # fmt: skip
def test_a_query_that_cannot_be_read_says_why(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        query.select(text, COLUMNS)


def test_the_highest_share_of_many() -> None:
    column = Column("x", np.random.default_rng(0).permutation(1000).astype(np.float32))
    found = query.select("x in top 1 %", {"x": column})
    assert sorted(column.values[found]) == list(range(990, 1000))


def test_effect_sizes_are_cohens_d() -> None:
    points = np.array([[1.0, 5, 2], [3, 5, 2], [2, 5, 0], [4, 5, 4], [6, 5, 2]])
    chosen = np.array([True, True, False, False, False])
    found = selection.differences(points, chosen)
    pooled = np.sqrt((1 * 2 + 2 * 4) / 3)  # variances 2 and 4
    assert found.effect[0] == pytest.approx((2 - 4) / pooled)
    assert np.isnan(found.effect[1]) and np.isnan(found.low[1])
    assert found.effect[2] == 0 and found.order == [0, 2]


def test_the_interval_is_seeded_and_covers_as_the_normal_one_does() -> None:
    rng = np.random.default_rng(3)
    points = rng.normal(size=(3000, 2)) + 7
    chosen = np.arange(3000) < 1000
    points[chosen, 0] += 0.8
    found = selection.differences(points, chosen, seed=1)
    again = selection.differences(points, chosen, seed=1)
    assert np.array_equal(found.low, again.low)
    assert not np.array_equal(found.low, selection.differences(points, chosen, seed=2).low)
    assert found.low[0] < 0.8 < found.high[0] and found.low[1] < 0 < found.high[1]
    spread = np.sqrt(1 / 1000 + 1 / 2000 + found.effect**2 / 6000)  # Hedges and Olkin 1985
    assert (found.high - found.low) == pytest.approx(2 * 1.96 * spread, rel=0.25)


@pytest.mark.parametrize("count", [0, 1, 9, 10])
def test_too_few_points_are_not_compared(count: int) -> None:
    with pytest.raises(ValueError, match="at least two"):
        selection.differences(np.zeros((10, 2)), np.arange(10) < count)


def test_counts_and_figures() -> None:
    values, chosen = np.array([0, 1, 1, 3]), np.array([True, True, False, False])
    counts = selection.class_counts(values, chosen, 4)
    assert counts.tolist() == [[1, 1], [1, 2], [0, 0], [0, 1]]
    drawn = classes(counts, ["a", "b", "c", "d"])
    assert list(drawn.data[0].x)[:2] == ["a", "b"] and drawn.data[1].y.tolist() == [0, 1, 0, 1]
    points = np.array([[0.0, 0], [1, 1], [5, 0.5], [6, 0.4]])
    found = selection.differences(points, chosen)
    figure = effects(found, ["z0", "z1"])
    assert figure.data[0].x[0] == "z0" and figure.data[0].y[0] == pytest.approx(found.effect[0])
    assert selection.spread_over(np.arange(100), 48)[[0, -1]].tolist() == [0, 99]
    assert len(set(selection.spread_over(np.arange(100), 48))) == 48


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


# -- places ------------------------------------------------------------------------------------------------------------


def test_a_place_of_a_point_is_its_latent() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(50, 4)).astype(np.float32)
    places = projection.pca(points)
    plane = Plane(points, places)
    found, distance = plane.latents(places[[7, 20]].astype(np.float64))
    assert np.allclose(found, points[[7, 20]], atol=1e-3) and np.allclose(distance, 0, atol=1e-6)
    far = plane.latents(np.array([[100.0, 0.0]]))[1]
    assert plane.is_off(far).all() and not plane.is_off(distance).any()
    own = np.sort(np.linalg.norm(places[:, None] - places[None], axis=-1), axis=1)[:, 1]
    assert plane.reach == pytest.approx(np.percentile(own, 99), rel=1e-5)


def test_two_dimensions_are_exact() -> None:
    points = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    plane = Plane(points, points[:, (2, 0)], (2, 0))
    found, _ = plane.latents(np.array([[0.25, -0.5]]))
    assert found[0, 2] == np.float32(0.25) and found[0, 0] == np.float32(-0.5)


def test_the_decode_of_a_place_is_that_of_its_latent(digits: Run, some: Cloud) -> None:
    view = shown(some)
    x, y = view.projected.places[11].tolist()
    asked = canvas.Asked(revision=view.revision, point=11, place=(x, y), view=(x - 2, y - 1, x + 2, y + 1))
    packed = view.peek(asked)
    header, _ = opened(packed)
    decode = digits.decode({"z": torch.from_numpy(some.points[11:12])})[0]
    assert np.abs(array(packed, header["here"]).reshape(8, 8, 1).astype(int) - decode).max() <= 1
    assert np.array_equal(array(packed, header["decode"]), array(packed, header["here"]))
    images = some.pictures(np.array([11]))
    assert images is not None and np.array_equal(array(packed, header["image"]), images.ravel())
    assert header["distance"] == pytest.approx(0, abs=1e-2) and not header["off"]


def test_a_grid_covers_the_view_from_the_top_left(some: Cloud) -> None:
    view = shown(some)
    asked = canvas.Asked(revision=view.revision, point=-1, place=None, view=(-4.0, -1.0, 4.0, 1.0))
    packed = view.grid(asked)
    assert packed is not None and len(packed) <= canvas.GRID_LIMIT + 50_000
    header, _ = opened(packed)
    rows, columns = header["rows"], header["columns"]
    assert columns / rows == pytest.approx(4, rel=0.05) and rows * columns <= 576
    pictures = array(packed, header["pictures"]).reshape(rows * columns, 8, 8, 1)
    place = np.array([[-4 + 8 * 2.5 / columns, 1 - 2 * 1.5 / rows]])  # third cell of the second row
    latents, _ = view.plane.latents(place)
    assert np.abs(pictures[columns + 2].astype(int) - some.decoded(latents)[0]).max() <= 1
    near = np.linalg.norm(some.points - latents, axis=1).min()
    assert header["distances"][columns + 2] == pytest.approx(near, abs=1e-3)
    assert view.grid(asked.model_copy(update={"view": (1.0, 0.0, 1.0, 1.0)})) is None


def test_new_points_go_where_the_projection_puts_them(some: Cloud) -> None:
    view = shown(some)
    between = (some.points[3] + some.points[8])[None] / 2
    places = view.projected.places
    assert np.allclose(view.placed(between)[0], (places[3] + places[8]) / 2, atol=1e-4)  # linear
    axes = Shown(some, "", Projected(some.points[:, (4, 1)], "", "", (4, 1)), "")
    assert axes.placed(between)[0].tolist() == between[0, [4, 1]].tolist()
    by_neighbours = shown(some, places=np.random.default_rng(0).normal(size=(300, 2)).astype(np.float32))
    assert np.allclose(by_neighbours.placed(some.points[5:6])[0], by_neighbours.projected.places[5], atol=1e-3)


def test_neighbours_are_those_of_brute_force(some: Cloud) -> None:
    near = nearness.in_latents(some, some.points[12], 6, own=12)
    distances = np.linalg.norm(some.points - some.points[12], axis=1)
    order = [row for row in np.argsort(distances, kind="stable") if row != 12][:6]
    assert near.rows.tolist() == order and near.distances == pytest.approx(distances[order], rel=1e-4)

    image = some.batch(np.array([12]))
    spread = nearness.spread_of(some, image)
    assert spread is not None and spread.shape == (10,)
    with torch.no_grad():
        _, log_variance = some.run.model.posterior(image)  # type: ignore[operator]
    assert spread == pytest.approx((log_variance[0] / 2).exp().numpy(), rel=0.1)
    scaled = np.linalg.norm((some.points - some.points[12]) / spread, axis=1)
    near = nearness.in_latents(some, some.points[12], 6, spread, own=12)
    assert near.rows.tolist() == [row for row in np.argsort(scaled, kind="stable") if row != 12][:6]
    assert near.distances == pytest.approx(scaled[near.rows], rel=1e-4)

    pixels = np.linalg.norm((some.batch(np.arange(300)) - image).flatten(1).numpy(), axis=1)
    near = nearness.in_pixels(some, image, 6, own=12)
    assert near.rows.tolist() == [row for row in np.argsort(pixels, kind="stable") if row != 12][:6]
    assert near.distances == pytest.approx(pixels[near.rows], rel=1e-5)


def test_a_code_without_a_posterior_has_no_spread() -> None:
    run = run_of(trainer.root() / "pca-digits")
    cloud = clouds.from_images(run, run.images, "test", 4, lambda done: None)
    assert nearness.spread_of(cloud, cloud.batch(np.array([0]))) is None


# -- colours -----------------------------------------------------------------------------------------------------------

CONES = {  # Machado et al. 2009, severity 1
    "full": np.eye(3),
    "protanopia": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                            [-0.003882, -0.048116, 1.051998]]),
    "deuteranopia": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                              [-0.011820, 0.042940, 0.968881]]),
}  # fmt: skip
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)


def linear(colours: Sequence[str]) -> np.ndarray:
    values = np.array([[int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)] for colour in colours])
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


@pytest.mark.parametrize("vision", CONES)
def test_classes_are_told_apart(vision: str) -> None:
    xyz = np.clip(linear(figures.CLASSES) @ CONES[vision].T, 0, 1) @ XYZ.T / np.array([0.95047, 1, 1.08883])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    lab = np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], -1)
    assert len(lab) == 10
    assert min(np.linalg.norm(one - other) for one, other in itertools.combinations(lab, 2)) > 15  # ΔE 1976


def test_classes_are_seen_on_both_themes() -> None:
    bright = linear(figures.CLASSES) @ XYZ[1]
    dark = float((linear(["#0E1117"]) @ XYZ[1])[0])
    assert (1.05 / (bright + 0.05) > 1.7).all() and ((bright + 0.05) / (dark + 0.05) > 2.9).all()
