"""An image of a drawing is read as the drawing: its lines are traced, wherever they lie and however they were drawn."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepdraw.data.doodles.source import SEEN, draw_all
from deepdraw.drawings import Drawings, Rasterizer, find_fault, fit_to_square, is_light_on_dark, trace
from deepdraw.drawings.image_check import ImageCheck

RASTERIZER = Rasterizer(56, 1.5, images="drawing")
FIGURE = [np.array([[0, 0], [100, 0], [100, 80], [0, 80], [0, 0]]), np.array([[20, 20], [80, 60]])]


def painted(strokes=FIGURE, size=300, width=3, place=(40, 130), scale=1.0, ink=0, paper=255, smooth=True) -> np.ndarray:
    image = np.full((size, size), paper, np.uint8)
    for stroke in strokes:
        points = np.rint((stroke * scale + place) * 16).astype(np.int32)
        cv2.polylines(image, [points], False, ink, width, cv2.LINE_AA if smooth else cv2.LINE_8, shift=4)
    return image


def drawn(strokes=FIGURE, rasterizer=RASTERIZER) -> np.ndarray:
    return rasterizer(Drawings.pack([[np.asarray(stroke) for stroke in strokes]], [0], [0]))[0]


def likeness(image: np.ndarray, other: np.ndarray) -> float:
    """The share of the ink that two images have in common, where lines may be a pixel apart: 0..1."""
    one, two = (255 - each.astype(float) for each in (image, other))
    wide = [cv2.dilate(each, np.ones((3, 3))) for each in (one, two)]
    return min(np.minimum(one, wide[1]).sum() / one.sum(), np.minimum(two, wide[0]).sum() / two.sum())


@pytest.mark.parametrize("smooth", [True, False])
@pytest.mark.parametrize(
    ("size", "width", "scale"), [(300, 2, 1.0), (300, 6, 1.7), (1500, 6, 9.0), (64, 1, 0.5), (300, 12, 2.0)]
)
def test_lines_of_any_width_and_place_are_drawn_as_strokes_are(size, width, scale, smooth):
    image = painted(size=size, width=width, place=(size / 12, size / 3), scale=scale, smooth=smooth)
    assert likeness(fit_to_square(image, RASTERIZER), drawn()) > 0.95


@pytest.mark.parametrize(("ink", "paper"), [(200, 255), (0, 128), (90, 140), (255, 0), (230, 40)])
def test_lines_of_any_darkness_are_drawn_as_strokes_are(ink, paper):
    assert likeness(fit_to_square(painted(ink=ink, paper=paper), RASTERIZER), drawn()) > 0.95


def test_a_noisy_photo_in_uneven_light_is_read():
    y, x = np.mgrid[-1:1:300j, -1:1:300j]
    light = 0.75 + 0.2 * x - 0.1 * y**2
    noisy = painted(ink=60, paper=230, width=4) * light + np.random.default_rng(0).normal(0, 8, (300, 300))
    photo = cv2.imencode(".jpg", np.clip(noisy, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 60])[1]
    assert likeness(fit_to_square(cv2.imdecode(photo, 0), RASTERIZER), drawn()) > 0.95


def test_what_a_rasterizer_draws_is_read_as_itself():
    drawings = draw_all(SEEN[:6], 5, seed=0)
    for rasterizer in (Rasterizer(224, 3.0, images="drawing"), Rasterizer(224, 3.0, 0.1, "white_on_black", "drawing")):
        for image in rasterizer(drawings):
            again = fit_to_square(image, rasterizer)
            if rasterizer.polarity == "white_on_black":
                image, again = 255 - image, 255 - again
            assert likeness(again, image) > 0.9


def test_a_dot_and_a_ring_are_strokes():
    image = np.full((200, 200), 255, np.uint8)
    cv2.circle(image, (100, 100), 70, 0, 4)
    cv2.circle(image, (100, 100), 3, 0, -1)
    ring, dot = sorted(trace(image), key=len, reverse=True)
    assert len(ring) > 8
    assert np.abs(ring[0].astype(int) - ring[-1]).max() <= 2
    assert np.abs(dot.astype(int) - 127).max() <= 4


def test_a_filled_area_is_read_as_its_outline():
    image = np.full((200, 200), 255, np.uint8)
    cv2.rectangle(image, (50, 60), (150, 140), 0, -1)
    outline = [np.array([[50, 60], [150, 60], [150, 140], [50, 140], [50, 60]])]
    assert likeness(fit_to_square(image, RASTERIZER), drawn(outline)) > 0.9


def test_specks_of_dust_are_no_ink():
    image = painted(width=6)
    image[10, 280] = image[290, 5] = 0
    assert likeness(fit_to_square(image, RASTERIZER), drawn()) > 0.9


def test_a_blank_image_is_blank_paper():
    for image in (np.full((50, 60), 255, np.uint8), np.full((9, 9), 130, np.uint8)):
        assert trace(image) == []
        assert (fit_to_square(image, RASTERIZER) == 255).all()
        assert (fit_to_square(image, Rasterizer(32, polarity="white_on_black", images="drawing")) == 0).all()


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_any_image_has_strokes_that_can_be_drawn(height, width, seed, share):
    random = np.random.default_rng(seed)
    image = np.where(random.random((height, width)) < share, random.integers(0, 256, (height, width)), 255)
    strokes = trace(image.astype(np.uint8))
    assert all(stroke.dtype == np.uint8 and stroke.ndim == 2 and stroke.shape[1] == 2 for stroke in strokes)
    assert fit_to_square(image.astype(np.uint8), RASTERIZER).shape == (56, 56)


def test_light_on_dark_is_told_by_the_border_and_the_area():
    dense = painted(width=30, scale=2.0)
    for image in (painted(), dense, painted(ink=90, paper=140), painted(ink=60, paper=110)):
        assert not is_light_on_dark(image)
        assert is_light_on_dark(255 - image)
    assert find_fault(painted()) is None
    assert find_fault(255 - painted()) == "light on dark"
    assert find_fault(np.full((20, 30), 250, np.uint8)) == "blank"
    assert find_fault(np.zeros((20, 30), np.uint8)) == "light on dark"


def test_each_fault_is_told_once(caplog):
    check = ImageCheck()
    for number, image in enumerate([painted(), 255 - painted(), 255 - painted(), np.full((9, 9), 255, np.uint8)] * 2):
        check.look(image, f"x{number}.png")
    assert [record.getMessage().split()[0] for record in caplog.records] == ["x1.png", "x3.png"]
