"""A person's own images as arrays: .npz files, the awkward ones too."""

from __future__ import annotations

import pickle
import struct
import tracemalloc
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from own import all_of, folder_of, kept, picture
from PIL import Image
from scripts import form_of_a_training
from streamlit.testing.v1 import AppTest

from trainer import data


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LATENT_EXPLORER_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def stack(count: int = 20, channels: int = 1) -> np.ndarray:
    return np.stack([picture(number, channels=channels) for number in range(count)])


@pytest.mark.parametrize("layout", ["n h w", "n h w c", "n c h w", "float", "bool"])
def test_an_npz_of_images(tmp_path: Path, layout: str) -> None:
    path = tmp_path / "own.npz"
    images = stack(channels=1 if layout in ("n h w", "float", "bool") else 3)
    stored = {
        "n c h w": images.transpose(0, 3, 1, 2) if images.ndim == 4 else images,
        "float": (images / 255).astype(np.float32),
        "bool": images > 127,
    }.get(layout, images)
    np.savez_compressed(path, images=stored, labels=np.arange(20) % 3 + 5)
    found, expected = all_of(path), torch.from_numpy(images > 127 if layout == "bool" else images).float()
    expected = expected.permute(0, 3, 1, 2) / 255 if images.ndim == 4 else expected[:, None]
    expected = expected / 255 if images.ndim == 3 and layout != "bool" else expected
    order = torch.cat([data.part_of(20, split, None, "x") for split in ("train", "test")])
    torch.testing.assert_close(found, expected[order])
    train = data.load(str(path))
    assert train.class_names == ("5", "6", "7")  # any numbers may stand for classes
    assert train.labels is not None
    assert train.labels.tolist() == (order[:18] % 3).tolist()


def test_an_npz_with_splits_and_names(tmp_path: Path) -> None:
    path = tmp_path / "own.npz"
    labels = np.arange(20) % 2
    np.savez(path, train_images=stack(), train_labels=labels, test_images=stack(12), test_labels=labels[:12],
             class_names=np.array(["no", "yes"]))  # fmt: skip
    train, test = data.load(str(path)), data.load(str(path), "test")
    assert (len(train), len(test), test.class_names) == (20, 12, ("no", "yes"))
    assert torch.equal(test.batch(torch.arange(12)), torch.from_numpy(stack(12))[:, None].float() / 255)
    assert test.labels is not None and test.labels.tolist() == labels[:12].tolist()


