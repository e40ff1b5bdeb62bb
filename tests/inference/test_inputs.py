"""Every form of a drawing becomes the image that training saw, and what is no drawing is refused by its number."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from PIL import Image

from deepdraw.drawings.files import read_sketches
from deepdraw.drawings.packed import Drawings
from deepdraw.drawings.raster import Rasterizer
from deepdraw.inference.inputs import draw, listed, strokes_of

RASTERIZER = Rasterizer(size=32, polarity="white_on_black")
SQUARE = np.array([[0, 0], [255, 0], [255, 255], [0, 255], [0, 0]])
DASH = np.array([[40, 60], [200, 61]])
DRAWING = [SQUARE, DASH]
LISTS = [stroke.T.tolist() for stroke in DRAWING]


def drawn(*strokes: np.ndarray) -> np.ndarray:
    return RASTERIZER(Drawings.pack([strokes], [0], [0]))[0]


def test_paths_begin_at_home(tmp_path, monkeypatch):
    Image.fromarray(np.full((8, 8), 200, np.uint8)).save(tmp_path / "cat.png")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert listed("~/cat.png") == listed("~") == [tmp_path / "cat.png"]
    assert np.array_equal(*(draw([path], RASTERIZER) for path in ("~/cat.png", tmp_path / "cat.png")))
    with pytest.raises(ValueError, match=r"~nobody-here/cat\.png cannot be read"):
        draw(listed("~nobody-here/cat.png"), RASTERIZER)


@pytest.mark.parametrize(
    "form",
    [
        DRAWING,
        LISTS,
        [stroke.astype(np.uint8) for stroke in DRAWING],
        tuple(list(stroke.T) for stroke in DRAWING),
        [*LISTS, [[], []]],
        [DRAWING[0], LISTS[1]],
    ],
    ids=["arrays", "lists", "bytes", "lists of arrays", "with an empty stroke", "mixed"],
)
def test_simplified_strokes_are_drawn_as_they_are(form):
    assert len(listed(form)) == 1
    assert np.array_equal(draw(listed(form), RASTERIZER)[0], drawn(*DRAWING))


@pytest.mark.parametrize("one", [DRAWING, LISTS, [DASH], [LISTS[1]]], ids=["arrays", "lists", "a stroke", "a list"])
def test_many_are_told_from_one(one):
    assert len(listed([one])) == 1
    assert len(listed([one, one, one])) == 3
    assert np.array_equal(draw(listed([one, one]), RASTERIZER)[1], draw(listed(one), RASTERIZER)[0])
    assert listed([]) == []


def test_a_stroke_of_two_points_in_an_array_is_not_read_as_rows_of_x_and_y():
    """The one form in which both readings have the same shape: arrays are points, lists are rows."""
    (points,), (rows,) = strokes_of([np.array([[0, 10], [200, 20]])]), strokes_of([[[0, 10], [200, 20]]])
    assert points.tolist() == [[0, 10], [200, 20]]
    assert rows.tolist() == [[0, 200], [10, 20]]


@pytest.mark.parametrize("unit", [1.0, 1 / 512, 8.0])
def test_raw_strokes_of_any_unit_are_simplified_as_official_files_are(shared, unit):
    raw = shared / "data/quickdraw/raw/circle.ndjson"
    with raw.open() as file:
        lines = [json.loads(next(file)) for _ in range(5)]
    for line, expected in zip(lines, read_sketches(raw), strict=False):
        timed = strokes_of(line["drawing"])
        arrays = strokes_of([unit * np.array(stroke[:2]).T for stroke in line["drawing"]])
        for found in (timed, arrays):
            assert all(np.array_equal(a, b) for a, b in zip(found, expected.strokes, strict=True))


def test_numbers_beyond_a_byte_or_with_times_are_raw():
    assert max(points.max() for points in strokes_of([SQUARE * 3])) == 255
    assert strokes_of([[[0, 100], [0, 0], [0, 16]]])[0].tolist() == [[0, 0], [255, 0]]
    assert strokes_of([[[0.0, 0.5], [0.0, 0.5]]])[0].tolist() == [[0, 0], [255, 255]]


def test_images_of_all_forms_are_one_image(tmp_path):
    gray = cv2.resize(255 - drawn(*DRAWING), (64, 48))
    Image.fromarray(gray).save(tmp_path / "gray.png")
    colored = np.stack([gray] * 3, axis=2)
    forms = [tmp_path / "gray.png", str(tmp_path / "gray.png"), gray, colored, gray / 255, Image.fromarray(colored)]
    forms.append(np.dstack([colored, np.full_like(gray, 255)]))
    images = draw(listed(forms), RASTERIZER)
    assert all(np.abs(image.astype(int) - images[0]).max() <= 1 for image in images)
    assert all(len(listed(form)) == 1 for form in forms)
    assert np.median(images[0]) == 0, "polarity is the rasterizer's"


def test_forms_may_be_mixed_and_keep_their_order(tmp_path):
    blank = np.full((8, 8), 255, np.uint8)
    images = draw(listed([blank, DRAWING, blank, [DASH]]), RASTERIZER)
    assert np.array_equal(images[1], drawn(*DRAWING))
    assert np.array_equal(images[3], drawn(DASH))
    assert images[0].max() == images[2].max() == 0


def test_an_official_file_stands_for_all_its_drawings(shared):
    path = shared / "data/quickdraw/raw/circle.ndjson"
    expected = [sketch.strokes for sketch in read_sketches(path)]
    assert [len(strokes) for strokes in listed(path)] == [len(strokes) for strokes in expected]
    assert len(listed(str(path))) == len(expected)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([DASH, np.zeros((5, 3))], r"drawing 0: an array \(5, 3\) is no stroke: give each stroke as an array \[n, 2\]"),
        ([DRAWING, [[[0, 1, 2], [0, 1]]]], r"drawing 1: the lists of a stroke differ in length"),
        ([[[0, 0], [1, 1], [2, 2], [3, 3]]], r"drawing 0: \[0, 0\] is no stroke: give each stroke as an array"),
        ([LISTS, [[[0, 1], [0, 1], [0, 9]], [[0, 1], [0, 1]]]], "drawing 1: some of its strokes have times"),
        ([DRAWING, []], "drawing 1: it has no stroke with a point: leave it out"),
        ([[DASH * np.nan]], "drawing 0: .*not finite"),
        ([[[["a", "b"], ["c", "d"]]]], "drawing 0: .*no stroke"),
        (DASH, r"drawing 0: an array \(2, 2\) is no image: for a drawing of that one stroke, give it in a list"),
        ([DRAWING, 7], "drawing 1: int is no form of a drawing"),
        ([DRAWING, {"drawing": LISTS}], "drawing 1: dict is no form of a drawing"),
        ([DRAWING, "nowhere.png"], r"^nowhere.png"),
        ("nowhere.ndjson", "there is no file nowhere.ndjson"),
        (np.zeros((3, 32, 32, 32), np.uint8), r"images of shape \[3, 32, 32, 32\] have their colors nowhere"),
    ],
    ids=lambda value: None if isinstance(value, str) else "",
)
def test_what_is_no_drawing_is_refused_in_one_line(given, message):
    with pytest.raises(ValueError, match=message) as refused:
        draw(listed(given), RASTERIZER)
    assert "\n" not in str(refused.value)
