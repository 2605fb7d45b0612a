"""What the explorer's plain functions promise: what fits into a message, what is decoded, kept and handed out."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from large import ACTIVE, DIMS, save_large

import trainer
from explorer import budget, geometry, keepsakes, live, samples
from explorer.opened import Run
from explorer.view import Kept, View
from trainer import checkpoint


def run_of(folder: Path) -> Run:
    return Run(checkpoint.describe(folder), trainer.load(folder), trainer.load_summary(folder))


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("checkpoints") / "large"
    save_large(folder)
    return run_of(folder)


@pytest.fixture(scope="module")
def digits() -> Run:
    return run_of(trainer.root() / "vae-digits")


def zero(run: Run) -> dict[str, list[float]]:
    return {name: [0.0] * part.dims for name, part in run.model.space.items()}


def decoded(run: Run, **moved: float) -> np.ndarray:
    """The picture of the mean with dimensions moved, decoded alone."""
    z = torch.zeros(1, run.model.space["z"].dims)
    for dim, value in moved.items():
        z[0, int(dim[1:])] = value
    return run.decode({"z": z})[0]


def assert_near(one: np.ndarray, other: np.ndarray) -> None:
    assert one.shape == other.shape
    assert np.abs(one.astype(int) - other.astype(int)).max() <= 1  # a batch rounds differently


def header_of(payload: bytes) -> dict[str, Any]:
    (length,) = struct.unpack("<I", payload[:4])
    head: dict[str, Any] = json.loads(payload[4 : 4 + length])
    return head


def test_small_images_send_all_frames(digits: Run) -> None:
    view = View(digits, zero(digits))
    axes = view.axes({})
    assert all(axis.strip is None and axis.frames is not None for axis in axes)
    first = axes[0]
    assert first.frames is not None and len(first.frames) == len(first.stops) == 41
    assert_near(first.frames[30], decoded(digits, **{first.label: first.stops[30]}))


@pytest.mark.parametrize("wanted", ["", "z/3", f"z/{DIMS - 1}"])
def test_large_images_send_the_wanted_frames_and_every_row(large: Run, wanted: str) -> None:
    view = View(large, zero(large))
    axes = view.axes({}, wanted)
    assert {axis.id for axis in axes if axis.frames is not None} == {wanted or "z/0"}
    assert [axis.strip is not None for axis in axes] == [True] * ACTIVE + [False] * (DIMS - ACTIVE)
    assert {len(axis.stops) for axis in axes} == {21}  # whatever is wanted, a slider stays as it is
    moved = next(axis for axis in axes if axis.frames is not None)
    assert moved.frames is not None
    assert_near(moved.frames[18], decoded(large, **{moved.label: moved.stops[18]}))
    payload = live.pack(axes, view.picture, revision=0, unit="", original=view.picture)
    assert len(payload) < live.LIMIT + 10_000  # the header


def test_a_row_is_the_mean_of_the_pixels_of_its_pictures(large: Run) -> None:
    strip = View(large, zero(large)).axes({})[2].strip
    assert strip is not None
    picture = decoded(large, z2=3.0)
    by = -(-128 // strip.shape[1])
    mean = picture[:by, :by].mean((0, 1))
    assert np.abs(strip[-1, 0, 0] - mean).max() <= 2


def test_what_was_decoded_is_kept_for_the_next_view(digits: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: Kept = {}
    View(digits, zero(digits), kept).axes({})
    calls: list[int] = []
    decode = Run.decode

    def counted(self: Run, z: trainer.Latent) -> np.ndarray:
        calls.append(len(z["z"]))
        return decode(self, z)

    monkeypatch.setattr(Run, "decode", counted)
    moved = zero(digits)
    moved["z"][6] = 1.5
    fresh, again = View(digits, moved, {}).axes({}), View(digits, moved, kept).axes({})
    assert calls == [1, *[41] * 10, 1, *[41] * 9]  # the row of what was moved is as it was
    for one, other in zip(fresh, again, strict=True):
        assert one.frames is not None and other.frames is not None
        assert np.array_equal(one.frames, other.frames)
    assert len(kept) == 10


@pytest.mark.parametrize(("frame", "stops"), [(64, 41), (64 * 64 * 3, 41), (128 * 128 * 3, 21), (512 * 512 * 3, 11)])
def test_stops_go_by_the_size_of_a_frame(frame: int, stops: int) -> None:
    assert budget.stops_within(live.LIMIT // 2, frame) == stops
    columns = geometry.columns(stops)
    assert len(columns) == 11
    assert geometry.stops(stops)[[columns[0], columns[5], columns[-1]]].tolist() == [-3, 0, 3]


def test_pictures_are_divided_until_they_fit() -> None:
    assert trainer.divisor((9, 6, 3), 4, 4 * 9 * 6 * 3) == 1
    assert trainer.divisor((9, 6, 3), 4, 4 * 9 * 6 * 3 - 1) == 2
    assert trainer.divisor((9, 6, 3), 4, 4 * 5 * 3 * 3 - 1) == 3  # sides are rounded up
    assert trainer.divisor((9, 6, 3), 4, 11) is None
    images = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4, 1) * 4
    assert trainer.reduced(images, 2)[0, :, :, 0].tolist() == [[10, 18], [34, 42]]
    colour = np.repeat(images, 3, axis=3)
    assert np.array_equal(trainer.reduced(colour, 2)[..., 1:2], trainer.reduced(images, 2))


def test_more_than_a_message_holds_is_refused() -> None:
    frames = np.zeros((9, 300, 300, 3), np.uint8)
    axis = live.Axis("z/0", "z0", np.arange(9), 0.0, frames)
    with pytest.raises(ValueError, match="limit 2,097,152; send fewer frames"):
        live.pack([axis], frames[0], revision=0, unit="")
    with pytest.raises(ValueError, match=r"frames of z/0: expected uint8 \(9, 300, 300, 1\)"):
        live.pack([axis], frames[0, ..., :1], revision=0, unit="")


def test_the_sheet_is_a_payload_without_rows(digits: Run) -> None:
    axis = live.Axis("temperature", "Temperature", samples.TEMPERATURES, 1.0, None, home=1.0, nameable=False)
    picture = np.zeros((4, 4, 1), np.uint8)
    head = header_of(live.pack([axis], picture, revision=3, unit="", cells=live.Cells(2, 2, 4, "pick")))
    assert head["axes"][0]["columns"] == []
    assert head["cells"] == {
        "rows": 2, "columns": 2, "count": 4, "help": "pick", "row_names": [], "column_names": [],
    }  # fmt: skip


def test_the_lines_open_the_checkpoint_from_here(
    digits: Run, large: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(large.checkpoint.path.parent)
    lines = View(large, zero(large)).as_python()
    assert 'trainer.load("large")' in lines
    scope: dict[str, Any] = {}
    exec(lines, scope)
    assert_near(trainer.to_bytes(scope["image"])[0], decoded(large))
    assert Path("decoded.png").is_file()
    monkeypatch.chdir(tmp_path)
    assert json.dumps(str(digits.checkpoint.path.resolve())) in View(digits, zero(digits)).as_python()


def test_names_are_kept_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LATENT_EXPLORER_HOME", str(tmp_path))
    keepsakes.keep_name("one", "z/0", "slant")
    keepsakes.keep_name("one", "z/1", "breite ß")
    keepsakes.keep_name("other", "z/0", "width")
    keepsakes.keep_name("one", "z/0", "")
    assert keepsakes.names("one") == {"z/1": "breite ß"}
    assert keepsakes.names("other") == {"z/0": "width"}


@pytest.mark.parametrize("damaged", ["{", "[1]", '{"one": {"z/0": 3}}', "\x00"])
def test_damaged_names_are_set_aside(damaged: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LATENT_EXPLORER_HOME", str(tmp_path))
    (tmp_path / "names.json").write_text(damaged)
    with pytest.raises(ValueError, match="kept as names.unreadable"):
        keepsakes.names("one")
    assert (tmp_path / "names.unreadable").read_text() == damaged
    assert keepsakes.names("one") == {}


def test_one_seed_is_one_noise_at_every_temperature(digits: Run) -> None:
    some = samples.Samples(digits, seed=4, count=16)
    one, double = (np.array(some.latent(t, 5)["z"]) for t in (1.0, 2.0))
    assert np.allclose(double, 2 * one) and np.abs(one).max() > 0.1
    assert some.latent(0.0, 5)["z"] == [0.0] * 10
    images = some.images(1.0)
    assert_near(images[5], decoded(digits, **{f"z{dim}": value for dim, value in enumerate(one)}))
    sheet = some.sheet(images)
    assert np.array_equal(sheet[8:16, 8:16], images[5])  # row 1, column 1
    other = samples.Samples(digits, seed=5, count=16).images(1.0)
    assert not np.array_equal(images, other)


def test_sheets_of_large_images_fit_and_are_smaller_while_they_move(large: Run) -> None:
    assert samples.counts(128 * 128 * 3) == [16]
    assert samples.counts(64) == list(samples.COUNTS)
    some = samples.Samples(large, seed=0, count=16)
    assert some.frames is None
    for done in range(1, len(samples.TEMPERATURES) + 1):
        assert some.decode_next() == done
    frames, sheet = some.frames, some.sheet(some.images(1.0))
    assert frames is not None and sheet.shape == (512, 512, 3)
    assert len(frames) == 21 and frames.shape[1] < 512
    axis = live.Axis("temperature", "Temperature", samples.TEMPERATURES, 1.0, frames)
    assert len(live.pack([axis], sheet, revision=0, unit="")) < live.LIMIT + 10_000


def test_a_cell_counts_in_the_data_that_it_was_seen_in() -> None:
    """The sheet may have become another one while a click was under way."""
    event = live._event({"picked": {"at": 3, "revision": 7}})
    assert event.cell(7, 4) == 3 and event.cell(8, 4) is None and event.cell(7, 3) is None
    assert live._event({}).cell(7, 4) is None
