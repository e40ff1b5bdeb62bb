"""A picture becomes the same square whether it comes as a file, as bytes, as a PIL image or as an array."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from deepdraw.drawings.images import decode, draw_image
from deepdraw.drawings.ink import is_light_on_dark
from deepdraw.drawings.packed import Drawings
from deepdraw.drawings.raster import Rasterizer

RASTERIZER = Rasterizer(16, 1.0)


def encoded(image: Image.Image, form: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


@pytest.fixture
def scribble() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (20, 30), np.uint8)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "LA"])
def test_all_forms_of_an_image_give_one_square(tmp_path, scribble, mode):
    image = Image.fromarray(scribble).convert(mode)
    (tmp_path / "x.png").write_bytes(encoded(image))
    expected = draw_image(image, RASTERIZER)
    assert expected.shape == (16, 16)
    assert expected.dtype == np.uint8
    for source in (encoded(image), tmp_path / "x.png", str(tmp_path / "x.png")):
        assert np.abs(draw_image(source, RASTERIZER).astype(int) - expected).max() <= 1


@pytest.mark.parametrize("channels", [None, 3, 4])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32, np.float64])
def test_all_kinds_of_array_give_one_square(scribble, channels, kind):
    pixels = {np.uint8: scribble, np.uint16: scribble.astype(np.uint16) * 257}.get(kind, (scribble / 255).astype(kind))
    if channels:
        pixels = np.stack([pixels] * 3, axis=2)
    if channels == 4:
        opaque = 1 if np.issubdtype(kind, np.floating) else np.iinfo(kind).max
        pixels = np.concatenate([pixels, np.full_like(pixels[..., :1], opaque)], axis=2)
    assert np.array_equal(draw_image(pixels, RASTERIZER), draw_image(scribble, RASTERIZER))


def test_colors_are_weighed_as_pil_weighs_them():
    pixels = np.random.default_rng(1).integers(0, 256, (16, 16, 3), np.uint8)
    gray = np.asarray(Image.fromarray(pixels).convert("L")).astype(int)
    for source in (pixels, Image.fromarray(pixels), encoded(Image.fromarray(pixels))):
        assert np.abs(draw_image(source, RASTERIZER) - gray).max() <= 1


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P"])
def test_transparent_paper_is_white(mode):
    alpha = np.zeros((16, 16), np.uint8)
    alpha[3:5] = 255
    ink = Image.merge("LA", [Image.new("L", (16, 16), 0), Image.fromarray(alpha)])
    if mode == "P":
        ink = Image.fromarray(alpha // 255, "L").convert("P")
        ink.putpalette([0, 0, 0, 0, 0, 0])
        ink.info["transparency"] = 0
    for source in (ink.convert(mode) if mode != "P" else ink,):
        for form in (source, encoded(source, **({"transparency": 0} if mode == "P" else {}))):
            assert np.array_equal(draw_image(form, RASTERIZER), 255 - alpha), type(form)


def test_aspect_ratio_is_kept_with_white_around_and_inverted_for_white_on_black():
    wide = np.zeros((20, 80), np.uint8)
    black = draw_image(wide, RASTERIZER) == 0
    assert black[6:10].all()
    assert black.sum() == 64
    assert np.array_equal(draw_image(wide, Rasterizer(16, 1.0, polarity="white_on_black")) == 255, black)


def test_a_photo_is_turned_as_its_exif_says(scribble):
    image = Image.fromarray(scribble)
    exif = image.getexif()
    exif[0x0112] = 6  # taken with the camera turned
    source = encoded(image, "JPEG", exif=exif, quality=100)
    upright = np.asarray(Image.open(io.BytesIO(source)))[::-1].T
    for form in (source, Image.open(io.BytesIO(source))):
        assert np.array_equal(draw_image(form, RASTERIZER), draw_image(np.ascontiguousarray(upright), RASTERIZER))


def test_an_array_is_not_changed(scribble):
    before = scribble.copy()
    draw_image(scribble[:16, :16], RASTERIZER)[:] = 0
    draw_image(scribble[:16, :16], Rasterizer(16, 1.0, polarity="white_on_black"))[:] = 0
    assert np.array_equal(scribble, before)


def test_an_svg_file_is_drawn_as_its_strokes_are(tmp_path):
    strokes = [[[0, 0], [255, 100]], [[9, 9], [100, 9], [50, 70]]]
    lines = "".join(f'<polyline points="{" ".join(f"{x},{y}" for x, y in stroke)}"/>' for stroke in strokes)
    (tmp_path / "x.SVG").write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg"><g fill="none" stroke="black">{lines}</g></svg>'
    )
    for rasterizer in (RASTERIZER, Rasterizer(32, 3.0, polarity="white_on_black")):
        drawn = rasterizer(Drawings.pack([strokes], [0], [0]))[0]
        assert np.array_equal(draw_image(tmp_path / "x.SVG", rasterizer), drawn)


def test_light_lines_on_a_dark_ground_are_noticed():
    paper = np.full((9, 9), 255, np.uint8)
    paper[4] = 0
    assert not is_light_on_dark(paper)
    assert is_light_on_dark(255 - paper)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (b"", "these 0 bytes are no image"),
        (b"GIF89a", "these 6 bytes are no image"),
        (np.zeros((0, 4), np.uint8), r"shape \[0, 4\] cannot be read: give \[H, W\]"),
        (np.zeros((3, 8, 8), np.uint8), r"shape \[3, 8, 8\]"),
        (np.zeros((8, 8), np.int64), "of int64 needs values of another kind"),
        (np.full((8, 8), 300.0), "uint8, or floats from 0 to 1"),
        (np.full((8, 8), np.nan), "uint8, or floats from 0 to 1"),
        (Image.new("F", (8, 8), 300.0), "uint8, or floats from 0 to 1"),
        ("no/x.png", r"no/x\.png cannot be read \(No such file"),
    ],
    ids=lambda value: "" if not isinstance(value, str) else None,
)
def test_what_is_no_image_is_refused_in_one_line(source, message):
    with pytest.raises(ValueError, match=message) as caught:
        draw_image(source, RASTERIZER)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\x89PNG", b"no image", "cut"], ids=["empty", "signature", "text", "cut"])
def test_a_file_that_is_no_image_is_named(tmp_path, scribble, content):
    whole = cv2.imencode(".png", scribble)[1].tobytes()
    (tmp_path / "x.png").write_bytes(whole[:-20] if content == "cut" else content)
    with pytest.raises(ValueError, match=r"x\.png is no image or is cut short"):
        draw_image(tmp_path / "x.png", RASTERIZER)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_of(width: int, height: int, color: int) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, color, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def jpeg_of(width: int, height: int) -> bytes:
    small = encoded(Image.new("L", (8, 8)), "JPEG")
    place = small.index(b"\xff\xc0") + 5
    return small[:place] + struct.pack(">HH", height, width) + small[place + 4 :]


def gif_of(width: int, height: int) -> bytes:
    small = encoded(Image.new("L", (8, 8)), "GIF")
    return small[:6] + struct.pack("<HH", width, height) + small[10:]


@pytest.mark.parametrize(
    "content",
    [
        png_of(30_000, 30_000, 6),
        png_of(30_000, 30_000, 0),
        png_of(2**31 - 1, 1, 2),
        jpeg_of(60_000, 60_000),
        gif_of(60_000, 60_000),
        encoded(Image.new("1", (9_000, 9_000)), "TIFF", compression="group4"),
        encoded(Image.new("1", (9_000, 9_000)), "BMP"),
    ],
    ids=["transparent png", "gray png", "wide png", "jpeg", "gif", "tiff", "bmp"],
)
def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(tmp_path, content):
    (tmp_path / "x.png").write_bytes(content)
    for source, name in ((content, f"these {len(content):,} bytes"), (tmp_path / "x.png", "x.png")):
        with pytest.raises(ValueError, match=rf"{name}.* has [\d,]+ x [\d,]+ pixels, too many pixels") as caught:
            draw_image(source, RASTERIZER)
        assert "\n" not in str(caught.value)


def test_a_chunk_that_reaches_beyond_its_png_takes_no_memory(tmp_path):
    whole = png_of(9, 12, 0)
    (tmp_path / "x.png").write_bytes(whole[:33] + b"\x7f" + whole[34:])
    with pytest.raises(ValueError, match=r"x\.png is no image or is cut short"):
        draw_image(tmp_path / "x.png", RASTERIZER)


def test_a_jpeg_of_very_many_scans_is_refused():
    whole = encoded(Image.new("L", (64, 64)), "JPEG", progressive=True)
    assert draw_image(whole, RASTERIZER).shape == (16, 16)
    with pytest.raises(ValueError, match="more than 100 scans"):
        draw_image(whole[:-2] + 200 * whole[whole.rindex(b"\xff\xda") : -2] + whole[-2:], RASTERIZER)


@pytest.mark.parametrize("form", ["BMP", "GIF", "PPM", "TIFF", "WEBP"])
def test_the_rarer_forms_are_read_too(scribble, form):
    options = {"lossless": True} if form == "WEBP" else {}
    drawn = draw_image(encoded(Image.fromarray(scribble), form, **options), RASTERIZER)
    assert np.abs(drawn.astype(int) - draw_image(scribble, RASTERIZER)).max() <= 1


@pytest.mark.parametrize("shape", [(3, 7), (3000, 1000), (1000, 3000)])
def test_transparent_pictures_of_any_size_are_laid_on_white(shape):
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 4), np.uint8)
    weights = (0.299, 0.587, 0.114)
    gray = np.rint(pixels[..., :3] @ weights)
    expected = 255 - (255 - gray) * (pixels[..., 3] / 255)
    found = decode(encoded(Image.fromarray(pixels)))
    assert np.abs(found - expected).max() <= 1.5
