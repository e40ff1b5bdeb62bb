"""The official simplification, held against its recipe taken literally and against real drawings."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from deepdraw.drawings.files import read_sketches
from deepdraw.drawings.simplification import simplify


def reference_simplification(strokes: list[np.ndarray]) -> list[np.ndarray]:
    """The official recipe taken literally, stroke by stroke and recursively."""
    lowest = np.concatenate(strokes).min(axis=0)
    scale = 255 / (np.concatenate(strokes) - lowest).max()

    def keep(points: np.ndarray, first: int, last: int) -> list[int]:
        if last - first < 2:
            return []
        (dx, dy), length = points[last] - points[first], np.hypot(*(points[last] - points[first]))
        offsets = points[first + 1 : last] - points[first]
        distances = abs(offsets[:, 0] * dy - offsets[:, 1] * dx) / length if length else np.hypot(*offsets.T)
        middle = first + 1 + int(distances.argmax())
        if distances.max() <= 2.0:
            return []
        return [*keep(points, first, middle), middle, *keep(points, middle, last)]

    simplified = []
    for stroke in strokes:
        scaled = (stroke - lowest) * scale
        along = np.append(0, np.cumsum(np.hypot(*np.diff(scaled, axis=0).T)))
        places = np.append(np.arange(0, along[-1]), along[-1])
        points = np.stack([np.interp(places, along, scaled[:, axis]) for axis in (0, 1)], axis=1)
        simplified.append(np.rint(points[[0, *keep(points, 0, len(points) - 1), len(points) - 1]]))
    return simplified


@pytest.mark.parametrize("seed", range(20))
def test_simplification_is_the_official_recipe(seed):
    rng = np.random.default_rng(seed)
    strokes = [rng.normal(0, 30, (rng.integers(2, 40), 2)).cumsum(axis=0) for _ in range(5)]
    strokes.append(strokes[0][[*range(len(strokes[0])), 0]])  # a closed stroke has no chord to measure from
    for ours, reference in zip(simplify(strokes), reference_simplification(strokes), strict=True):
        np.testing.assert_array_equal(ours, reference)


@given(
    st.lists(
        st.integers(1, 20).flatmap(lambda n: arrays(np.float64, (n, 2), elements=st.floats(-1e4, 1e4))),
        min_size=1,
        max_size=5,
    ),
    st.floats(0.01, 100),
)
def test_simplification_fills_the_box_and_keeps_the_ends_of_strokes(strokes, scale):
    simplified = simplify(strokes)
    assert all(stroke.dtype == np.uint8 and stroke.shape[1] == 2 for stroke in simplified)
    lowest = np.concatenate(strokes).min(axis=0)
    extent = (np.concatenate(strokes) - lowest).max()
    for given_stroke, stroke in zip(strokes, simplified, strict=True):
        assert (len(stroke) == 1) == (len(given_stroke) == 1)
        ends = (given_stroke[[0, -1]] - lowest) * (255 / extent if extent > 1e-300 else 0)
        assert np.abs(stroke[[0, -1]] - ends).max() <= 0.5 + 1e-6


def test_a_dot_stays_a_dot():
    line, dot, tap = [[0, 0], [255, 100]], [[50, 50]], [[20, 20], [20, 20]]
    simplified = simplify([line, dot, tap])
    assert [stroke.tolist() for stroke in simplified] == [line, dot, tap]
    assert simplify([dot])[0].tolist() == [[0, 0]]


@pytest.mark.parametrize("strokes", [[], [np.empty((0, 2))], [[[0, 1], [np.nan, 2]]], [[[-1e308, 0], [1e308, 0]]]])
def test_what_cannot_be_simplified_is_refused(strokes):
    with pytest.raises(ValueError, match="a drawing to simplify"):
        simplify(strokes)


def test_simplified_raw_drawings_look_like_the_official_ones_of_their_category(shared):
    """No drawing is there in both forms, so the check is statistical: the same size, as many points."""
    for raw in sorted((shared / "data/quickdraw/raw").glob("*.ndjson")):
        ours, official = (list(read_sketches(p)) for p in (raw, raw.parents[1] / "simplified" / raw.name))
        num_points = [np.mean([sum(map(len, s.strokes)) for s in sketches]) for sketches in (ours, official)]
        assert num_points[0] == pytest.approx(num_points[1], rel=0.15)
        largest = [np.mean([max(s.max() for s in sketch.strokes) for sketch in sk]) for sk in (ours, official)]
        assert largest == pytest.approx([255, 255], abs=0.6)


def test_drawings_of_one_scale_simplify_together_as_they_do_alone():
    rng = np.random.default_rng(0)
    corners = [[0, 0], [255, 255]]
    drawings = [[corners, *rng.uniform(0, 255, (3, 10, 2))] for _ in range(20)]
    alone = [stroke for drawing in drawings for stroke in simplify(drawing)]
    together = simplify([stroke for drawing in drawings for stroke in drawing])
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("tiny", [1.1e-308, 5e-324])
def test_a_drawing_too_small_for_floats_to_scale_keeps_its_strokes(tiny):
    stroke, line, dot = [[0, 0], [tiny, 0], [tiny, tiny], [0, 0]], [[0, 0], [9, 9]], [[0, 0]]
    with np.errstate(all="raise", under="ignore"):
        assert [found.tolist() for found in simplify([stroke, dot])] == [[[0, 0]] * 2, dot]
        assert [found.tolist() for found in simplify([stroke, line])] == [[[0, 0]] * 2, [[0, 0], [255, 255]]]
