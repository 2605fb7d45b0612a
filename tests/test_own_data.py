"""A person's own images: folders and .npz files, the awkward ones too."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from own import all_of, folder_of, kept, picture
from PIL import Image
from test_uploads import ODD_EXIF, png

import trainer
from trainer import data
from trainer.card import data_line
from trainer.checkpoint import describe
from trainer.commands import run


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LATENT_EXPLORER_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


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
    assert any((x[0] * 255).round().byte().numpy().tobytes() == picture(99).tobytes() for x in all_of(path))
    assert len(kept(home)) == 1  # the array of what it was is gone


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
    found = all_of(path)
    assert found.shape == (14, 3, 12, 12)  # the one with colour makes all of them RGB
    white = [x for x in found if bool((x == 1).all())]
    right = [x for x in found if bool((x[..., -1] == 1).all()) and not bool(x[..., :-1].any())]
    top = [x for x in found if bool((x[..., 0, :] > 0.97).all()) and not bool((x[..., 1:, :] > 0.03).any())]
    assert (len(white), len(right), len(top)) == (1, 1, 2)


def test_what_is_hidden_in_a_folder_is_left_out(tmp_path: Path) -> None:
    path = folder_of(tmp_path / "flat", classes=())
    folder_of(path / ".ipynb_checkpoints", classes=())
    folder_of(path / "more" / ".thumbnails", classes=())
    assert len(all_of(path)) == 20


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
        (lambda path: _add(folder_of(path, 12, ()), (30, 40)),
         r"2 sizes.*12×12 \(12\), 40×30 \(1\).*: side 64 \(--side 64"),
        (lambda path: _truncate(folder_of(path, 12, ()) / "003.png"), 'image "003.png".*cannot be read.*mend or'),
        (lambda path: _write(folder_of(path, 12, ()) / "zz.png", b"no"), 'image "zz.png".*cannot be read'),
        (lambda path: [_add(path, (200, 150), f"{i}.png") for i in range(10)],
         r"150×200 pixels.*; side 128 \(--side 128"),
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
    assert float(all_of(tmp_path / "dark").max()) == pytest.approx(1 / 255)
    np.savez(tmp_path / "dark.npz", images=np.full((20, 12, 12), 1 / 255))
    assert float(all_of(tmp_path / "dark.npz").max()) == pytest.approx(1 / 255)


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


def test_paths_that_lead_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError, match='no folder "nowhere/at/all"'):
        data.load("nowhere/at/all")
    with pytest.raises(FileNotFoundError, match='no file "nowhere.npz"'):
        data.load("nowhere.npz")
    monkeypatch.chdir(tmp_path)
    np.save("arr.npy", np.zeros((20, 12, 12), np.uint8))
    for name in ("arr.npy", "./arr.npy", str(tmp_path / "arr.npy")):
        with pytest.raises(ValueError, match=r'^"arr.npy" is a file, expected a folder .*, or an .npz file \(np.savez'):
            data.load(name)
    assert not data.is_here("nowhere/at/all")
    assert data.is_here("digits")


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
    assert found.config.data.title == "pets" and found.config.data.name == str(path)
    card = (out / "README.md").read_text(encoding="utf-8")
    assert card.splitlines()[-1] == "Data: `pets`, a person's own: images of 1 × 16 × 16, 2 classes."
    assert str(tmp_path) not in card
    found.config.data.size, found.config.data.class_names = 30, []
    assert data_line(found.config) == "Data: `pets`, a person's own: 30 images of 1 × 16 × 16."
    found.config.shape, found.config.data.rate = (1, 1, 4096), 8000
    assert data_line(found.config).endswith("own: 30 waveforms of 4,096 samples, 8,000 a second.")
    run(["fetch", "digits"])
    assert "digits is here: 1,618 images to train on, 179 images to test on" in capsys.readouterr().out
