"""An uploaded file -> upright pixels, or one sentence that says what is wrong with it.

Uploads are hostile until decoded. What a file is, its content says, never its name. Its size, its kind and its
dimensions are checked before a pixel is decoded, and Pillow's own limits stay as they are.
"""

from __future__ import annotations

import io
import struct
import unicodedata
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError

import trainer

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
BYTES, SIDE, PIXELS = 20_000_000, 20_000, 40_000_000  # of one file
COUNTED = 200_000  # bytes up to which the frames of a file are counted: that reads all of it
KINDS = {  # how other files begin -> what they are and what a person can do
    b"\x80": "is a Python pickle, which is never opened: export the image itself as PNG",
    b"%PDF": "is a PDF: save the page as PNG or JPEG",
    b"PK": "is a ZIP archive: unpack it and choose one image",
    b"<svg": "is an SVG drawing: export it as PNG",
    b"<?xml": "is XML, perhaps an SVG drawing: export it as PNG",
    b"\x93NUMPY": "is a NumPy array: save it as PNG",
}
SIGNATURES = (b"\x89PNG", b"\xff\xd8\xff", b"RIFF", b"GIF8", b"BM", b"II*\0", b"MM\0*")  # of the six formats
DAMAGED = "is damaged and cannot be decoded: save it again or choose another file"
TRUNCATED = "ends too early (truncated): copy or download it again"
TURNS = {  # EXIF orientation -> what was done
    2: "mirrored",
    3: "rotated by 180°",
    4: "flipped top to bottom",
    5: "rotated and mirrored",
    6: "rotated by 90° to the right",
    7: "rotated and mirrored",
    8: "rotated by 90° to the left",
}


@dataclass(frozen=True)
class Picture:
    """Pixels (h, w, c) uint8, c = 1 (grey) or 3 (RGB), upright and opaque; the remarks say what was done to them."""

    name: str  # safe to show
    pixels: np.ndarray
    remarks: tuple[str, ...] = ()


def read(data: bytes, name: str) -> Picture:
    """The picture in a PNG, JPEG, WebP, GIF, BMP or TIFF file; of several frames, the first.

    Raises ValueError with one sentence that names the file, says what is wrong and what to do.
    """
    name = shown(name)
    if not data:
        raise ValueError(f'"{name}" is empty (0 bytes): choose another file.')
    if len(data) > BYTES:
        raise ValueError(f'"{name}" has {len(data) / 1e6:.1f} MB, more than {BYTES / 1e6:.0f} MB: save it smaller.')
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _check_size(image.width, image.height)
            return _decoded(image, name, data)
    except UnidentifiedImageError:
        raise ValueError(f'"{name}" {_kind(data)}.') from None
    except Image.DecompressionBombError:
        raise ValueError(f'"{name}" {_too_large("by its header")}.') from None
    except _Refused as error:
        raise ValueError(f'"{name}" {error}.') from None
    except Exception as error:  # Pillow's decoders raise many kinds on a broken file, and none may reach the page
        raise ValueError(f'"{name}" {_damage(error)}.') from None


def shown(name: str) -> str:
    """The base name of an uploaded file, without control characters, at most 60 characters."""
    base = name.replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(c for c in base if unicodedata.category(c)[0] != "C").strip()[:60] or "picture"


class _Refused(ValueError):
    """What is wrong, as the second half of a sentence."""


def _check_size(width: int, height: int) -> None:
    if min(width, height) < 1:
        raise _Refused(f"says that it has {width} × {height} pixels: it is damaged, save it again")
    if max(width, height) > SIDE or width * height > PIXELS:
        raise _Refused(_too_large(f"{width:,} × {height:,} pixels"))


def _too_large(what: str) -> str:
    return f"is too large ({what}): at most {SIDE:,} a side and {PIXELS // 1_000_000} million, so save it smaller"


