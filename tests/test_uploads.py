"""Awkward files: each gives the picture that was drawn, or one sentence that says what is wrong."""

from __future__ import annotations

import io
import pickle
import re
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from explorer import uploads

RED, GREEN, BLUE, WHITE = (220, 30, 40), (20, 160, 60), (30, 50, 200), (250, 250, 250)
ART = np.zeros((32, 48, 3), np.uint8)  # four blocks, so that no turn or mirroring leaves it as it was
ART[:16, :32], ART[:16, 32:], ART[16:, :32], ART[16:, 32:] = RED, GREEN, BLUE, WHITE
GREY = np.asarray(Image.fromarray(ART).convert("L"))
RAMP = np.arange(32 * 48, dtype=np.uint16).reshape(32, 48) * 42  # 0 … 64,470
EIGHT_BITS = np.round(RAMP / 257).astype(np.uint8)


def saved(pixels: np.ndarray | Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(out, kind, **options)
    return out.getvalue()


def picture_of(mode: str) -> Image.Image:
    return Image.fromarray(ART).convert(mode)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, rows: bytes, depth: int = 8, colour: int = 0, extra: bytes = b"") -> bytes:
    """A PNG made by hand: colour 0 grey, 2 RGB, 4 grey and alpha, 6 RGBA; `rows` with their filter bytes."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(rows, 9))
    return b"\x89PNG\r\n\x1a\n" + header + extra + pixels + chunk(b"IEND", b"")


def with_extra(extra: bytes) -> bytes:
    return png(48, 32, b"".join(b"\0" + row.tobytes() for row in GREY), extra=extra)


def interlaced(height: int, held: int) -> bytes:
    """GREY as a PNG in Adam7's seven passes, which says it has `height` rows and holds the first `held`."""
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    rows = [b"\0" + row.tobytes() for x, y, dx, dy in passes for row in GREY[:held][y::dy, x::dx]]
    data = bytearray(png(48, height, b"".join(rows)))
    data[28] = 1
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


ZEROS = zlib.compress(bytes(100_000_000), 9)  # 100 kB that unpack to 100 MB


# Orientation 6, and a unit of its resolution that is a single byte, as some programs write it
ODD_EXIF = b"Exif\0\0MM\0*" + struct.pack(">IHHHIHHHHIB3xI", 8, 2, 0x0112, 3, 1, 6, 0, 0x0128, 1, 1, 2, 0)


