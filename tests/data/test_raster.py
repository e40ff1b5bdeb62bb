"""Strokes to pixels: true line width, aspect ratio, margins, polarity."""

import math

import numpy as np
import pytest

from deepdraw.data.drawings import Drawings
from deepdraw.data.raster import Rasterizer


def drawings(*strokes_of_each):
    return Drawings.pack([[np.array(s) for s in strokes] for strokes in strokes_of_each], [0] * 9, [0] * 9)


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
        widths.append(image.sum() / (length + width))  # OpenCV's ends reach half a width further
    assert np.mean(widths) == pytest.approx(width, rel=0.08)
    assert widths == pytest.approx([width] * len(widths), rel=0.18)


def test_a_drawing_keeps_its_aspect_ratio_and_is_centred():
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
    assert 0.3 < image.sum() / (math.pi / 4 * width**2) < 1.7


def test_no_drawings_give_no_images():
    assert Rasterizer(32)(Drawings.pack([], [], [])).shape == (0, 32, 32)


@pytest.mark.parametrize(
    "options", [{"size": 4}, {"line_width": 0.1}, {"line_width": 99}, {"margin": 0.5}, {"polarity": "red"}]
)
def test_impossible_options_are_refused_by_name(options):
    with pytest.raises(ValueError, match=f"render.{next(iter(options))}="):
        Rasterizer(**{"size": 64, **options})
