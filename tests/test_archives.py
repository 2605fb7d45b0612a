"""Published sets: fetched from a stand-in for OpenML on this machine, or read from an archive."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import io
import json
import threading
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from trainer import data
from trainer.data._archive import Archive

ARCHIVE = Archive("tiny", "Tiny", "tiny_784", (1, 8, 8), ("a", "b"), {"train": 30, "test": 12})
COLOUR = Archive("tiny", "Tiny", "tiny_784", (3, 8, 8), ("a", "b"), {"train": 30, "test": 12})


def rows_of(values: int, count: int = 42) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    return generator.integers(0, 256, (count, values)), generator.integers(0, 2, count)


class Stand:
    """What OpenML would answer, from memory; `broken` turns one kind of answer into something else."""

    def __init__(self, rows: np.ndarray, labels: np.ndarray) -> None:
        self.broken = ""
        columns = [f"pixel{number}" for number in range(rows.shape[1])]
        lines = [",".join(map(str, [*row, label])) for row, label in zip(rows.tolist(), labels.tolist(), strict=True)]
        head = [f"@ATTRIBUTE {name} real" for name in columns]
        self.arff = "\n".join(["@RELATION tiny", *head, "@ATTRIBUTE class {0,1}", "@DATA", *lines]).encode()
        no = {"is_target": "false", "is_ignore": "false", "is_row_identifier": "false", "number_of_missing_values": "0"}
        self.features = [
            {"index": str(place), "name": name, "data_type": "numeric", **no} for place, name in enumerate(columns)
        ]
        self.features.append(
            {**no, "index": str(len(columns)), "name": "class", "data_type": "nominal", "is_target": "true"}
        )
        self.count = len(rows)

    def answer(self, path: str, address: str) -> bytes | None:
        if path.startswith("/list/tiny_784"):
            return json.dumps({"data": {"dataset": [{"did": 7, "name": "tiny_784", "status": "active"}]}}).encode()
        if path == "/data/7":
            about = {
                "id": "7", "name": "tiny_784", "version": "1", "format": "ARFF", "description": "", "status": "active",
                "file_id": "7", "url": f"{address}/file/7", "md5_checksum": hashlib.md5(self.arff).hexdigest(),
            }  # fmt: skip
            return json.dumps({"data_set_description": about}).encode()
        if path == "/features/7":
            return json.dumps({"data_features": {"feature": self.features}}).encode()
        if path == "/qualities/7":
            quality = [{"name": "NumberOfInstances", "value": str(self.count)}]
            return json.dumps({"data_qualities": {"quality": quality}}).encode()
        if path == "/file/7" and self.broken != "missing":
            return self.arff[: len(self.arff) // 2] if self.broken == "truncated" else self.arff
        return None


@pytest.fixture
def openml(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Stand]:
    """A server on this machine in place of OpenML, and a home that is empty."""
    stand = Stand(*rows_of(64))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = stand.answer(self.path, address)
            self.send_response(200 if content is not None else 404)
            if content is not None:
                content = gzip.compress(content)
                self.send_header("Content-Encoding", "gzip")
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    places = {"_SEARCH_NAME": "/list/{}", "_DATA_INFO": "/data/{}", "_DATA_FEATURES": "/features/{}"}
    for name, path in {**places, "_DATA_QUALITIES": "/qualities/{}"}.items():
        monkeypatch.setattr(f"sklearn.datasets._openml.{name}", address + path)
    monkeypatch.setattr("sklearn.datasets._openml.time.sleep", lambda seconds: None)
    monkeypatch.setenv("LATENT_EXPLORER_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("LATENT_EXPLORER_DATA", raising=False)
    yield stand
    server.shutdown()
    server.server_close()


def kept(path: Path) -> list[str]:
    return sorted(found.name for found in path.rglob("*") if found.is_file())


def test_a_set_is_fetched_once_and_kept(openml: Stand, tmp_path: Path) -> None:
    assert ARCHIVE.path() is None
    train, test = ARCHIVE.load("train", None), ARCHIVE.load("test", None)
    rows, labels = rows_of(64)
    found = torch.cat([train.batch(torch.arange(30)), test.batch(torch.arange(12))])
    assert torch.equal(found, torch.from_numpy(rows).view(42, 1, 8, 8).float() / 255)  # in the official order
    assert train.labels is not None and test.labels is not None
    assert torch.cat([train.labels, test.labels]).tolist() == labels.tolist()
    assert train.class_names == ("a", "b")
    assert kept(tmp_path) == ["tiny.npz"]
    openml.broken = "missing"
    assert len(ARCHIVE.load("train", 7)) == 7  # nothing is asked a second time
    assert len(ARCHIVE.load("test", 100)) == 10


def test_colour_rows_are_whole_channels_one_after_another(openml: Stand) -> None:
    rows, labels = rows_of(192)
    openml.__init__(rows, labels)  # type: ignore[misc]
    test = COLOUR.load("test", None)
    assert torch.equal(test.batch(torch.arange(12)), torch.from_numpy(rows[30:]).view(12, 3, 8, 8).float() / 255)


@pytest.mark.parametrize("broken", ["missing", "truncated", "fewer rows", "other values", "no server"])
def test_a_failed_fetch_says_what_to_do_and_leaves_nothing(
    openml: Stand, tmp_path: Path, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    openml.broken = broken
    rows, labels = rows_of(64, 41 if broken == "fewer rows" else 42)
    if broken in ("fewer rows", "other values"):
        openml.__init__(rows + (broken == "other values"), labels)  # type: ignore[misc]
    if broken == "no server":
        monkeypatch.setattr("sklearn.datasets._openml._SEARCH_NAME", "http://127.0.0.1:9/{}")
    with pytest.raises(OSError, match=r"Tiny cannot be fetched \(.+\)\. Connect .* LATENT_EXPLORER_DATA .* tiny\.npz"):
        ARCHIVE.load("train", None)
    assert kept(tmp_path) == []


@pytest.mark.parametrize(
    "error", [http.client.IncompleteRead(b""), zlib.error("bad"), gzip.BadGzipFile("bad")], ids=type
)
def test_a_fetch_that_breaks_off_is_a_sentence(local: Path, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object, **more: object) -> None:
        raise error

    monkeypatch.setattr("sklearn.datasets.fetch_openml", broken)
    with pytest.raises(OSError, match=r"Tiny cannot be fetched \(.+\)\. Connect"):
        ARCHIVE.load("train", None)
    assert kept(local) == []


def archive(path: Path, **changed: np.ndarray) -> None:
    rows, labels = rows_of(64)
    images = rows.astype(np.uint8).reshape(-1, 8, 8)
    whole = {"train_images": images[:30], "train_labels": labels[:30], "test_images": images[30:]}
    np.savez_compressed(path, **{**whole, "test_labels": labels[30:], **changed})  # type: ignore[arg-type]


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LATENT_EXPLORER_DATA", str(tmp_path))
    monkeypatch.setenv("LATENT_EXPLORER_HOME", str(tmp_path / "home"))
    return tmp_path


def test_a_local_archive_is_read(local: Path) -> None:
    archive(local / "tiny.npz")
    assert ARCHIVE.path() == local / "tiny.npz"
    test = ARCHIVE.load("test", None)
    assert torch.equal(test.batch(torch.arange(12)), torch.from_numpy(rows_of(64)[0][30:]).view(12, 1, 8, 8) / 255)


def test_an_archive_of_jpeg_streams_is_read(local: Path) -> None:
    streams = []
    for number in range(42):
        out = io.BytesIO()
        Image.new("RGB", (8, 8), (number * 6, 100, 255 - number * 6)).save(out, "jpeg", quality=95)
        streams.append(out.getvalue())
    arrays = {}
    for split, some in (("train", streams[:30]), ("test", streams[30:])):
        arrays[f"{split}_jpeg"] = np.frombuffer(b"".join(some), np.uint8)
        arrays[f"{split}_offsets"] = np.cumsum([0, *map(len, some)])
        arrays[f"{split}_labels"] = np.zeros(len(some), np.int64)
    np.savez(local / "tiny_jpeg.npz", **arrays)
    found = COLOUR.load("test", None).batch(torch.arange(12)).mean((2, 3)) * 255
    expected = torch.tensor([[number * 6.0, 100, 255 - number * 6] for number in range(30, 42)])
    torch.testing.assert_close(found, expected, atol=4, rtol=0)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"train_images": np.zeros((29, 8, 8), np.uint8)}, r"images are uint8 \(29, 8, 8\), not uint8 \(30, 8, 8\)"),
        ({"train_images": np.zeros((30, 8, 8))}, r"images are float64"),
        ({"train_labels": np.full(30, 2)}, "labels are not 30 numbers of 2 classes"),
        ({"train_labels": np.array([{}] * 30)}, "cannot be read"),
    ],
)  # fmt: skip
def test_a_wrong_archive_is_refused(local: Path, changed: dict[str, np.ndarray], message: str) -> None:
    archive(local / "tiny.npz", **changed)
    with pytest.raises(ValueError, match=rf'tiny.npz" is not Tiny; remove it.*{message}'):
        ARCHIVE.load("train", None)


def test_a_damaged_archive_is_refused(local: Path) -> None:
    archive(local / "tiny.npz")
    whole = (local / "tiny.npz").read_bytes()
    flipped = whole[:200] + bytes(255 - byte for byte in whole[200:500]) + whole[500:]  # no deflate stream any more
    for content in (b"", whole[:500], b"no archive", whole[:900] + b"\0" * 300 + whole[1200:], flipped):
        (local / "tiny.npz").write_bytes(content)
        with pytest.raises(ValueError, match="is not Tiny; remove it, and it is fetched again. It cannot be read") as e:
            ARCHIVE.load("train", None)
        assert "pickle" not in str(e.value)


def test_published_sets_are_here_only_as_archives(local: Path) -> None:
    assert not data.is_here("mnist")
    (local / "mnist.npz").touch()
    assert data.is_here("mnist")
    assert data.is_here("photos") and not data.is_here("no such set")


def test_photos_of_the_two_splits_share_no_pixel() -> None:
    from sklearn.datasets import load_sample_images

    train, test = data.load("photos"), data.load("photos", "test")
    assert (len(train), len(test), train.shape, train.class_names) == (23_958, 1_300, (3, 32, 32), ("china", "flower"))
    whole = load_sample_images().images[1]
    for images, left in ((train, 0), (test, 512)):
        assert images.labels is not None
        first = int((images.labels == 1).nonzero()[0])
        patch = (images.batch(torch.tensor([first]))[0] * 255).round().byte().permute(1, 2, 0).numpy()
        assert np.array_equal(patch, whole[:32, left : left + 32])
    last = (train.batch(torch.tensor([len(train) - 1]))[0] * 255).round().byte().permute(1, 2, 0).numpy()
    assert np.array_equal(last, whole[392:424, 480:512])  # its right edge is where the test patches begin