def turned(orientation: int) -> tuple[np.ndarray, bytes]:
    """ART, and the pixels that a camera stores so that this EXIF orientation brings them upright."""
    stored = {
        1: ART,
        2: ART[:, ::-1],
        3: ART[::-1, ::-1],
        4: ART[::-1],
        5: ART.swapaxes(0, 1),
        6: np.rot90(ART, 1),  # shown by a quarter turn to the right
        7: np.rot90(ART.swapaxes(0, 1), 2),  # mirrored along the other diagonal
        8: np.rot90(ART, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    return np.ascontiguousarray(stored), exif.tobytes()


def oriented(orientation: int, kind: str) -> bytes:
    stored, exif = turned(orientation)
    return saved(stored, kind, exif=exif, **({"quality": 95, "subsampling": 0} if kind == "JPEG" else {}))


def cmyk(transform: int | None = None) -> bytes:
    """A CMYK JPEG with Adobe's marker; with transform 2 its first three channels are read as YCbCr (YCCK)."""
    inverted = Image.fromarray(255 - ART)
    four = inverted if transform is None else inverted.convert("YCbCr")
    inks = np.asarray(four) if transform is None else 255 - np.asarray(four)  # Pillow stores 255 − ink
    four = np.dstack([inks, np.zeros((32, 48), np.uint8)])
    data = saved(Image.fromarray(four, "CMYK"), "JPEG", quality=95)
    marker = data.index(b"Adobe")
    assert data[marker + 11] == 0
    return data if transform is None else data[: marker + 11] + bytes([transform]) + data[marker + 12 :]


def transparent(colour: tuple[int, int, int], mode: str = "RGBA") -> Image.Image:
    """A glyph of one colour with nothing around it."""
    pixels = np.zeros((20, 20, 4), np.uint8)
    pixels[5:15, 8:12] = (*colour, 255)
    return Image.fromarray(pixels).convert(mode)


def glyph(colour: int, paper: int) -> np.ndarray:
    pixels = np.full((20, 20), paper, np.uint8)
    pixels[5:15, 8:12] = colour
    return pixels


def palette_with_transparency() -> bytes:
    image = Image.fromarray(np.where(glyph(1, 0) == 1, 1, 0).astype(np.uint8), "P")
    image.putpalette([255, 0, 255, 10, 10, 10])
    return saved(image, "PNG", transparency=0)


def animated(kind: str, frames: int = 12) -> bytes:
    later = [Image.fromarray(np.roll(ART, 4 * k, axis=1)) for k in range(1, frames)]
    options = {"lossless": True} if kind == "WEBP" else {}
    return saved(Image.fromarray(ART), kind, save_all=True, append_images=later, **options)


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.png", saved(ART, "PNG"))
    return out.getvalue()


def bmp_that_lies() -> bytes:
    data = bytearray(saved(ART, "BMP"))
    data[22:26] = struct.pack("<i", 3000)  # the height
    return bytes(data)


class Wicked:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return (exec, ("raise SystemExit('a pickle was opened')",))


FLOATS = (RAMP / 65_535).astype(np.float32)
WITH_NAN = np.where(RAMP < 100, np.nan, FLOATS).astype(np.float32)
LONG, TALL = np.arange(60_000, dtype=np.uint32).reshape(3, 20_000) % 251, (20_000, 3)

# name, the file, what it should give, by how much it may differ, a word of the remark
RIGHT: list[tuple[str, Callable[[], bytes], np.ndarray, float, str]] = [
    ("rgb.png", lambda: saved(ART, "PNG"), ART, 0, ""),
    ("grey.png", lambda: saved(GREY, "PNG"), GREY, 0, ""),
    ("rgb.bmp", lambda: saved(ART, "BMP"), ART, 0, ""),
    ("grey.bmp", lambda: saved(GREY, "BMP"), GREY, 0, ""),
    ("rgb.tif", lambda: saved(ART, "TIFF"), ART, 0, ""),
    ("lzw.tif", lambda: saved(ART, "TIFF", compression="tiff_lzw"), ART, 0, ""),
    ("deflate.tif", lambda: saved(ART, "TIFF", compression="tiff_adobe_deflate"), ART, 0, ""),
    ("jpeg.tif", lambda: saved(ART, "TIFF", compression="jpeg", quality=95), ART, 60, ""),
    ("fax.tif", lambda: saved(picture_of("1"), "TIFF", compression="group4"), np.array(picture_of("1")) * 255, 0, ""),
    ("rgb.jpg", lambda: saved(ART, "JPEG", quality=95, subsampling=0), ART, 8, ""),
    ("progressive.jpg", lambda: saved(ART, "JPEG", quality=95, subsampling=0, progressive=True), ART, 8, ""),
    ("grey.jpg", lambda: saved(GREY, "JPEG", quality=95), GREY, 4, ""),
    ("phone.jpg", lambda: saved(Image.fromarray(ART), "MPO", quality=95, subsampling=0), ART, 8, ""),
    ("rgb.webp", lambda: saved(ART, "WEBP", lossless=True), ART, 0, ""),
    ("lossy.webp", lambda: saved(ART, "WEBP", quality=95), ART, 60, ""),
    ("four.gif", lambda: saved(ART, "GIF"), ART, 0, ""),
    ("grey.gif", lambda: saved(GREY, "GIF"), GREY, 0, ""),
    ("palette.png", lambda: saved(picture_of("P"), "PNG"), np.array(picture_of("P").convert("RGB")), 0, ""),
    ("palette.bmp", lambda: saved(picture_of("P"), "BMP"), np.array(picture_of("P").convert("RGB")), 0, ""),
    ("one-bit.png", lambda: saved(picture_of("1"), "PNG"), np.array(picture_of("1")) * 255, 0, ""),
    ("one-bit.bmp", lambda: saved(picture_of("1"), "BMP"), np.array(picture_of("1")) * 255, 0, ""),
    ("two-bit.png", lambda: png(4, 1, b"\0\x1b", depth=2), np.array([[0, 85, 170, 255]], np.uint8), 0, ""),
    ("four-bit.png", lambda: png(4, 1, b"\0\x0f\x5a", depth=4), np.array([[0, 255, 85, 170]], np.uint8), 0, ""),
    ("opaque.png", lambda: saved(picture_of("RGBA"), "PNG"), ART, 0, ""),
    ("opaque-grey.png", lambda: saved(picture_of("LA"), "PNG"), GREY, 0, ""),
    ("opaque.webp", lambda: saved(picture_of("RGBA"), "WEBP", lossless=True), ART, 0, ""),
    ("dark-glyph.png", lambda: saved(transparent((9, 9, 9)), "PNG"), glyph(9, 255), 0, "over white"),
    ("light-glyph.png", lambda: saved(transparent((240, 240, 240)), "PNG"), glyph(240, 0), 0, "over black"),
    ("dark-glyph-la.png", lambda: saved(transparent((9, 9, 9), "LA"), "PNG"), glyph(9, 255), 0, "over white"),
    ("glyph.webp", lambda: saved(transparent((9, 9, 9)), "WEBP", lossless=True), glyph(9, 255), 0, "over white"),
    ("glyph.tif", lambda: saved(transparent((9, 9, 9)), "TIFF"), glyph(9, 255), 0, "over white"),
    ("glyph-palette.png", palette_with_transparency, glyph(10, 255), 0, "over white"),
    ("keyed.png", lambda: saved(glyph(9, 77), "PNG", transparency=77), glyph(9, 255), 0, "over white"),
    ("half.png", lambda: png(1, 1, b"\0\0\x80", colour=4), np.array([[127]], np.uint8), 1, "over white"),
    ("sixteen.png", lambda: saved(RAMP, "PNG"), EIGHT_BITS, 0, "16-bit"),
    ("sixteen.tif", lambda: saved(RAMP, "TIFF"), EIGHT_BITS, 0, "16-bit"),
    ("big-endian.tif", lambda: saved(Image.fromarray(RAMP.astype(">u2")), "TIFF"), EIGHT_BITS, 0, "16-bit"),
    (
        "sixteen-rgb.png",
        lambda: png(48, 32, b"".join(b"\0" + (row.astype(">u2") * 257).tobytes() for row in ART), depth=16, colour=2),
        ART,
        0,
        "",
    ),
    ("integers.tif", lambda: saved(RAMP.astype(np.int32), "TIFF"), np.round(RAMP / 64470 * 255), 1, "stretched"),
    ("float.tif", lambda: saved(FLOATS, "TIFF"), EIGHT_BITS, 0, "0 … 1"),
    ("float-wide.tif", lambda: saved(FLOATS * 900 - 50, "TIFF"), np.round(RAMP / 64470 * 255), 1, "from −50 … "),
    ("nan.tif", lambda: saved(WITH_NAN, "TIFF"), np.maximum(EIGHT_BITS, 0), 1, "0 … 1"),
    ("flat.tif", lambda: saved(np.full((5, 5), 7, np.float32), "TIFF"), np.zeros((5, 5)), 0, "stretched"),
    ("cmyk.jpg", cmyk, ART, 12, "CMYK"),
    ("ycck.jpg", lambda: cmyk(2), ART, 12, "CMYK"),
    ("cmyk.tif", lambda: saved(picture_of("CMYK"), "TIFF"), ART, 1, "CMYK"),
    ("ycbcr.tif", lambda: saved(picture_of("YCbCr"), "TIFF"), ART, 3, ""),
    ("named.png", lambda: saved(ART, "JPEG", quality=95, subsampling=0), ART, 8, ""),
    ("named.txt", lambda: saved(ART, "PNG"), ART, 0, ""),
    ("no name", lambda: saved(ART, "GIF"), ART, 0, ""),
    ("one.png", lambda: saved(np.full((1, 1, 3), 77, np.uint8), "PNG"), np.full((1, 1, 3), 77), 0, ""),
    ("one.gif", lambda: saved(np.full((1, 1), 77, np.uint8), "GIF"), np.full((1, 1), 77), 0, ""),
    ("long.png", lambda: saved(LONG.astype(np.uint8), "PNG"), LONG, 0, ""),
    ("interlaced.png", lambda: interlaced(32, 32), GREY, 0, ""),
    ("tall.tif", lambda: saved(LONG.T.astype(np.uint8), "TIFF"), LONG.T, 0, ""),
    ("moving.gif", lambda: animated("GIF"), ART, 0, "first of 12 frames"),
    ("moving.png", lambda: animated("PNG"), ART, 0, "first of 12 frames"),
    ("moving.webp", lambda: animated("WEBP", 5), ART, 0, "first of 5 frames"),
    ("pages.tif", lambda: animated("TIFF", 3), ART, 0, "first of 3 pages"),
    ("text.png", lambda: with_extra(chunk(b"zTXt", b"a\0\0" + zlib.compress(b"hello"))), GREY, 0, ""),
    ("trailing.png", lambda: saved(ART, "PNG") + b"<script>" * 99, ART, 0, ""),
    ("bad-exif.jpg", lambda: saved(ART, "JPEG", quality=95, subsampling=0, exif=b"Exif\0\0MM\0*zzzzzz"), ART, 8, ""),
    ("odd-exif.jpg", lambda: saved(turned(6)[0], "JPEG", quality=95, subsampling=0, exif=ODD_EXIF), ART, 8, "EXIF"),
    *[
        (f"turned-{n}.{kind.lower()}", lambda n=n, kind=kind: oriented(n, kind), ART, 8, "EXIF" if n > 1 else "")
        for kind in ("JPEG", "PNG", "TIFF")
        for n in range(1, 9)
    ],
]

# name, the file, what the sentence must say
WRONG: list[tuple[str, Callable[[], bytes], str]] = [
    ("empty.png", lambda: b"", "empty"),
    ("zeros.png", lambda: bytes(1000), "not a PNG"),
    ("text.png", lambda: b"this is no picture", "not a PNG"),
    ("page.jpg", lambda: b"<!doctype html><script>alert(1)</script>", "not a PNG"),
    ("noise.jpg", lambda: np.random.default_rng(0).bytes(5000), "not a PNG"),
    ("header only.png", lambda: b"\x89PNG\r\n\x1a\n", "damaged"),
    ("drawing.svg", lambda: b'<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG.*PNG"),
    ("drawing.png", lambda: b'\xef\xbb\xbf <?xml version="1.0"?><svg/>', "SVG.*PNG"),
    ("a.pkl", lambda: pickle.dumps(Wicked()), "pickle"),
    ("a.png", lambda: pickle.dumps(ART), "pickle"),
    ("a.pdf", lambda: b"%PDF-1.7\n", "PDF"),
    ("a.zip", zipped, "ZIP"),
    ("a.npy", lambda: b"\x93NUMPY\x01\x00", "NumPy"),
    ("a.heic", lambda: b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
    ("a.ppm", lambda: saved(ART, "PPM"), "not a PNG"),
    ("a.ico", lambda: saved(ART, "ICO"), "not a PNG"),
    ("a.tga", lambda: saved(ART, "TGA"), "not a PNG"),
    ("a.eps", lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a PNG"),
    ("huge.png", lambda: bytes(20_000_001), "20.0 MB, more than 20 MB"),
    ("half.png", lambda: saved(ART, "PNG")[:-40], "too early|damaged"),
    ("half.jpg", lambda: saved(np.tile(ART, (9, 9, 1)), "JPEG")[:2000], "too early"),
    ("half.gif", lambda: saved(np.tile(EIGHT_BITS, (3, 3)), "GIF")[:2000], "too early|damaged"),
    ("half.bmp", lambda: saved(ART, "BMP")[:500], "too early"),
    ("half.tif", lambda: saved(ART, "TIFF")[:300], "too early|damaged"),
    ("half.webp", lambda: saved(ART, "WEBP", lossless=True)[:60], "too early|damaged"),
    ("lies.bmp", bmp_that_lies, "too early"),
    ("lies.png", lambda: png(48, 3000, bytes(49 * 32)), "too early"),
    ("lies-interlaced.png", lambda: interlaced(48, 16), "too early"),
    ("wide.png", lambda: png(20_001, 1, bytes(20_002)), "20,001 × 1 pixels"),
    ("many.png", lambda: png(8_000, 5_001, b"\0"), "8,000 × 5,001 pixels"),
    ("bomb.png", lambda: png(19_000, 19_000, b"\0"), "too large"),
    ("bomb.gif", lambda: b"GIF89a" + struct.pack("<HH", 60_000, 60_000) + saved(ART, "GIF")[10:], "too large"),
    ("zero.png", lambda: png(0, 5, b"\0"), "damaged"),
    ("negative.bmp", lambda: saved(ART, "BMP")[:18] + struct.pack("<i", -48) + saved(ART, "BMP")[22:], "too large"),
    ("text bomb.png", lambda: with_extra(chunk(b"zTXt", b"a\0\0" + ZEROS)), "unpacks"),
    ("international.png", lambda: with_extra(chunk(b"iTXt", b"a\0\1\0\0\0" + ZEROS)), "unpacks"),
    ("profile bomb.png", lambda: with_extra(chunk(b"iCCP", b"a\0\0" + ZEROS)), "unpacks"),
    ("bad sum.png", lambda: with_extra(chunk(b"gAMA", b"\0\0\0\1")[:-1] + b"?"), "damaged"),
    ("nothing.png", lambda: saved(Image.new("RGBA", (9, 9)), "PNG"), "transparent"),
    ("nan.tif", lambda: saved(np.full((4, 4), np.nan, np.float32), "TIFF"), "no finite value"),
]


@pytest.mark.parametrize(("name", "file", "expected", "near", "remark"), RIGHT, ids=[row[0] for row in RIGHT])
def test_gives_the_picture(
    name: str, file: Callable[[], bytes], expected: np.ndarray, near: float, remark: str
) -> None:
    found = uploads.read(file(), name)
    assert found.name == name
    assert found.pixels.dtype == np.uint8 and found.pixels.ndim == 3 and found.pixels.shape[2] in (1, 3)
    wanted = np.asarray(expected, float)
    wanted = wanted[..., None] if wanted.ndim == 2 else wanted
    assert found.pixels.shape[:2] == wanted.shape[:2]
    away = np.abs(found.pixels - wanted)  # grey files that come as RGB are compared in every channel
    assert np.percentile(away, 95) <= near and away.mean() <= max(near / 2, 0)
    assert remark in "; ".join(found.remarks)
    assert bool(remark) == bool(found.remarks)


@pytest.mark.parametrize(("name", "file", "words"), WRONG, ids=[row[0] for row in WRONG])
def test_gives_its_sentence(name: str, file: Callable[[], bytes], words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        uploads.read(file(), name)
    sentence = str(caught.value)
    assert sentence.startswith(f'"{name}" ') and sentence.endswith(".") and "\n" not in sentence
    assert caught.value.__context__ is None or caught.value.__suppress_context__  # no traceback of Pillow behind it


def test_pillows_own_limits_stay() -> None:
    before = Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK
    for _, file, _ in WRONG:
        with pytest.raises(ValueError):  # noqa: PT011
            uploads.read(file(), "x")
    assert before == (Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
def test_a_damaged_byte_gives_a_picture_or_a_sentence(kind: str) -> None:
    rng = np.random.default_rng(1)
    whole = saved(ART, kind)
    for _ in range(150):
        data = bytearray(whole)
        for place in rng.integers(0, len(data), 3):
            data[place] = rng.integers(256)
        assert re.match(r'"x" .*\.$|\d+ × \d+$', outcome(bytes(data)))  # a damaged header may change the size


def outcome(data: bytes) -> str:
    """The size of the picture in a file, or the sentence; any other error is not caught."""
    try:
        height, width, _ = uploads.read(data, "x").pixels.shape
    except ValueError as error:
        return str(error)
    return f"{width} × {height}"


def test_pixels_beyond_the_last_row_are_not_unpacked() -> None:
    rows = b"".join(b"\0" + row.tobytes() for row in GREY)
    bomb = png(48, 32, rows + bytes(100_000_000))
    tracemalloc.start()
    found = uploads.read(bomb, "x")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.array_equal(found.pixels[..., 0], GREY)
    assert peak < 5e6


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\seven.png", "seven.png"),
        ("a\nb\x1b[31m\u202ec.png", "ab[31mc.png"),
        ("x" * 200, "x" * 60),
        ("", "picture"),
        ("dir/", "picture"),
        ("\0\r\n", "picture"),
    ],
)
def test_names_are_safe_to_show(name: str, expected: str) -> None:
    assert uploads.read(saved(GREY, "PNG"), name).name == expected
    with pytest.raises(ValueError, match="is empty") as caught:
        uploads.read(b"", name)
    assert str(caught.value).startswith(f'"{expected}" ')
