"""What a picture's file says of its pixels, and Pillow does not see to."""

from __future__ import annotations

import struct
import zlib

from PIL import Image

METHODS = {  # EXIF orientation -> how a picture is turned upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
ADAM7 = [
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
]  # x, y, dx, dy


def orientation(image: Image.Image) -> int:
    """1 … 8; 1 where the EXIF data cannot be read: they are no reason to refuse a picture."""
    try:
        found = int(image.getexif().get(0x0112, 1))
    except Exception:
        return 1
    return found if found in METHODS else 1


def upright(image: Image.Image) -> Image.Image:
    """A picture as it was seen when it was taken. A TIFF is turned by Pillow itself, as it is decoded."""
    found = 1 if image.format == "TIFF" else orientation(image)
    return image.transpose(METHODS[found]) if found in METHODS else image


def png_is_whole(data: bytes) -> bool:
    """Whether a PNG that was decoded holds all of its rows: Pillow leaves those black that a whole stream lacks."""
    width, height, depth, colour, interlaced = struct.unpack(">IIBB2xB", data[16:29])
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    missing = 0
    for x, y, dx, dy in ADAM7 if interlaced else [(0, 0, 1, 1)]:
        columns, rows = -((x - width) // dx), -((y - height) // dy)
        missing += rows * (1 + -(-columns * bits // 8)) if columns > 0 and rows > 0 else 0
    stream, place = zlib.decompressobj(), 8
    while missing > 0 and place + 8 <= len(data):
        length, kind = struct.unpack(">I4s", data[place : place + 8])
        packed = data[place + 8 : place + 8 + length] if kind == b"IDAT" else b""
        while packed and missing > 0:
            missing -= len(stream.decompress(packed, 1 << 20))  # never more than a megabyte at once
            packed = stream.unconsumed_tail
        place += 12 + length
    return missing <= 0 or missing <= len(stream.flush())  # flush would unpack all that is left of a bomb
