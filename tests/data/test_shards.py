"""Shards: what is written is read, in an order that depends on the drawings alone, and damage is noticed."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepdraw.data import shards
from deepdraw.data.drawings import Drawings
from deepdraw.data.shards import Shards, write_shards


def scribbles(number: int, seed: int = 0) -> Drawings:
    rng = np.random.default_rng(seed)
    strokes = [
        [rng.integers(0, 256, (rng.integers(1, 9), 2)) for _ in range(rng.integers(1, 4))] for _ in range(number)
    ]
    return Drawings.pack(strokes, rng.integers(0, 3, number), rng.permutation(10 * number)[:number])


def by_key(drawings: Drawings) -> dict[int, tuple]:
    return {
        int(key): (int(label), [stroke.tolist() for stroke in drawings.strokes(i)])
        for i, (key, label) in enumerate(zip(drawings.key_ids, drawings.labels, strict=True))
    }


@settings(max_examples=20, deadline=None)
@given(number=st.integers(1, 60), block=st.integers(1, 20), blocks=st.integers(1, 3), seed=st.integers(0, 99))
def test_what_is_written_is_read(tmp_path_factory, number, block, blocks, seed):
    root, drawings = tmp_path_factory.mktemp("shards"), scribbles(number, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "BLOCK", block)
        patch.setattr(shards, "SHARD", block * blocks)
        write_shards(root, {"train": (["a", "b", "c"], drawings)}, about={})
        split = Shards(str(root)).split("train")
    assert by_key(Drawings.concatenate(list(split))) == by_key(drawings)
    assert split.block_sizes.sum() == number
    assert max(split.block_sizes) <= block


def test_the_bytes_do_not_depend_on_the_order_of_the_drawings(tmp_path):
    drawings = scribbles(50)
    for name, given_order in (("one", drawings), ("two", drawings.take(np.arange(50)[::-1]))):
        write_shards(tmp_path / name, {"train": (["a", "b", "c"], given_order)}, about={})
    one, two = (tmp_path / name / "train-00000.tar" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


def test_drawings_are_shuffled_over_all_shards(tmp_path):
    drawings = scribbles(2000)
    ordered = Drawings(
        drawings.points, drawings.stroke_lengths, drawings.stroke_counts, np.sort(drawings.labels), drawings.key_ids
    )
    write_shards(tmp_path, {"train": (["a", "b", "c"], ordered)}, about={})
    first = next(iter(Shards(str(tmp_path)).split("train")))
    assert (np.bincount(first.labels) / len(first) > 0.2).all()


def test_the_index_says_what_the_shards_hold(tmp_path):
    drawings = scribbles(30)
    write_shards(tmp_path, {"train": (["a", "b", "c"], drawings)}, about={"protocol": "original"})
    index = json.loads((tmp_path / "index.json").read_text())
    split = index["splits"]["train"]
    assert index["protocol"] == "original"
    assert list(split["per_class"].values()) == np.bincount(drawings.labels, minlength=3).tolist()
    assert sum(shard["num_drawings"] for shard in split["shards"]) == split["num_drawings"] == 30


def test_webdataset_reads_the_shards_too(tmp_path):
    import webdataset

    drawings = scribbles(700)
    write_shards(tmp_path, {"train": (["a", "b", "c"], drawings)}, about={})
    samples = list(webdataset.WebDataset(str(tmp_path / "train-00000.tar"), shardshuffle=False).decode())
    assert [len(sample["labels.npy"]) for sample in samples] == [512, 188]


@pytest.fixture
def root(tmp_path):
    write_shards(tmp_path, {"train": (["a", "b", "c"], scribbles(30))}, about={})
    return tmp_path


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda tar: tar.write_bytes(tar.read_bytes()[:-600]), r"has [\d,]+ of [\d,]+ bytes"),
        (lambda tar: tar.write_bytes(tar.read_bytes()[:-1] + b"x"), "does not match its checksum"),
        (lambda tar: tar.unlink(), "is missing"),
        (lambda tar: tar.with_name("index.json").unlink(), "no shards in"),
        (lambda tar: tar.with_name("index.json").write_text("{"), "is not valid JSON"),
        (lambda tar: tar.with_name("index.json").write_text("{}"), "has format None"),
    ],
)
def test_damage_is_told_in_one_line_that_names_the_fix(root, damage, message):
    damage(root / "train-00000.tar")
    with pytest.raises(ValueError, match=message) as error:
        Shards(str(root)).split("train")
    assert "\n" not in str(error.value)
    assert "write" in str(error.value)


def test_an_unknown_split_is_answered_with_those_there_are(root):
    with pytest.raises(ValueError, match="no split 'tset': choose one of train"):
        Shards(str(root)).split("tset")


def test_labels_and_complexity_are_told_without_drawing(tmp_path):
    drawings = scribbles(1200)
    write_shards(
        tmp_path, {"train": (["a", "b", "c"], drawings), "none": (["a"], drawings.take(np.arange(0)))}, about={}
    )
    split, none = (Shards(str(tmp_path)).split(name) for name in ("train", "none"))
    stored = Drawings.concatenate(list(split))
    strokes = [stored.strokes(i) for i in range(len(stored))]
    complexity = split.complexity()
    assert split.labels.dtype == np.int64
    assert split.labels.tolist() == stored.labels.tolist()
    assert complexity.strokes.tolist() == [len(drawing) for drawing in strokes]
    assert complexity.points.tolist() == [sum(map(len, drawing)) for drawing in strokes]
    assert complexity.strokes.dtype == complexity.points.dtype == np.uint16
    assert len(none.labels) == len(none.complexity().points) == 0
