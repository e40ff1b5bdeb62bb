"""What is drawn is kept with its name, as a data set that is trained on like any other."""

from __future__ import annotations

import json

import pytest

import deepdraw
from deepdraw.data.files import Folder
from deepdraw.draw import Collection
from deepdraw.drawings import parse_strokes, read_sketches

NAMES = [
    "cat",
    "<script>alert(1)</script>",
    "../../etc/passwd",
    ".hidden",
    "a/b",
    "naïve café",
    "x" * 100,
    "猫" * 40,
    "CON",
]


def test_what_was_kept_is_read_again_by_its_name(tmp_path, drawn):
    collection = Collection(tmp_path / "mine")
    for name in NAMES:
        for corners in (3, 4, 8):
            collection.keep(name, drawn(corners))
    files = sorted((tmp_path / "mine").iterdir())
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == files
    words = {}
    for file in files:
        sketches = list(read_sketches(file, any_word=True))
        words[sketches[0].word] = [sketch.word for sketch in sketches]
        for sketch, corners in zip(sketches, (3, 4, 8), strict=True):
            expected = parse_strokes(drawn(corners))
            assert all((one == other).all() for one, other in zip(sketch.strokes, expected, strict=True))
    assert words == {name: [name] * 3 for name in NAMES}


def test_data_folder_reads_the_collection(tmp_path, drawn):
    collection = Collection(tmp_path / "mine")
    for seed in range(20):
        collection.keep("triangle", drawn(3, seed))
        collection.keep("a/b", drawn(4, seed))
    source = Folder(str(tmp_path / "mine"), unseen=[], val=0.1, test=0.2, seed=0)
    splits = [source.split(name) for name in ("train", "val", "test")]
    assert {tuple(split.classes) for split in splits} == {("a/b", "triangle")}
    assert sum(len(split.labels) for split in splits) == 40


def test_a_line_that_a_power_cut_left_incomplete_is_the_only_one_lost(tmp_path, drawn):
    Collection(tmp_path).keep("cat", drawn(3))
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes() + b'{"word": "cat", "draw')
    Collection(tmp_path).keep("cat", drawn(4))
    lines = file.read_text().splitlines()
    assert len(lines) == 3
    assert [json.loads(lines[index])["word"] for index in (0, 2)] == ["cat", "cat"]


@pytest.mark.parametrize("name", ["", "  ", "x" * 101, "a\nb", "\ud800", "a\x1bb"])
def test_what_is_no_name_is_refused_in_one_line(tmp_path, drawn, name):
    with pytest.raises(ValueError, match="is no name") as refused:
        Collection(tmp_path).keep(name, drawn(3))
    assert "\n" not in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_what_is_no_drawing_is_not_kept(tmp_path):
    with pytest.raises(ValueError, match="is no stroke|differ in length"):
        Collection(tmp_path).keep("cat", [[[0, 1], [0], [0]]])
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_refused_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot be written"):
        Collection(tmp_path / "file" / "mine")


def test_a_network_is_trained_on_what_was_kept(tmp_path, drawn, train):
    collection = Collection(tmp_path / "mine")
    for seed in range(30):
        collection.keep("triangle", drawn(3, seed))
        collection.keep("a/b", drawn(4, seed))
    recognizer = deepdraw.load(train("data=folder", f"data.root={tmp_path / 'mine'}", "train.epochs=1"))
    assert recognizer.classes == ["a/b", "triangle"]
    (guesses,) = recognizer.predict(drawn(3, 99))
    assert {guess.name for guess in guesses} == {"a/b", "triangle"}
