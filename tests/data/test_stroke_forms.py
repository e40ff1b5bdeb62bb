"""A drawing is the same drawing in whatever form people keep its strokes: lists, records, steps, JSON, CSV."""

from __future__ import annotations

import csv
import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepdraw.data import Shards, open_folder
from deepdraw.data.quickdraw.__main__ import Options, convert
from deepdraw.drawings import Broken, Sketch, parse_strokes, read_sketches, simplify
from deepdraw.runtime import parse

CAT = [[[0, 255, 255], [0, 0, 200]], [[40, 200], [60, 61]], [[7], [9]]]  # as an official simplified file has it
RAW = [[[100.25, 400.5, 380.0], [90.0, 91.5, 300.0]], [[120.5], [100.0]]]
POINTS = [np.array(stroke).T for stroke in CAT]


def lists(strokes: list[np.ndarray]) -> list[list[list[float]]]:
    return [stroke.T.tolist() for stroke in strokes]


def transposed(strokes: list[Any]) -> dict[str, Any]:
    return {"x": [stroke[0] for stroke in strokes], "y": [stroke[1] for stroke in strokes]}


FORMS: dict[str, Callable[[list[Any]], Any]] = {
    "lists": lambda drawing: drawing,
    "tuples": lambda drawing: tuple(tuple(map(tuple, stroke)) for stroke in drawing),
    "arrays": lambda drawing: [np.array(stroke).T for stroke in drawing],
    "rows as arrays": lambda drawing: [[np.array(row) for row in stroke] for stroke in drawing],
    "records (BigQuery)": lambda drawing: [{"x": x, "y": y} for x, y in drawing],
    "records without times": lambda drawing: [{"x": x, "y": y, "t": None} for x, y in drawing],
    "records of points": lambda drawing: [
        [{"x": x, "y": y} for x, y in zip(*stroke, strict=True)] for stroke in drawing
    ],
    "one record (Hugging Face)": transposed,
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("drawing", [CAT, RAW], ids=["simplified", "raw"])
def test_all_forms_of_strokes_are_one_drawing(form, drawing):
    expected = simplify([np.array(stroke).T for stroke in RAW]) if drawing is RAW else POINTS
    found = parse_strokes(FORMS[form](drawing))
    assert all(stroke.dtype == np.uint8 for stroke in found)
    assert [stroke.tolist() for stroke in found] == [stroke.tolist() for stroke in expected]


@pytest.mark.parametrize("dtype", ["u1", "i2", "i8", "u8", "f2", "f4", "f8"])
def test_whole_numbers_of_any_type_are_simplified_already(dtype):
    assert lists(parse_strokes([stroke.astype(dtype) for stroke in POINTS])) == CAT


@pytest.mark.parametrize("times", [[0, 5, 9], [0.0, 5.5, 9.25]])
def test_times_make_a_drawing_raw_in_lists_and_records(times):
    x, y = [10, 20, 110], [5, 5, 55]
    expected = lists(simplify([np.array([x, y]).T]))
    assert expected == [[[0, 26, 255], [0, 0, 127]]]
    assert lists(parse_strokes([[x, y, times]])) == expected
    assert lists(parse_strokes([{"x": x, "y": y, "t": times}])) == expected
    assert lists(parse_strokes([{"x": x, "y": y}])) == [[x, y]]


def nested(inner: st.SearchStrategy) -> st.SearchStrategy:
    return st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("xyt"), inner, max_size=3)


any_json = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=2), nested)


@settings(max_examples=100, deadline=None)
@given(any_json)
def test_any_json_is_strokes_or_a_value_error_in_one_line(tmp_path_factory, drawing):
    path = tmp_path_factory.getbasetemp() / "cat.ndjson"
    path.write_text(json.dumps({"drawing": drawing}) + "\n")
    (found,) = read_sketches(path)
    if isinstance(found, Broken):
        assert "\n" not in found.reason
    else:
        assert all(stroke.dtype == np.uint8 and len(stroke) and stroke.shape[1] == 2 for stroke in found.strokes)


def test_a_record_may_hold_its_strokes_as_text_and_begin_with_a_byte_order_mark(tmp_path):
    path = tmp_path / "cat.ndjson"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps({"word": None, "key_id": None, "drawing": json.dumps(CAT)}).encode())
    (sketch,) = read_sketches(path)
    assert (sketch.word, lists(sketch.strokes)) == ("cat", CAT)