def test_the_layout_of_dsprites(tmp_path: Path) -> None:
    path = tmp_path / "dsprites.npz"
    classes = np.stack([np.zeros(20), *(np.arange(20) % k for k in (3, 6, 4, 5, 2))], 1).astype(np.int64)
    metadata = np.array({"a pickle": "that is never opened"}, dtype=object)
    np.savez_compressed(path, imgs=stack() // 128, latents_classes=classes, metadata=metadata)
    train = data.load(str(path))
    assert train.factor_names == ("shape", "scale", "orientation", "position x", "position y")
    rows = data.part_of(20, "train", None, "x")
    levels = train.factors(torch.arange(18))
    assert levels is not None
    assert levels.tolist() == classes[rows, 1:].tolist()
    assert train.labels is not None and train.labels.tolist() == classes[rows, 1].tolist()
    assert torch.equal(train.batch(torch.arange(18)), torch.from_numpy(stack() // 128)[rows][:, None].float())


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pictures": stack()}, "has the keys pictures; expected images"),
        ({"images": stack(3)}, "has 3 images; at least 10"),
        ({"images": stack().astype(np.float32)}, "floats run from 0 to 25.*expected 0 to 1"),
        ({"images": np.full((20, 12, 12), np.nan, np.float32)}, "holds NaN or infinite values, expected floats"),
        ({"images": np.full((20, 12, 12), np.inf, np.float32)}, "holds NaN or infinite values"),
        ({"images": stack().astype(np.int64)}, "came as int64, expected uint8"),
        ({"images": np.zeros((20, 12, 12, 5), np.uint8)}, r"came as \(20, 12, 12, 5\), expected"),
        ({"images": np.zeros((20, 300, 300), np.uint8)}, "300×300 pixels; sides from 8 to 128"),
        ({"images": stack(), "labels": np.arange(7)}, r"labels.*int64 \(7,\), expected \(20,\)"),
        ({"images": stack(), "labels": np.array([{}] * 20)},
         r"labels of .* holds Python objects, which are never read: save labels.astype\(str\) or labels.astype\(int\)"),
        ({"images": stack(), "labels": np.full(20, 1.5)}, "labels.*holds 1.5, expected whole numbers or texts"),
        ({"images": stack(), "labels": np.full(20, np.nan, np.float16)}, "labels.*holds nan, expected whole numbers"),
        ({"images": stack(), "labels": np.full(20, 1e300)}, r"labels.*holds 1e\+300, expected whole numbers"),
        ({"images": stack(), "labels": np.zeros(20, complex)},
         r"complex128 \(20,\), expected \(20,\) of whole numbers or texts"),
        ({"images": stack(), "labels": np.full(20, b"\xff")}, "names that are no texts in UTF-8"),
        ({"images": stack(), "labels": np.full(20, 2**31, np.uint32).view("U1")}, "names that are no texts"),
        ({"images": stack(), "labels": np.zeros(20, int), "class_names": np.full(100_001, "a")},
         r"class_names.*\(100001,\), expected \(k,\) of texts, k up to 100,000"),
        ({"images": np.array([{}] * 20)}, "images.*came as object"),
        ({"images": stack(), "labels": np.zeros(20, int), "class_names": np.array("cat")}, r"class_names.*\(k,\)"),
        ({"images": stack(), "labels": np.arange(20) % 3 - 1, "class_names": np.array(["a", "b"])},
         'labels of "own.npz" run from -1 to 1, expected 0 to 1'),
        ({"images": stack(), "labels": np.arange(20) % 3, "class_names": np.array(["a", "b"])}, "run from 0 to 2"),
        ({"imgs": stack(), "latents_classes": np.zeros(20, int)}, r'latents_classes of "own.npz".*\(20, 6\)'),
        ({"imgs": stack(), "latents_classes": np.zeros((7, 6), int)}, r'latents_classes of "own.npz".*\(20, 6\)'),
        ({"train_images": stack(), "test_images": np.zeros((20, 16, 16), np.uint8)},
         r'"own.npz" has train_images of 1 × 12 × 12, test_images of 1 × 16 × 16'),
        ({"train_images": stack(), "test_images": stack(channels=3)}, "test_images of 3 × 12 × 12"),
        ({"train_images": stack(), "train_labels": np.zeros(20, int), "test_images": stack(),
          "test_labels": np.zeros(7, int)}, r"test_labels.*int64 \(7,\), expected \(20,\)"),
    ],
)  # fmt: skip
def test_an_npz_that_is_no_such_set_says_why(
    tmp_path: Path, home: Path, arrays: dict[str, np.ndarray], message: str
) -> None:
    path = tmp_path / "own.npz"
    np.savez(path, **arrays)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=message):
        data.load(str(path))
    assert not [name for name in kept(home) if name.startswith(".")]


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (np.arange(20.0) % 3, ("0", "1", "2")),
        ((np.arange(20) % 3).astype(np.float16), ("0", "1", "2")),
        (np.array(["é".encode(), b"cat", b"dog"])[np.arange(20) % 3], ("cat", "dog", "é")),
    ],
    ids=["float64", "float16", "bytes"],
)
def test_labels_that_are_whole_numbers_or_texts_are_classes(
    tmp_path: Path, labels: np.ndarray, names: tuple[str, ...]
) -> None:
    np.savez(tmp_path / "own.npz", images=stack(), labels=labels)
    train = data.load(str(tmp_path / "own.npz"))
    assert train.class_names == names and train.labels is not None
    written = [name.decode() if isinstance(name, bytes) else f"{name:g}" for name in labels.tolist()]
    rows = data.part_of(20, "train", None, "x").tolist()
    assert [names[label] for label in train.labels.tolist()] == [written[row] for row in rows]


def npz_of(path: Path, how: int = zipfile.ZIP_DEFLATED, **members: bytes | np.ndarray) -> str:
    """An .npz file whose members are arrays or any bytes at all."""
    with zipfile.ZipFile(path, "w", how) as archive:
        for key, held in members.items():
            with archive.open(f"{key}.npy", "w") as member:
                member.write(held) if isinstance(held, bytes) else np.save(member, held)
    return str(path)


def said(shape: tuple[int, ...], descr: str = "<i8") -> bytes:
    """The header of an array."""
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header


