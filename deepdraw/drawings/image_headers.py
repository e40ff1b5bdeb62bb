"""Reads the size of an image from its header, before decoding: a few bytes can stand for an image of any size."""

from __future__ import annotations

import io
import math
import struct
import warnings
import zlib

MOST_PIXELS = 1 << 26  # 67 million, as in the largest cameras; decoding takes at most 1 GB of memory
LONGEST_SIDE = (1 << 15) - 1  # pixels; OpenCV scales no longer ones
MOST_SCANS = 100  # passes over all pixels in a progressive JPEG; encoders write about 10
PNG_SIGNATURE, JPEG_SIGNATURE = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
# The formats that are read; plain PNG and JPEG by OpenCV, all else by Pillow.
FORMS = ("PNG", "JPEG", "BMP", "GIF", "ICO", "PPM", "TIFF", "WEBP")
ORIENTATIONS = (b"tiff:Orientation", b"Raw profile type")  # marks of XMP, and of EXIF that ImageMagick writes as text
TEXTS = (b"tEXt", b"zTXt", b"iTXt")
ICON_SIGNATURE = b"\0\0\1\0"
OTHER_SIGNATURES = (b"GIF8", b"BM", ICON_SIGNATURE, b"II*\0", b"MM\0*", *(b"P%d" % form for form in range(1, 7)))
OTHER_KINDS = (
    ("a gzip file", b"\x1f\x8b"),
    ("a zip file", b"PK\3\4"),
    ("a PDF", b"%PDF"),
    ("a NumPy array", b"\x93NUMPY"),
    ("a Photoshop file", b"8BPS"),
    ("a bzip2, xz or zstd file", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd"),
    ("a JPEG 2000 or JPEG XL file", b"\0\0\0\x0cjP  ", b"\0\0\0\x0cJXL ", b"\xff\x0a"),
)
WITHOUT_SIZE = {0xC4, 0xC8, 0xCC}  # JPEG markers in the range of frames that start no frame
ALONE = {0x01, *range(0xD0, 0xD9)}  # JPEG markers without a segment
# The exceptions that Pillow raises for bytes that are no image.
NO_IMAGE = (
    *(ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError, OSError, RuntimeError),
    *(SyntaxError, TypeError, ValueError, struct.error, zlib.error),
)


def check_size(size: tuple[int, int], encoded: bytes = b"") -> None:
    """Raise ValueError if an image of this width and height has too many pixels, or a JPEG too many scans."""
    width, height = size
    if width * height > MOST_PIXELS:
        raise ValueError(f"has {width:,} x {height:,} pixels, too many pixels (more than {MOST_PIXELS:,})")
    if max(size) > LONGEST_SIDE:
        raise ValueError(f"has {width:,} x {height:,} pixels, too many pixels on a side (more than {LONGEST_SIDE:,})")
    if encoded.startswith(JPEG_SIGNATURE) and encoded.count(b"\xff\xda") > MOST_SCANS:
        raise ValueError(f"has more than {MOST_SCANS} scans")


def is_image(start: bytes) -> bool:
    """Whether these first bytes of a file, 12 of them, begin an image of a format that is read."""
    is_webp = start.startswith(b"RIFF") and start[8:12] == b"WEBP"
    return is_webp or start.startswith((PNG_SIGNATURE, JPEG_SIGNATURE, *OTHER_SIGNATURES))


def other_kind(encoded: bytes) -> str | None:
    """What bytes are that are no image of a format that is read; None where that is unknown."""
    for kind, *signatures in OTHER_KINDS:
        if encoded.startswith(tuple(signatures)):
            return kind
    if encoded[4:8] == b"ftyp":
        return "a HEIC, AVIF or video file"
    start = encoded[:512].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith((b"<svg", b"<?xml")):
        return "an SVG or XML file"
    return "a web page" if start.startswith((b"<!doctype html", b"<html")) else None


def image_size(encoded: bytes) -> tuple[int, int] | None:
    """Width and height from the header of an image; None if it has no valid header."""
    if encoded.startswith(PNG_SIGNATURE):
        return _png_size(encoded)
    if encoded.startswith(ICON_SIGNATURE):  # which Pillow decodes as soon as it opens it
        return _icon_size(encoded)
    return _jpeg_size(encoded) if encoded.startswith(JPEG_SIGNATURE[:2]) else _other_size(encoded)


def has_special_chunks(png: bytes) -> bool:
    """Whether a PNG has a transparent level, or may have an orientation: in EXIF, XMP or a profile as text."""
    place = len(PNG_SIGNATURE)
    while place < len(png):
        kind, end = png[place + 4 : place + 8], place + 12 + int.from_bytes(png[place : place + 4], "big")
        if kind in (b"tRNS", b"eXIf") or (kind in TEXTS and any(mark in png[place:end] for mark in ORIENTATIONS)):
            return True
        place = end
    return False


def _png_size(encoded: bytes) -> tuple[int, int] | None:
    """The size of a PNG. None if a chunk claims more bytes than there are: OpenCV would allocate them first."""
    if encoded[12:16] != b"IHDR":
        return None
    place = len(PNG_SIGNATURE)
    while place < len(encoded) and encoded[place + 4 : place + 8] != b"IEND":
        place += 12 + int.from_bytes(encoded[place : place + 4], "big")
    return struct.unpack(">II", encoded[16:24]) if 33 <= place <= len(encoded) else None


def _jpeg_size(encoded: bytes) -> tuple[int, int] | None:
    """The size of the first frame of a JPEG, found as libjpeg finds it."""
    place = 2
    while (place := encoded.find(b"\xff", place)) >= 0:
        while encoded[place : place + 1] == b"\xff":
            place += 1
        marker, place = encoded[place : place + 1], place + 1
        if not marker or marker[0] == 0xD9 or len(encoded) < place + 7:
            return None
        if 0xC0 <= marker[0] <= 0xCF and marker[0] not in WITHOUT_SIZE:
            height, width = struct.unpack(">HH", encoded[place + 3 : place + 7])
            return width, height
        if marker[0] and marker[0] not in ALONE:
            place += int.from_bytes(encoded[place : place + 2], "big")
    return None


def _other_size(encoded: bytes) -> tuple[int, int] | None:
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(encoded), formats=FORMS) as image:
                return image.size
    except Image.DecompressionBombError:  # the image has more pixels than Pillow allows
        return MOST_PIXELS + 1, 1
    except NO_IMAGE:
        return None


def _icon_size(encoded: bytes) -> tuple[int, int]:
    """The size of the largest image in an icon, where PNGs may be larger than the icon says."""
    sizes, place = [(256, 256)], 0
    while (place := encoded.find(PNG_SIGNATURE, place)) >= 0:
        place += len(PNG_SIGNATURE)
        if len(header := encoded[place + 8 : place + 16]) == 8:
            sizes.append(struct.unpack(">II", header))
    return max(sizes, key=math.prod)
