"""Every container gives the gray image that Pillow shows on white paper: transparent or not, however it is turned."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from deepdraw.drawings import decode, draw_image, gray_image, read_image
from deepdraw.drawings.raster import Rasterizer

ORIENTATION = 0x0112
LOSSY = 6  # levels by which decoders of JPEG and WebP differ


def picture() -> Image.Image:
    """A gradient of colors, 24 x 16, with a black corner; its left third is transparent, the next half so."""
    y, x = np.mgrid[:16, :24]
    pixels = np.stack([10 * x, 15 * y, 200 - 5 * (x + y), 255 * (x >= 8) - 128 * ((x >= 8) & (x < 16))], axis=2)
    pixels[:5, :4, :3] = 0
    return Image.fromarray(pixels.astype(np.uint8), "RGBA")


def with_level(image: Image.Image, level) -> Image.Image:
    image.info["transparency"] = level
    return image


def cut_out(mode: str) -> Image.Image:
    """Opaque or transparent pixels only, as palettes have them."""
    image = picture().convert("RGB").convert("L").point(lambda level: min(level, 254))
    image.paste(255, (0, 0, 8, 16))
    if mode == "1":
        return image.point(lambda level: 255 * (level > 120), "1")
    return image.convert(mode)


def palette() -> Image.Image:
    image = picture().convert("RGB").quantize(16)
    image.info["transparency"] = int(image.getpixel((20, 12)))
    return image


SOURCES = {
    "gray": lambda: picture().convert("RGB").convert("L"),
    "rgb": lambda: picture().convert("RGB"),
    "bit": lambda: cut_out("1"),
    "cmyk": lambda: picture().convert("RGB").convert("CMYK"),
    "rgba": picture,
    "la": lambda: picture().convert("LA"),
    "palette": lambda: picture().convert("RGB").quantize(16),
    "transparent palette": palette,
    "gray with a transparent level": lambda: with_level(cut_out("L"), 255),
    "rgb with a transparent color": lambda: with_level(cut_out("RGB"), (255, 255, 255)),
    "bit with a transparent level": lambda: with_level(cut_out("1"), 255),
    "black is transparent": lambda: with_level(cut_out("L"), 0),
}
BLACK_ON_WHITE = ("gray", "rgb", "bit", "palette")
CONTAINERS = {
    "PNG": [name for name in SOURCES if name != "cmyk"],
    "WEBP": ["gray", "rgb", "rgba"],
    "GIF": ["gray", "rgba", "palette", "transparent palette"],
    "TIFF": ["gray", "rgb", "bit", "cmyk", "rgba", "la", "palette"],
    "ICO": ["rgb", "rgba"],
    "BMP": ["gray", "rgb", "bit", "palette", "rgba"],
    "PPM": ["gray", "rgb", "bit"],
    "JPEG": ["gray", "rgb", "cmyk"],
}
OPTIONS = {"WEBP": {"lossless": True}, "JPEG": {"quality": 95, "subsampling": 0}, "ICO": {"sizes": [(24, 16)]}}
TURNED = ("PNG", "WEBP", "TIFF", "JPEG")


def encoded(image: Image.Image, form: str, orientation: int = 1) -> bytes:
    file, options = io.BytesIO(), dict(OPTIONS.get(form, {}))
    if orientation > 1:
        options["exif"] = Image.Exif()
        options["exif"][ORIENTATION] = orientation
    image.save(file, form, **options)
    return file.getvalue()


def on_white(image: Image.Image) -> np.ndarray:
    """What Pillow shows of an image on white paper, in gray."""
    image = ImageOps.exif_transpose(image).convert("RGBA")
    paper = Image.new("RGBA", image.size, "white")
    return np.asarray(Image.alpha_composite(paper, image).convert("L")).astype(int)


CASES = [
    (form, name, orientation)
    for form, names in CONTAINERS.items()
    for name in names
    for orientation in (range(1, 9) if form in TURNED else (1,))
]


@pytest.mark.parametrize(("form", "name", "orientation"), CASES)
def test_an_image_is_read_as_pillow_shows_it_on_white(form, name, orientation):
    content = encoded(SOURCES[name](), form, orientation)
    expected = on_white(Image.open(io.BytesIO(content)))
    for found in (decode(content), gray_image(Image.open(io.BytesIO(content)))):
        assert found.dtype == np.uint8
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() <= (LOSSY if form == "JPEG" else 2)


@pytest.mark.parametrize("name", SOURCES)
def test_a_pil_image_in_memory_is_read_as_it_is_shown(name):
    image = SOURCES[name]()
    assert np.abs(gray_image(image) - on_white(image)).max() <= 2


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(depth: int, color: int, row: bytes, width: int, transparent: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, 1, depth, color, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"\0" + row))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"tRNS", transparent) + pixels + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (png(1, 0, bytes([0b01010000]), 4, struct.pack(">H", 0)), [255, 255, 255, 255]),
        (png(1, 0, bytes([0b01010000]), 4, struct.pack(">H", 1)), [0, 255, 0, 255]),
        (png(2, 0, bytes([0b00011011]), 4, struct.pack(">H", 0)), [255, 85, 170, 255]),
        (png(4, 0, bytes([0x07, 0xF3]), 4, struct.pack(">H", 7)), [0, 255, 255, 51]),
        (png(8, 0, bytes([0, 7, 119, 255]), 4, struct.pack(">H", 7)), [0, 255, 119, 255]),
        (png(16, 0, struct.pack(">4H", 0, 257, 2570, 65535), 4, struct.pack(">H", 2570)), [0, 1, 255, 255]),
        (png(8, 2, bytes([9, 9, 9, 0, 0, 0]), 2, struct.pack(">3H", 0, 0, 0)), [9, 255]),
        (png(16, 2, struct.pack(">6H", 2570, 2570, 2570, 0, 0, 0), 2, struct.pack(">3H", 0, 0, 0)), [10, 255]),
        (png(16, 2, struct.pack(">6H", 258, 515, 772, 0, 0, 0), 2, struct.pack(">3H", 258, 515, 772)), [255, 0]),
    ],
    ids=["bit 0", "bit 1", "2 bits", "4 bits", "8 bits", "16 bits", "rgb", "rgb of 16 bits", "another of 16 bits"],
)
def test_the_transparent_level_of_a_png_is_that_of_its_own_depth(content, expected):
    """Pillow does not scale the level with the pixels, so the pixels are written by hand here."""
    assert decode(content).tolist() == [expected]


def test_gray_of_16_bits_keeps_its_levels():
    levels = np.linspace(0, 65535, 24 * 16).round().astype(np.uint16).reshape(16, 24)
    for form in ("PNG", "TIFF"):
        assert np.abs(decode(encoded(Image.fromarray(levels), form)) - levels / 257).max() <= 1


def test_an_orientation_in_xmp_is_heeded_too():
    file = io.BytesIO()
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    picture().convert("RGB").save(file, "JPEG", quality=95, xmp=xmp)
    expected = on_white(Image.open(io.BytesIO(file.getvalue())))
    assert decode(file.getvalue()).shape == expected.shape == (24, 16)


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"\x1f\x8b\x08\0", "a gzip file"),
        (b"%PDF-1.4", "a PDF"),
        (b"PK\x03\x04", "a zip file"),
        (b"\0\0\0\x18ftypheic", "a HEIC, AVIF or video file"),
        (b"\xef\xbb\xbf<svg xmlns=''>", "an SVG or XML file"),
        (b"<!DOCTYPE html>", "a web page"),
    ],
)
def test_another_kind_of_file_is_said_to_be_that(tmp_path, start, kind):
    path = tmp_path / "x.png"
    path.write_bytes(start + bytes(100))
    with pytest.raises(ValueError, match=rf"x\.png is {kind} and no image: convert it") as caught:
        read_image(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=f"bytes are {kind} and no image"):
        gray_image(start + bytes(100))


def test_an_icon_that_holds_a_larger_image_than_it_says_is_refused():
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 9_000, 9_000, 8, 6, 0, 0, 0))
    inner = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    icon = struct.pack("<HHH", 0, 1, 1) + struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(inner), 22) + inner
    with pytest.raises(ValueError, match="9,000 x 9,000 pixels, too many pixels"):
        decode(icon)


def test_an_image_of_too_long_a_side_is_refused():
    with pytest.raises(ValueError, match="60,000 x 2 pixels, too many pixels on a side"):
        decode(encoded(Image.new("L", (60_000, 2)), "PNG"))


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_floats_reach_from_0_to_1_or_from_0_to_255(kind):
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    for scaled in (levels.astype(kind), (levels / 255).astype(kind)):
        assert np.array_equal(draw_image(scaled, Rasterizer(16)), levels)
    assert gray_image(np.eye(4, dtype=bool)).tolist() == (255 * np.eye(4)).tolist()


@pytest.mark.parametrize("place", ["before", "after"])
def test_an_orientation_in_xmp_of_a_png_is_heeded_wherever_its_chunk_lies(place):
    content = encoded(picture().convert("RGB"), "PNG")
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    text = chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)
    at = 33 if place == "before" else content.index(b"IEND") - 4
    turned = content[:at] + text + content[at:]
    image = Image.open(io.BytesIO(turned))
    image.load()
    assert decode(turned).shape == on_white(image).shape == (24, 16)