@contextmanager
def holding_little() -> Iterator[None]:
    """What runs in it holds less than 5 MB at any time."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < 5e6
    finally:
        tracemalloc.stop()


ZEROS = bytes(30_000_000)  # 30 kB in an archive


@pytest.mark.parametrize(
    ("heads", "message"),
    [
        ({"labels": said((10**13,))}, r"labels of .* ends too early: its header says int64 \(10000000000000,\)"),
        ({"labels": said((20,), "<U500000000")}, "labels of .* ends too early"),
        ({"labels": said((len(ZEROS) // 8,))}, r"labels.*int64 \(3750000,\), expected \(20,\)"),
        ({"labels": said((20,), f"<U{len(ZEROS) // 80}")}, "labels of .* takes 0.03 GB, expected 0.01 GB"),
        ({"labels": said((20,), "|O")}, "labels of .* holds Python objects"),
        ({"labels": b"\x93NUMPY\x02\x00" + struct.pack("<I", len(ZEROS))}, "labels of .* cannot be read"),
        ({"labels": said((20,), "|b1") + bytes(20), "class_names": said((len(ZEROS) // 4,), "<U1")}, "k up to 100,000"),
        ({"labels": said((-1,))}, r"labels of .* cannot be read: its header says \(-1,\)"),
        ({"images": said((10**13, 8, 8), "|u1")}, "images of .* ends too early"),
        ({"images": said((2**58, 8, 8), "|u1")}, "images of .* ends too early"),
        ({"images": said((len(ZEROS), 1, 1), "|u1")}, "1×1 pixels; sides from"),
    ],
    ids=[
        "labels", "texts", "many labels", "long texts", "objects", "header", "names", "negative", "images", "overflow",
        "sides",
    ],
)  # fmt: skip
def test_no_more_is_read_than_the_header_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, heads: dict[str, bytes], message: str
) -> None:
    path = npz_of(tmp_path / "own.npz", **{"images": stack(), **{key: head + ZEROS for key, head in heads.items()}})
    monkeypatch.setattr("trainer.data._member.HELD", 10_000_000)
    with holding_little(), pytest.raises(ValueError, match=message):
        data.load(path)


def test_the_form_says_what_is_wrong_with_a_file(tmp_path: Path, places: Path) -> None:
    np.save(tmp_path / "arr.npy", stack())
    Image.new("L", (30, 40)).save(folder_of(tmp_path / "pets") / "cat" / "zzz.png")
    npz_of(tmp_path / "own.npz", images=stack(), labels=said((10**13,)))
    page = AppTest.from_function(form_of_a_training, default_timeout=60)
    page.session_state["train/data"] = "a folder or file of yours"
    wrong = {"own.npz": "labels of", "arr.npy": "is a file, expected a folder", "pets": "side 64 "}
    for name, sentence in wrong.items():
        page.session_state["train/path"] = str(tmp_path / name)
        page.run()
        assert not page.exception and sentence in page.error[0].value


def test_what_follows_the_images_is_not_unpacked(tmp_path: Path) -> None:
    path = npz_of(tmp_path / "own.npz", images=said((20, 12, 12), "|u1") + stack().tobytes() + ZEROS)
    with holding_little():
        found = all_of(Path(path))
    assert found.sum() == pytest.approx(stack().sum() / 255, rel=1e-4)


def test_what_unpacks_without_a_limit_is_refused(tmp_path: Path) -> None:
    path = npz_of(tmp_path / "own.npz", zipfile.ZIP_BZIP2, images=stack(), labels=bytes(100))
    with pytest.raises(ValueError, match=r"images of .* in another way than np.savez_compressed"):
        data.load(path)


def test_a_set_that_memory_does_not_hold_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise MemoryError

    path = npz_of(tmp_path / "own.npz", images=stack(), labels=np.zeros(20, int))
    monkeypatch.setattr("trainer.data._npz.array", full)
    with pytest.raises(OSError, match='not enough memory for data set "own.npz"'):
        data.load(path)


def test_a_truncated_npz_and_a_liar(tmp_path: Path, home: Path) -> None:
    path = tmp_path / "own.npz"
    np.savez_compressed(path, images=stack())
    whole = path.read_bytes()
    for content in (whole[:100], b"", b"PK\x03\x04 no archive", whole[:600] + b"\0" * 200 + whole[800:]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r'"own.npz"|own.npz" is damaged'):
            data.load(str(path))
    assert kept(home) == []


@pytest.mark.parametrize("kind", ["array", "text", "pickle", "deflate", "member", "no magic", "labels"])
def test_what_is_called_npz_and_is_none_is_a_sentence(tmp_path: Path, home: Path, kind: str) -> None:
    path = tmp_path / "own.npz"
    if kind == "array":
        with path.open("wb") as file:
            np.save(file, stack())
    elif kind in ("text", "pickle"):
        path.write_bytes(b"plain words" if kind == "text" else pickle.dumps([1, 2, 3]))
    elif kind == "deflate":
        np.savez_compressed(path, images=stack())
        with zipfile.ZipFile(path) as archive:
            start = archive.getinfo("images.npy").header_offset + 80
        whole = path.read_bytes()
        path.write_bytes(
            whole[:start] + bytes(255 - byte for byte in whole[start : start + 400]) + whole[start + 400 :]
        )
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr({"member": "images", "no magic": "images.npy", "labels": "labels"}[kind], b"plain words")
            if kind == "labels":
                with archive.open("images.npy", "w") as member:
                    np.save(member, stack())
    with pytest.raises(ValueError, match="own.npz") as raised:
        data.load(str(path))
    assert "allow_pickle" not in str(raised.value)
    assert not [name for name in kept(home) if name.startswith(".")]
