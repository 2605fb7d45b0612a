"""A folder of images of a person's own: one subfolder per class, or flat."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from tqdm import tqdm

from trainer.data import Images, Split, part_of
from trainer.data._mapped import LARGEST, check, mapped
from trainer.data._picture import orientation, png_is_whole, upright

KINDS = {".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"}
FORMATS = ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"]
TURNED = (5, 6, 7, 8)  # EXIF orientations that swap the sides
GREY = {"1", "L", "LA", "I;16", "I", "F"}
SPLITS = {"train", "training", "test", "testing", "val", "valid", "validation"}  # folders that are no classes


def load(path: Path, split: Split, size: int | None, side: int | None) -> Images:
    """Nine tenths to train on, one tenth to test on; (n, 1 or 3, h, w). Read once, kept as one array.

    `side` crops and resizes every image to side × side; without it all must have one size. Transparent pixels become
    white. Raises ValueError, or OSError, that says what to do, for what is no such folder.
    """
    if path.is_file():
        raise ValueError(
            f'"{path.name}" is a file, expected a folder of images or WAV files, or an .npz file '
            '(np.savez("set.npz", images=...) writes one)'
        )
    if not path.is_dir():
        raise FileNotFoundError(f'there is no folder "{path}"')
    path = path.resolve()  # "." has no name
    files, labels, class_names = listing(path, KINDS)
    key = [(str(file.relative_to(path)), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    check(path.name, len(files), (side or LARGEST,) * 2)
    shape = _common_shape(path, files, side)
    pixels = mapped((str(path), side), key, (len(files), *shape), _read(files, shape), path.name, binary=False)
    rows = part_of(len(files), split, size, path.name)
    known = torch.tensor(labels)[rows] if class_names else None
    return Images(path.name, pixels, known, class_names, rows=rows)


def listing(path: Path, kinds: set[str]) -> tuple[list[Path], list[int], list[str]]:
    """The files of these kinds in a fixed order, with the number of each one's class and the names of the classes.

    With two or more subfolders that hold such files, those are the classes, and files beside them do not count. What
    is hidden, by a dot, is left out. Raises ValueError where the subfolders are parts to train and test on.
    """

    def files_of(folder: Path) -> list[Path]:
        found = (file for file in folder.rglob("*") if file.suffix.lower() in kinds)
        seen = (file for file in found if not any(part.startswith(".") for part in file.relative_to(path).parts))
        return sorted(file for file in seen if file.is_file())

    folders = sorted(folder for folder in path.iterdir() if folder.is_dir())
    classes = [(folder.name, found) for folder in folders if (found := files_of(folder))]
    if len(classes) < 2:
        return files_of(path), [], []
    names = [name for name, _ in classes]
    if SPLITS.issuperset(name.lower() for name in names):
        largest = min(names, key=lambda name: not name.lower().startswith("train"))
        raise ValueError(
            f'"{path.name}" holds {" and ".join(names)}, which are no classes: choose one of them, such as '
            f'"{path / largest}"; of it a tenth is kept to test on'
        )
    files = [file for _, found in classes for file in found]
    labels = [number for number, (_, found) in enumerate(classes) for _ in found]
    return files, labels, names


def _common_shape(path: Path, files: list[Path], side: int | None) -> tuple[int, int, int]:
    """(c, h, w) of all images, from their headers; three channels where any has colour."""
    sizes: Counter[tuple[int, int]] = Counter()
    grey = True
    for file in tqdm(files, desc=f"looking at {path.name}", unit=" images", leave=False, disable=None):
        with _open(file) as image:
            turned = "exif" in image.info and orientation(image) in TURNED  # without decoding the pixels
            sizes[(image.width, image.height) if turned else (image.height, image.width)] += 1
            grey = grey and image.mode in GREY
    channels = 1 if grey else 3
    if side is not None:
        return channels, side, side
    if len(sizes) > 1:
        found = ", ".join(f"{h}×{w} ({count:,})" for (h, w), count in sizes.most_common(3))
        more = ", …" if len(sizes) > 3 else ""
        raise ValueError(
            f'"{path.name}" holds images of {len(sizes):,} sizes, height × width: {found}{more}. Bring them to one '
            f"size: {_side(64)} crops and resizes each to 64×64"
        )
    (h, w), _ = sizes.most_common(1)[0]
    check(path.name, len(files), (h, w), remedy=f"; {_side(LARGEST)} brings each to {LARGEST}×{LARGEST}")
    return channels, h, w


def _side(pixels: int) -> str:
    """The option as a form and as the command line have it."""
    return f"side {pixels} (--side {pixels} on the command line)"


def _read(files: list[Path], shape: tuple[int, int, int]) -> Iterator[np.ndarray]:
    """(1, c, h, w) uint8 for each file."""
    for file in files:
        with _open(file) as opened:
            try:
                opened.load()
                if opened.format == "PNG" and not png_is_whole(file.read_bytes()):
                    raise ValueError("it ends too early")
                image = _plain(upright(opened), shape[0])
            except Exception as error:  # Pillow's decoders raise many kinds on a broken file
                raise _unreadable(file, error) from None
        fitted = ImageOps.fit(image, shape[:0:-1], Image.Resampling.LANCZOS)
        yield np.asarray(fitted).reshape(1, *shape[1:], shape[0]).transpose(0, 3, 1, 2)


def _plain(image: Image.Image, channels: int) -> Image.Image:
    """Grey or RGB with 8 bits, over white."""
    if image.mode.startswith("I") or image.mode == "F":
        image = _grey(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("L" if channels == 1 else "RGB")


def _grey(image: Image.Image) -> Image.Image:
    """Grey of 16 or 32 bits, or of floating point numbers in [0, 1], with 8 bits. Raises ValueError where the values
    are none of these: what is white among them, one image does not tell.
    """
    values = np.asarray(image)
    low, high, white = values.min(), values.max(), 1 if image.mode == "F" else 65_535
    if not (low >= 0 and high <= white):
        raise ValueError(f"its greys run from {low:g} to {high:g}, expected 0 to {white:,}: save it with 8 bits")
    if image.mode == "I" and 0 < high < 256:
        raise ValueError(f"its greys of 32 bits end at {high:,} of {white:,}, nearly black: save it with 8 bits")
    return Image.fromarray((values * (255 / white)).round().astype(np.uint8))


def _open(file: Path) -> Image.Image:
    try:
        return Image.open(file, formats=FORMATS)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise _unreadable(file, error) from None


def _unreadable(file: Path, error: Exception) -> ValueError:
    return ValueError(f'the image "{file.name}" in {file.parent} cannot be read ({error}): mend or remove it')
