"""Strokes to pixels: true line width, aspect ratio, margins, polarity."""

import math
from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from deepdraw.data.doodles.source import SEEN, draw_all
from deepdraw.drawings import lines
from deepdraw.drawings.packed import Drawings
from deepdraw.drawings.raster import Rasterizer

strokes = st.integers(1, 6).flatmap(lambda n: arrays(np.uint8, (n, 2)))


def drawings(*strokes_of_each):
    number = len(strokes_of_each)
    return Drawings.pack([[np.array(s) for s in strokes] for strokes in strokes_of_each], [0] * number, [0] * number)


def line(degrees):
    """A stroke through the middle of the largest box, as long as it fits."""
    x, y = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    reach = 127 / max(abs(x), abs(y))
    return [[round(127 - reach * x), round(127 - reach * y)], [round(127 + reach * x), round(127 + reach * y)]]


@pytest.mark.parametrize("size", [48, 224])
@pytest.mark.parametrize("width", [1.0, 1.5, 2.0, 3.0, 5.0])
def test_ink_is_that_of_a_line_of_the_width_asked_for(size, width):
    rasterizer = Rasterizer(size, width, margin=0.1, polarity="white_on_black")
    widths = []
    for degrees in (0, 10, 30, 45, 60, 90, 120):
        (a, b) = stroke = np.array(line(degrees))
        image = rasterizer(drawings([stroke]))[0] / 255.0
        length = (0.8 * size - width) * np.hypot(*(b - a)) / np.abs(b - a).max()
        widths.append(image.sum() / (length + math.pi / 4 * width))  # the two ends are half discs
    assert np.mean(widths) == pytest.approx(width, rel=0.025)
    assert widths == pytest.approx([width] * len(widths), rel=0.13)  # at 45 degrees pixels fall in step with the line


def reference(drawn, size, width, margin):
    """Ink in [0, 1] by the distance of each pixel's center to each segment, in double precision."""
    points = np.concatenate(drawn).astype(float)
    low, high = points.min(axis=0), points.max(axis=0)
    scale = (size * (1 - 2 * margin) - width) / max((high - low).max(), 1)
    pixels = np.stack(np.meshgrid(np.arange(size), np.arange(size)), axis=-1) + 0.5
    nearest = np.full((size, size), np.inf)
    for stroke in drawn:
        placed = (stroke - (low + high) / 2) * scale + size / 2
        for a, b in pairwise(placed) if len(placed) > 1 else [(placed[0], placed[0])]:
            share = ((pixels - a) @ (b - a) / max((b - a) @ (b - a), 1e-12)).clip(0, 1)
            nearest = np.minimum(nearest, np.linalg.norm(pixels - a - share[..., None] * (b - a), axis=-1))
    return (width / 2 + 0.5 - nearest).clip(0, 1)


@settings(max_examples=60, deadline=None)
@given(st.lists(strokes, min_size=1, max_size=4), st.sampled_from([8, 9, 31, 64]), st.floats(0.5, 2), st.floats(0, 0.3))
def test_every_pixel_has_the_ink_that_its_distance_to_the_lines_says(drawn, size, width, margin):
    image = Rasterizer(size, width, margin, "white_on_black")(drawings(drawn))[0]
    assert np.abs(image - 255 * reference(drawn, size, width, margin)).max() <= 1


def test_pictures_are_those_that_opencv_draws():
    doodles = draw_all(SEEN[:10], 5, seed=0)
    images = Rasterizer(128, 10 / 3, margin=0.05, polarity="white_on_black")(doodles)
    for i, image in enumerate(images):
        points = [stroke.astype(float) for stroke in doodles.strokes(i)]
        low, high = np.concatenate(points).min(axis=0), np.concatenate(points).max(axis=0)
        scale = (0.9 * 128 - 10 / 3) / (high - low).max()
        placed = [np.rint(64 * ((p - (low + high) / 2) * scale + 63.5)).astype(np.int32) for p in points]
        picture = np.zeros((128, 128), np.uint8)
        cv2.polylines(picture, placed, False, 255, 2, cv2.LINE_AA, 6)  # of thickness 2, which OpenCV draws 10/3 wide
        assert np.corrcoef(image.ravel(), picture.ravel())[0, 1] > 0.97
        assert image.mean() == pytest.approx(picture.mean(), rel=0.05)