def _kind(data: bytes) -> str:
    start = data[:200].lstrip(b"\xef\xbb\xbf \t\r\n")
    if data[4:8] == b"ftyp":
        return "is a HEIC or AVIF photo or a video: save it as JPEG or PNG"
    if data.startswith(SIGNATURES):
        return DAMAGED
    for magic, kind in KINDS.items():
        if start.startswith(magic):
            return kind
    return "is not a PNG, JPEG, WebP, GIF, BMP or TIFF image, whatever its name says: choose another file"


def _damage(error: Exception) -> str:
    text = str(error)
    if "ecompressed" in text or "MAX_TEXT" in text:
        return "holds text or a colour profile that unpacks to far more than it should: save it again without metadata"
    if "truncated" in text or "not enough" in text or isinstance(error, EOFError | struct.error):
        return TRUNCATED
    return DAMAGED


def _decoded(image: Image.Image, name: str, data: bytes) -> Picture:
    remarks = _frames(image, len(data))
    orientation = trainer.orientation(image)
    image.load()
    if image.format == "PNG" and not trainer.png_is_whole(data):
        raise _Refused(TRUNCATED)
    upright = trainer.upright(image)
    if orientation in TURNS:
        remarks.append(f"{TURNS[orientation]}, as its EXIF says")
    _check_size(upright.width, upright.height)
    opaque, more = _opaque(upright)
    pixels = np.array(opaque)
    return Picture(name, pixels[..., None] if pixels.ndim == 2 else pixels, tuple(remarks + more))


def _frames(image: Image.Image, size: int) -> list[str]:
    if image.format == "MPO" or not getattr(image, "is_animated", False):  # MPO: a phone's JPEG with its preview
        return []
    counted = size <= COUNTED or image.format in ("PNG", "WEBP")  # whose headers say how many
    frames = f"{getattr(image, 'n_frames', 1):,}" if counted else "several"
    image.seek(0)
    return [f"the first of {frames} {'pages' if image.format == 'TIFF' else 'frames'}"]


def _opaque(image: Image.Image) -> tuple[Image.Image, list[str]]:
    """Any mode -> L or RGB, and what was done."""
    if image.mode.startswith("I") or image.mode == "F":
        return _scaled(image)
    if image.has_transparency_data:
        return _flattened(image)
    if image.mode in ("1", "L"):
        return image.convert("L"), []
    if image.mode == "CMYK":
        return image.convert("RGB"), ["CMYK turned to RGB without its colour profile"]
    return image.convert("RGB"), []


def _scaled(image: Image.Image) -> tuple[Image.Image, list[str]]:
    """16-bit, 32-bit and float grey -> 8-bit grey."""
    values: np.ndarray = np.array(image, np.float32)
    finite = np.isfinite(values)
    if not finite.any():
        raise _Refused("has no finite value: choose another file")
    low, high = float(values[finite].min()), float(values[finite].max())
    values = np.where(finite, values, low)
    if image.mode.startswith("I;16"):
        values, remark = values / 65_535, "16-bit scaled to 8 bits"
    elif image.mode == "F" and low >= 0 and high <= 1:
        remark = "its values, 0 … 1, scaled to 8 bits"
    else:
        values, remark = (
            (values - low) / max(high - low, 1e-12),
            f"stretched from {low:.4g} … {high:.4g} to 8 bits".replace("-", "−"),
        )
    return Image.fromarray((values * 255).round().astype(np.uint8)), [remark]


def _flattened(image: Image.Image) -> tuple[Image.Image, list[str]]:
    """Transparency over white or black, whichever the visible part stands out from."""
    grey = image.mode in ("1", "L", "LA", "La")
    image = image.convert("RGBA")
    alpha = np.array(image.getchannel("A"))
    if alpha.min() == 255:
        return image.convert("L" if grey else "RGB"), []
    if alpha.max() == 0:
        raise _Refused("is wholly transparent: there is nothing to see, choose another file")
    light = np.average(np.array(image.convert("L")), weights=alpha)
    paper = "black" if light > 127 else "white"
    laid = Image.alpha_composite(Image.new("RGBA", image.size, paper), image)
    return laid.convert("L" if grey else "RGB"), [f"its transparent parts were laid over {paper}"]
