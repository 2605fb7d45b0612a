"""A person's own images: folders and .npz files, the awkward ones too."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from test_uploads import ODD_EXIF, png

import trainer
from trainer import data
from trainer.checkpoint import describe
from trainer.commands import run


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LATENT_EXPLORER_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def kept(home: Path) -> list[str]:
    return sorted(path.name for path in home.rglob("*") if path.is_file())


def picture(seed: int, side: int = 12, channels: int = 1) -> np.ndarray:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, channels), np.uint8)
    return pixels[..., 0] if channels == 1 else pixels


def folder_of(path: Path, count: int = 20, classes: tuple[str, ...] = ("cat", "dog"), channels: int = 1) -> Path:
    for number in range(count):
        place = path / (classes[number % len(classes)] if classes else "")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(number, channels=channels)).save(place / f"{number:03}.png")
    return path


def test_a_folder_of_classes(tmp_path: Path, home: Path) -> None:
    path = folder_of(tmp_path / "pets")
    (path / "cat" / ".hidden.png").write_text("not an image")
    (path / "notes.txt").write_text("not an image either")
    train, test = data.load(str(path)), data.load(str(path), "test")
    assert (len(train), len(test), train.shape) == (18, 2, (1, 12, 12))
    assert train.class_names == ("cat", "dog")
    assert train.labels is not None and test.labels is not None
    seen = {}
    for images in (train, test):
        for x, label in zip(images.batch(torch.arange(len(images))), images.labels.tolist(), strict=True):
            seen[(x[0] * 255).round().byte().numpy().tobytes()] = label
    assert seen == {picture(number).tobytes(): number % 2 for number in range(20)}
    assert len(kept(home)) == 1  # one array for both splits
    with pytest.raises(ValueError, match="size=19 does not fit"):
        data.load(str(path), "train", 19)
    assert len(data.load(str(path), "train", 5)) == 5
    Image.fromarray(picture(99)).save(path / "cat" / "000.png")  # a changed file is seen
    assert any((x[0] * 255).round().byte().numpy().tobytes() == picture(99).tobytes() for x in _all(path))
    assert len(kept(home)) == 1  # the array of what it was is gone


def _all(path: Path) -> torch.Tensor:
    sets = [data.load(str(path), split) for split in ("train", "test")]
    return torch.cat([images.batch(torch.arange(len(images))) for images in sets])


def test_a_flat_folder_has_no_classes(tmp_path: Path) -> None:
    images = data.load(str(folder_of(tmp_path / "flat", classes=(), channels=3)))
    assert images.shape == (3, 12, 12)
    assert images.labels is None and images.class_names == ()


def test_modes_and_orientation_of_a_folder(tmp_path: Path) -> None:
    path = folder_of(tmp_path / "mixed", classes=(), count=10)
    wide = np.zeros((12, 12), np.uint8)
    wide[0] = 255  # the top row
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held so that the top is on the right
    Image.fromarray(wide).save(path / "turned.png", exif=exif)
    Image.fromarray(np.rot90(wide)).convert("RGB").save(path / "odd.jpg", quality=100, exif=ODD_EXIF)
    Image.fromarray(wide.astype(np.uint16) * 257).save(path / "deep.png")
    clear = Image.new("RGBA", (12, 12), (255, 0, 0, 0))
    clear.save(path / "clear.png")
    found = _all(path)
    assert found.shape == (14, 3, 12, 12)  # the one with colour makes all of them RGB
    white = [x for x in found if bool((x == 1).all())]
    right = [x for x in found if bool((x[..., -1] == 1).all()) and not bool(x[..., :-1].any())]
    top = [x for x in found if bool((x[..., 0, :] > 0.97).all()) and not bool((x[..., 1:, :] > 0.03).any())]
    assert (len(white), len(right), len(top)) == (1, 1, 2)


def test_what_is_hidden_in_a_folder_is_left_out(tmp_path: Path) -> None:
    path = folder_of(tmp_path / "flat", classes=())
    folder_of(path / ".ipynb_checkpoints", classes=())
    folder_of(path / "more" / ".thumbnails", classes=())
    assert len(_all(path)) == 20


def test_folders_to_train_and_test_on_are_no_classes(tmp_path: Path) -> None:
    path = tmp_path / "pets"
    folder_of(path / "train")
    folder_of(path / "test")
    with pytest.raises(ValueError, match='"pets" holds test and train, which are no classes: choose one of them'):
        data.load(str(path))
    assert data.load(str(path / "train")).class_names == ("cat", "dog")
    (path / "test").rename(path / "val")
    with pytest.raises(ValueError, match='holds train and val, .* such as ".*train"'):
        data.load(str(path))


@pytest.mark.parametrize(("values", "message"), [
    (np.full((12, 12), 200, np.int32), "end at 200 of 65,535, nearly black"),
    (np.full((12, 12), 70_000, np.int32), "run from 70000 to 70000, expected 0 to 65,535"),
    (np.full((12, 12), 200, np.float32), "run from 200 to 200, expected 0 to 1"),
    (np.full((12, 12), np.nan, np.float32), "run from nan to nan"),
])  # fmt: skip
def test_greys_whose_white_is_not_known_are_refused(tmp_path: Path, values: np.ndarray, message: str) -> None:
    path = folder_of(tmp_path / "flat", classes=())
    Image.fromarray(values).save(path / "odd.tif")
    with pytest.raises(ValueError, match=f'image "odd.tif".*{message}'):
        data.load(str(path))


def test_a_png_that_lacks_rows_is_refused(tmp_path: Path) -> None:
    path = folder_of(tmp_path / "flat", classes=())
    rows = b"".join(b"\0" + row.tobytes() for row in picture(0)[:5])
    (path / "short.png").write_bytes(png(12, 12, rows))
    with pytest.raises(ValueError, match='image "short.png".*ends too early'):
        data.load(str(path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: None, "0 images; at least 10"),
        (lambda path: folder_of(path, 1, ()), "has 1 image; at least 10 are needed"),
        (lambda path: _add(folder_of(path, 12, ()), (30, 40)), r"2 sizes.*12×12 \(12\), 40×30 \(1\).*--side 64"),
        (lambda path: _truncate(folder_of(path, 12, ()) / "003.png"), 'image "003.png".*cannot be read.*mend or'),
        (lambda path: _write(folder_of(path, 12, ()) / "zz.png", b"no"), 'image "zz.png".*cannot be read'),
        (lambda path: [_add(path, (200, 150), f"{i}.png") for i in range(10)], "150×200 pixels.*--side 128"),
    ],
    ids=["empty", "one", "sizes", "truncated", "no image", "too large"],
)  # fmt: skip
def test_a_folder_that_cannot_be_trained_on_says_why(tmp_path: Path, home: Path, change: object, message: str) -> None:
    path = tmp_path / "images"
    path.mkdir()
    change(path)  # type: ignore[operator]
    with pytest.raises((ValueError, OSError), match=message):
        data.load(str(path))
    assert kept(home) == []


def _add(path: Path, size: tuple[int, int], name: str = "zzz.png") -> None:
    Image.new("L", size, 128).save(path / name)


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-60])


def test_dark_photographs_stay_dark(tmp_path: Path) -> None:
    (tmp_path / "dark").mkdir()
    for number in range(10):
        Image.fromarray(np.eye(12, dtype=np.uint8)).save(tmp_path / "dark" / f"{number}.png")
    assert float(_all(tmp_path / "dark").max()) == pytest.approx(1 / 255)
    np.savez(tmp_path / "dark.npz", images=np.full((20, 12, 12), 1 / 255))
    assert float(_all(tmp_path / "dark.npz").max()) == pytest.approx(1 / 255)


def test_the_folder_that_one_stands_in_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder_of(tmp_path / "pets"))
    assert data.load(".").name == "pets"
    monkeypatch.chdir(folder_of(tmp_path / "few", 2))
    with pytest.raises(ValueError, match='"few" has 2 images'):
        data.load(".")


def test_side_brings_a_folder_to_one_size(tmp_path: Path) -> None:
    path = folder_of(tmp_path / "mixed", 12, ())
    half = np.zeros((100, 300), np.uint8)
    half[:, 150:] = 200
    Image.fromarray(half).save(path / "wide.png")
    sets = [data.load(str(path), split, side=16) for split in ("train", "test")]
    found = torch.cat([images.batch(torch.arange(len(images))) for images in sets])
    assert found.shape == (13, 1, 16, 16)
    expected = torch.cat([torch.zeros(1, 16, 7), torch.full((1, 16, 7), 200 / 255)], 2)  # but for the soft edge
    wide = [x for x in found if torch.allclose(torch.cat([x[..., :7], x[..., 9:]], 2), expected, atol=0.03)]
    assert len(wide) == 1
    with pytest.raises(ValueError, match="side=16 is for a folder"):
        data.load("digits", side=16)


def test_paths_that_lead_nowhere() -> None:
    with pytest.raises(FileNotFoundError, match='no folder "nowhere/at/all"'):
        data.load("nowhere/at/all")
    with pytest.raises(FileNotFoundError, match='no file "nowhere.npz"'):
        data.load("nowhere.npz")
    assert not data.is_here("nowhere/at/all")
    assert data.is_here("digits")


# ---- .npz


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
    found, expected = _all(path), torch.from_numpy(images > 127 if layout == "bool" else images).float()
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
        ({"images": np.full((20, 12, 12), np.nan, np.float32)}, "expected 0 to 1"),
        ({"images": stack().astype(np.int64)}, "came as int64, expected uint8"),
        ({"images": np.zeros((20, 12, 12, 5), np.uint8)}, r"came as \(20, 12, 12, 5\), expected"),
        ({"images": np.zeros((20, 300, 300), np.uint8)}, "300×300 pixels; sides from 8 to 128"),
        ({"images": stack(), "labels": np.arange(7)}, r"labels.*int64 \(7,\), expected \(20,\)"),
        ({"images": stack(), "labels": np.array([{}] * 20)}, "labels.*cannot be read"),
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


def test_a_full_disk_is_said_before_anything_is_written(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder_of(tmp_path / "pets")
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=0))
    with pytest.raises(OSError, match="GB free"):
        data.load(str(path))
    assert kept(home) == []


def test_a_relative_path_leads_there_from_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder_of(tmp_path / "pets", 40)
    (tmp_path / "checkpoints" / "here").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "checkpoints" / "here")
    run(["train", "pca", "--data", "../../pets", "--out", ".", "--latents", "2"])
    monkeypatch.chdir("/")
    found = describe(tmp_path / "checkpoints" / "here").config
    assert found.data.name == str(path) and len(found.data.load("train")) == 36
    assert (tmp_path / "checkpoints/here/README.md").read_text(encoding="utf-8").startswith("# here\n")
    monkeypatch.setenv("CHECKPOINTS", str(tmp_path / "checkpoints"))
    capsys.readouterr()
    run(["list"])
    assert "pca on pets, " in capsys.readouterr().out


def test_the_command_line_trains_on_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder_of(tmp_path / "pets", 40)
    _add(path / "cat", (30, 40))
    out = tmp_path / "checkpoints" / "pets-vae"
    command = ["train", "vae", "--data", str(path), "--out", str(out), "--steps", "5", "--hidden", "8"]
    with pytest.raises(ValueError, match="--side 64"):
        run(command)
    assert not out.exists()
    run([*command, "--side", "16"])
    found = trainer.Checkpoint(out, describe(out).config)
    assert (found.config.shape, found.config.data.side) == ((1, 16, 16), 16)
    assert found.config.data.class_names == ["cat", "dog"]
    assert len(found.config.data.load("train")) == 37
    assert "A folder of images" in (out / "README.md").read_text(encoding="utf-8")
    assert found.config.data.title == "pets" and found.config.data.name == str(path)
    assert str(tmp_path) not in (out / "README.md").read_text(encoding="utf-8")
    run(["fetch", "digits"])
    assert "digits is here: 1,618 images to train on, 179 images to test on" in capsys.readouterr().out