def test_a_drawing_keeps_its_aspect_ratio_and_is_centered():
    image = Rasterizer(100, 2.0, margin=0.0, polarity="white_on_black")(drawings([[[0, 0], [200, 50]]]))[0]
    rows, columns = np.nonzero(image > 64)
    assert np.ptp(columns) == pytest.approx(99, abs=1)
    assert np.ptp(rows) == pytest.approx(98 / 4 + 1, abs=2)
    assert rows.min() + rows.max() == pytest.approx(99, abs=1)


def test_the_margin_stays_free_and_the_rest_is_filled():
    image = Rasterizer(100, 4.0, margin=0.1, polarity="white_on_black")(
        drawings([[[3, 9], [103, 9], [103, 109], [3, 109], [3, 9]]])
    )[0]
    assert image[:9].max() == image[:, :9].max() == image[-9:].max() == image[:, -9:].max() == 0
    assert image[11:89, 11].min() > 200


def test_where_and_how_large_a_drawing_was_does_not_matter():
    small, large = [[[5, 7], [25, 7], [25, 47]]], [[[100, 50], [140, 50], [140, 130]]]
    images = Rasterizer(64, 2.0)(drawings(small, large))
    assert np.array_equal(images[0], images[1])


def test_polarity_inverts():
    strokes = drawings([[[0, 0], [200, 120], [30, 200]]])
    black, white = (Rasterizer(64, 3.0, polarity=p)(strokes) for p in ("black_on_white", "white_on_black"))
    assert np.abs(black.astype(int) - (255 - white)).max() <= 1
    assert black[0, 0, -1] == 255


@pytest.mark.parametrize("dot", [[[9, 9]], [[9, 9], [9, 9]]])
@pytest.mark.parametrize("width", [1.0, 2.0, 3.0, 5.0])
def test_a_dot_is_drawn_as_large_as_the_line_is_wide(dot, width):
    image = Rasterizer(64, width, polarity="white_on_black")(drawings([dot]))[0] / 255.0
    assert image.sum() == pytest.approx(math.pi * (width**2 / 4 + 1 / 12), rel=0.25)  # discs of all radii in the edge


def test_lines_wider_than_the_room_leave_a_blot():
    image = Rasterizer(64, 16.0, polarity="white_on_black").draw(drawings([[[0, 0], [200, 90]]]), np.array([4.0]))[0]
    assert np.array_equal(image, image[::-1, ::-1])
    assert image[32, 32] == 255


@settings(max_examples=20, deadline=None)
@given(st.lists(st.lists(strokes, min_size=1, max_size=4), min_size=1, max_size=5))
def test_a_drawing_looks_alike_in_any_company_and_any_memory(drawn):
    rasterizer = Rasterizer(16, 1.5)
    images = np.full((len(drawn), 16, 16), 99, np.uint8)
    assert rasterizer(drawings(*drawn), images) is images
    for strokes_of_one, image in zip(drawn, images, strict=True):
        assert np.array_equal(rasterizer(drawings(strokes_of_one))[0], image)


def test_lines_are_compiled_where_no_cache_can_be_written(monkeypatch):
    def no_place(self, function):
        raise RuntimeError("cannot cache function: no locator available")

    monkeypatch.setattr("numba.core.caching.FunctionCache.__init__", no_place)
    assert lines.compiled(lambda x: x + 1)(1) == 2


def test_no_drawings_give_no_images():
    assert Rasterizer(32)(Drawings.pack([], [], [])).shape == (0, 32, 32)


@pytest.mark.parametrize(
    "options", [{"size": 4}, {"line_width": 0.1}, {"line_width": 99}, {"margin": 0.5}, {"polarity": "red"}]
)
def test_impossible_options_are_refused_by_name(options):
    with pytest.raises(ValueError, match=f"render.{next(iter(options))}="):
        Rasterizer(**{"size": 64, **options})