def write_csv(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_kaggles_csv_is_read_with_and_without_words(tmp_path):
    train = {"countrycode": "DE", "drawing": json.dumps(CAT), "key_id": 2**63, "recognized": "True", "word": "hot dog"}
    rows = [train, train | {"recognized": "False"}, train | {"recognized": ""}, train | {"drawing": "[[1"}]
    *whole, broken = read_sketches(write_csv(tmp_path / "train.csv", rows), any_word=True)
    assert [(s.word, s.key_id, s.recognized, lists(s.strokes)) for s in whole] == [
        ("hot dog", 2**63, said, CAT) for said in (True, False, None)
    ]
    assert isinstance(broken, Broken) and broken.number == 4

    test = {"key_id": 5, "countrycode": "DE", "drawing": json.dumps(CAT)}
    (sketch,) = read_sketches(write_csv(tmp_path / "test.csv", [test]))
    assert (sketch.word, sketch.key_id, sketch.recognized, lists(sketch.strokes)) == ("test", 5, None, CAT)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"path,label\na.png,cat\n", "no column named drawing in its first line: name"),
        (b"", "no column named drawing"),
        (b"drawing\n\xff\xfe\n", "is no CSV of drawings, after line 1"),
        (b'drawing\n"' + b"1\n" * 3_000_000, "is no CSV of drawings"),
    ],
    ids=["other columns", "empty", "no text", "endless"],
)
def test_a_csv_without_drawings_is_refused_in_one_line(tmp_path, content, message):
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(ValueError, match=rf"x\.csv {message}|x\.csv has {message}") as refused:
        list(read_sketches(tmp_path / "x.csv"))
    assert "\n" not in str(refused.value)


def steps(drawing: list[np.ndarray]) -> np.ndarray:
    """A drawing as sketch-rnn writes it: int16 (dx, dy, pen)."""
    pen = np.concatenate([np.arange(len(stroke)) == len(stroke) - 1 for stroke in drawing])
    return np.column_stack([np.diff(np.concatenate(drawing), axis=0, prepend=[[0, 0]]), pen]).astype(np.int16)


def objects(arrays: list[np.ndarray]) -> np.ndarray:
    found = np.empty(len(arrays), object)
    found[:] = arrays
    return found


