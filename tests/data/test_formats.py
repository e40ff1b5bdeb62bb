"""The three official stroke forms, from bytes made by hand and from real files."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from deepdraw.drawings.files import Broken, Sketch, read_sketches

strokes_of_bytes = st.lists(st.integers(1, 30).flatmap(lambda n: arrays(np.uint8, (n, 2))), min_size=1, max_size=6)


def bin_record(key_id: int, strokes: list[np.ndarray], recognized: bool = True) -> bytes:
    packed = struct.pack("<Q2sbIH", key_id, b"DE", recognized, 1_490_000_000, len(strokes))
    for stroke in strokes:
        n = len(stroke)
        packed += struct.pack(f"<H{n}B{n}B", n, *stroke[:, 0].tolist(), *stroke[:, 1].tolist())
    return packed


def write_lines(path: Path, *lines: object) -> Path:
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return path


def test_a_simplified_line_gives_its_strokes_and_what_the_game_said(tmp_path):
    line = {
        "word": "cat",
        "key_id": "18446744073709551615",
        "recognized": False,
        "drawing": [[[1, 2], [3, 255]]],
    }
    (sketch,) = read_sketches(write_lines(tmp_path / "cat.ndjson", line))
    assert (sketch.word, sketch.key_id, sketch.recognized) == ("cat", 2**64 - 1, False)
    assert sketch.strokes[0].dtype == np.uint8
    np.testing.assert_array_equal(sketch.strokes[0], [[1, 3], [2, 255]])


def test_a_raw_line_is_told_by_its_third_array_and_simplified(tmp_path):
    raw = {
        "word": "cat",
        "key_id": "1",
        "drawing": [[[100.5, 151.5, 202.5], [40.0, 40.0, 40.0], [0, 10, 20]]],
    }
    (sketch,) = read_sketches(write_lines(tmp_path / "cat.ndjson", raw))
    np.testing.assert_array_equal(sketch.strokes[0], [[0, 0], [255, 0]])
    assert sketch.recognized is None


def test_without_key_id_the_key_is_a_hash_of_the_strokes_alone(tmp_path):
    one, other = [[[1, 2], [3, 4]]], [[[1, 2], [3, 5]]]
    lines = [{"drawing": one, "countrycode": "DE"}, {"drawing": other}, {"word": "cat", "drawing": one}]
    first, second, third = read_sketches(write_lines(tmp_path / "cat.ndjson", *lines))
    assert first.key_id == third.key_id != second.key_id


def test_strokes_without_a_point_are_left_out_and_counted(tmp_path):
    lines = [{"drawing": [[[], []], [[7], [9]]]}, {"drawing": []}, {"drawing": [[[], [], []]]}]
    dot, empty, empty_raw = read_sketches(write_lines(tmp_path / "cat.ndjson", *lines))
    assert ([stroke.tolist() for stroke in dot.strokes], dot.num_empty_strokes) == ([[[7, 9]]], 1)
    assert (empty.strokes, empty.num_empty_strokes) == ([], 0)
    assert (empty_raw.strokes, empty_raw.num_empty_strokes) == ([], 1)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"word": "cat", "drawing": [[[1', "Expecting"),
        ("[1, 2]", "not a JSON object"),
        ({"word": "cat"}, "no 'drawing'"),
        ({"word": "dog", "drawing": []}, "drawing of 'dog' in the file of 'cat'"),
        ({"drawing": [[[1, 2], [3]]]}, "differ in length"),
        ({"drawing": [[[1, 2]]]}, "neither two arrays"),
        ({"drawing": [[[1, 2], [3, 4]], [[1, 2], [3, 4], [0, 9]]]}, "some have none"),
        ({"drawing": [[["1", "2"], [3, 4]]]}, "a coordinate is no number"),
        ({"drawing": [[[1, None], [3, 4], [0, 1]]]}, "not finite"),
        ({"drawing": [[[1], [3]]], "key_id": "-5"}, "64 bits"),
        ({"drawing": [[[1], [3]]], "recognized": "yes"}, "neither true nor false"),
        ({"drawing": 3}, "iterable"),
        ({"drawing": [{"x": 1, "y": 2}]}, "no stroke"),
        ({"drawing": [{"x": [1, 2], "z": [1, 2]}]}, "a record of x, z has no x and y"),
        ({"drawing": {"x": [[1]], "y": []}}, "more strokes of x than of y"),
        ({"word": 5, "drawing": []}, "its word is 5, no text"),
        ({"drawing": [[[10**400, 2], [3, 4], [0, 1]]]}, "too large"),
    ],
)
def test_a_broken_line_is_reported_and_the_next_one_read(tmp_path, line, reason):
    broken, sketch = read_sketches(write_lines(tmp_path / "cat.ndjson", line, {"drawing": [[[1], [2]]]}))
    assert isinstance(broken, Broken)
    assert broken.number == 1
    assert reason in broken.reason
    assert isinstance(sketch, Sketch)


@pytest.fixture(scope="module")
def bin_file(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("bin") / "hot dog.bin"


@given(drawings=st.lists(st.tuples(st.integers(0, 2**64 - 1), st.booleans(), strokes_of_bytes), max_size=4))
def test_what_is_written_as_bin_is_read_back(bin_file, drawings):
    bin_file.write_bytes(b"".join(bin_record(key_id, strokes, said) for key_id, said, strokes in drawings))
    sketches = list(read_sketches(bin_file))
    assert [(sketch.key_id, sketch.recognized) for sketch in sketches] == [(k, r) for k, r, _ in drawings]
    assert all(sketch.word == "hot dog" for sketch in sketches)
    for sketch, (_, _, strokes) in zip(sketches, drawings, strict=True):
        for read, written in zip(sketch.strokes, strokes, strict=True):
            np.testing.assert_array_equal(read, written)


def test_a_bin_file_that_ends_early_is_broken_in_its_last_drawing(tmp_path):
    stroke = np.array([[1, 2], [3, 4], [5, 6]], np.uint8)
    whole = bin_record(1, [stroke]) + bin_record(2, [stroke, stroke])
    path = tmp_path / "cat.bin"
    for length in range(len(bin_record(1, [stroke])) + 1, len(whole)):
        path.write_bytes(whole[:length])
        first, last = read_sketches(path)
        assert first.key_id == 1
        assert (last.number, "not whole" in last.reason) == (2, True)


def test_a_bin_file_out_of_step_is_refused_because_nothing_after_it_can_be_trusted(tmp_path):
    path = tmp_path / "cat.bin"
    path.write_bytes(bin_record(1, []) + struct.pack("<Q2sbIH", 2, b"DE", 77, 0, 0))
    with pytest.raises(ValueError, match=r"cat\.bin: drawing 2 does not parse.*fetch"):
        list(read_sketches(path))


def test_every_official_drawing_is_read(shared):
    for path in sorted((shared / "data/quickdraw/simplified_official").glob("*.ndjson")):
        sketches = list(read_sketches(path))
        lines = [json.loads(line) for line in path.open()]
        assert [sketch.key_id for sketch in sketches] == [int(line["key_id"]) for line in lines]
        assert [sketch.recognized for sketch in sketches] == [line["recognized"] for line in lines]
        assert [[s.T.tolist() for s in k.strokes] for k in sketches] == [line["drawing"] for line in lines]