def write_npz(path: Path, protocol: int | None = None, **splits: np.ndarray) -> Path:
    if protocol is None:
        np.savez_compressed(path, **splits)
        return path
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, split in splits.items():
            file = io.BytesIO()
            header = {"descr": "|O", "fortran_order": False, "shape": split.shape}
            np.lib.format.write_array_header_1_0(file, header)
            archive.writestr(f"{name}.npy", file.getvalue() + pickle.dumps(split, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", [None, 2, 3, 4])
def test_sketch_rnn_files_keep_their_splits(tmp_path, protocol):
    other = [POINTS[1]]
    splits = {
        "train": objects([steps(POINTS), steps(other)]), "valid": objects([steps(other)]),
        "test": objects([steps(POINTS)]),
    }  # fmt: skip
    sketches = list(read_sketches(write_npz(tmp_path / "cat.npz", protocol, **splits)))
    assert [(sketch.split, sketch.word) for sketch in sketches] == [
        ("train", "cat"), ("train", "cat"), ("val", "cat"), ("test", "cat")
    ]  # fmt: skip
    assert lists(sketches[0].strokes) == lists(sketches[3].strokes) == CAT
    assert sketches[0].key_id == sketches[3].key_id != sketches[1].key_id


def test_steps_that_begin_elsewhere_are_moved_and_larger_ones_simplified(tmp_path):
    far, large = steps(POINTS), steps([3 * POINTS[0]]).astype(float)
    far[0, :2] -= 100
    moved, scaled = read_sketches(write_npz(tmp_path / "cat.npz", train=objects([far, large])))
    assert lists(moved.strokes) == CAT
    assert lists(scaled.strokes) == lists(simplify([POINTS[0]]))


def test_drawings_of_equal_length_are_one_array_for_numpy(tmp_path):
    both = np.stack([steps(POINTS), steps(POINTS)])
    assert [lists(sketch.strokes) for sketch in read_sketches(write_npz(tmp_path / "a.npz", test=both))] == [CAT, CAT]


class Evil:
    """Its pickle asks to run a command."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.system, (self.command,)


def refusal(path: Path) -> str:
    with pytest.raises(ValueError, match=rf"{path.name}") as refused:
        list(read_sketches(path))
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_pickle_that_asks_for_more_than_arrays_is_refused_and_nothing_is_run(tmp_path, protocol):
    hit = tmp_path / "hit"
    evil = objects([steps(POINTS), Evil(f"touch {hit}")])
    assert "names" in refusal(write_npz(tmp_path / "cat.npz", protocol, train=evil))
    assert not hit.exists()


def test_other_npz_files_are_refused(tmp_path):
    assert "holds features.npy" in refusal(write_npz(tmp_path / "a.npz", features=np.zeros(3)))
    assert "f8" in refusal(write_npz(tmp_path / "b.npz", train=np.zeros((3, 2)))).replace("float64", "f8")
    (tmp_path / "c.npz").write_bytes(b"PK\3\4 no archive")
    assert "no file of sketch-rnn" in refusal(tmp_path / "c.npz")


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_damaged_pickle_gives_sketches_or_a_value_error_in_little_memory(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "cat.npz"
    content = bytearray(pickle.dumps(objects([steps(POINTS)] * 3), protocol=data.draw(st.sampled_from([2, 3, 4]))))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": (3,)})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("train.npy", file.getvalue() + bytes(content))
    try:
        assert all(isinstance(found, Sketch | Broken) for found in read_sketches(path))
    except ValueError as error:
        assert "\n" not in str(error)


def test_each_row_of_a_bitmap_file_is_an_image_dark_on_light(tmp_path):
    white_on_black = np.random.default_rng(0).integers(0, 256, (5000, 784), np.uint8)
    for name, array in (("cat", white_on_black), ("dog", white_on_black.reshape(-1, 28, 28))):
        np.save(tmp_path / f"{name}.npy", array)
        sketches = list(read_sketches(tmp_path / f"{name}.npy"))
        assert len(sketches) == 5000 and {sketch.word for sketch in sketches} == {name}
        assert len({sketch.key_id for sketch in sketches}) == 5000
        assert np.array_equal([sketch.image for sketch in sketches], 255 - white_on_black.reshape(-1, 28, 28))
        assert not any(sketch.strokes for sketch in sketches)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 783), np.uint8), r"holds uint8 \[3, 783\]"),
        (np.zeros((3, 784)), "holds float64"),
        (np.zeros(784, np.uint8), r"holds uint8 \[784\]"),
        (np.zeros((0, 784), np.uint8), r"holds uint8 \[0, 784\]"),
        (np.asfortranarray(np.zeros((3, 784), np.uint8)), "in Fortran order"),
        (objects([1, 2]), "an array holds objects"),
    ],
    ids=["other width", "floats", "one image", "none", "Fortran", "objects"],
)
def test_other_arrays_are_refused_in_one_line(tmp_path, array, message):
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(ValueError, match=rf"x\.npy .*{message}.*give uint8 \[N, 784\]"):
        list(read_sketches(tmp_path / "x.npy"))
    whole = np.zeros((3, 784), np.uint8)
    np.save(tmp_path / "y.npy", whole)
    (tmp_path / "y.npy").write_bytes((tmp_path / "y.npy").read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"y\.npy is cut short"):
        list(read_sketches(tmp_path / "y.npy"))


def prepared(root: Path, source: Path, *arguments: str) -> dict[str, list[int]]:
    """The key ids that preparation puts into each split."""
    convert(parse(Options, [f"root={root}", f"source={source}", *arguments]))
    shards = Shards(str(root))
    return {split: sorted(k for part in shards.split(split) for k in part.key_ids.tolist()) for split in shards.splits}


def test_shards_keep_the_splits_of_sketch_rnn_where_they_are_asked_to(tmp_path):
    (tmp_path / "source").mkdir()
    each = [objects([steps([POINTS[0] // (k + n)]) for n in range(3)]) for k in (1, 10, 20)]
    path = tmp_path / "source/sketchrnn_zebra.npz"
    write_npz(path, train=each[0], valid=each[1], test=objects([*each[2], *each[0][:1]]))
    keys = {split: [] for split in ("train", "val", "test")}
    for sketch in read_sketches(path):
        keys[sketch.split].append(sketch.key_id)
    leaked = keys["test"].pop()  # it is in train, too
    assert leaked in keys["train"]
    found = prepared(tmp_path / "kept", tmp_path / "source", "split_rule=file")
    assert found == {split: sorted(ids) for split, ids in keys.items()}
    assert prepared(tmp_path / "kept", tmp_path / "source", "split_rule=sketchrnn") == found  # the name of today
    by_key = prepared(tmp_path / "by_key", tmp_path / "source")
    assert sum(map(len, by_key.values())) == 9
    write_csv(tmp_path / "source/yoga.csv", [{"drawing": json.dumps(CAT)}])
    with pytest.raises(ValueError, match=r"yoga\.csv does not say the splits of its drawings"):
        prepared(tmp_path / "none", tmp_path / "source", "split_rule=file")


def test_a_file_of_any_form_is_a_split_of_its_words(tmp_path):
    rows = [{"key_id": k, "word": word, "drawing": json.dumps(CAT)} for k, word in enumerate(["dog", "cat", "dog"])]
    split = open_folder(write_csv(tmp_path / "x.csv", rows))
    assert (split.classes, split.labels.tolist(), len(split.complexity().strokes)) == (["cat", "dog"], [1, 0, 1], 3)
    image = np.zeros((28, 28), np.uint8)
    image[10, 3:25] = 255
    np.save(tmp_path / "cat.npy", np.stack([image, image.T]).reshape(2, 784))
    split = open_folder(tmp_path / "cat.npy")
    assert (split.classes, split.labels.tolist()) == (["cat"], [0, 0])
    np.save(tmp_path / "blank.npy", np.zeros((1, 784), np.uint8))
    with pytest.raises(ValueError, match=r"blank\.npy: image 1 has no ink"):
        open_folder(tmp_path / "blank.npy")
