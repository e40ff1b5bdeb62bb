"""Shards: what is written is read, in an order that depends on the drawings alone, and damage is noticed."""

import io
import json
import os
import tarfile
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepdraw.data import shards
from deepdraw.data.external_sort import SortedDrawings, write_sorted
from deepdraw.data.shard_index import index_bytes
from deepdraw.data.shards import Shards, write_shards
from deepdraw.drawings.packed import Drawings

OUTSIDE = ("../train-00000.tar", "/dev/zero", "", "..", "a\\b", "a\0b")  # names of no file within a folder


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
        write_shards(root, {"train": (["a", "b", "c"], drawings)}, metadata={})
        split = Shards(str(root)).split("train")
    assert by_key(Drawings.concatenate(list(split))) == by_key(drawings)
    assert split.block_sizes.sum() == number
    assert max(split.block_sizes) <= block


def test_the_bytes_do_not_depend_on_the_order_of_the_drawings(tmp_path):
    drawings = scribbles(50)
    for name, given_order in (("one", drawings), ("two", drawings.take(np.arange(50)[::-1]))):
        write_shards(tmp_path / name, {"train": (["a", "b", "c"], given_order)}, metadata={})
    one, two = (tmp_path / name / "train-00000.tar" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


@settings(max_examples=20, deadline=None)
@given(number=st.integers(1, 200), size=st.integers(1, 60), seed=st.integers(0, 99), few=st.booleans())
def test_drawings_that_were_sorted_in_files_give_the_bytes_of_those_in_memory(
    tmp_path_factory, number, size, seed, few
):
    folder, drawings = tmp_path_factory.mktemp("sorted"), scribbles(number, seed)
    if few:  # classes share key ids
        drawings = replace(drawings, key_ids=np.arange(number, dtype=np.uint64) % max(1, number // 2))
    parts = SortedDrawings()
    for label in range(3):
        of_class = drawings.take(np.flatnonzero(drawings.labels == label))
        with (folder / str(label)).open("wb") as file:
            file.write(b"before")
            parts.add(*write_sorted(file, folder / str(label), of_class), label=label)
    grouped = drawings.take(np.argsort(drawings.labels, kind="stable"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "SHARD", size)
        for name, given_form in (("memory", grouped), ("files", parts)):
            write_shards(folder / name, {"train": (["a", "b", "c"], given_form)}, metadata={})
    assert [path.name for path in sorted((folder / "memory").iterdir())] == [
        path.name for path in sorted((folder / "files").iterdir())
    ]
    for path in (folder / "memory").iterdir():
        assert path.read_bytes() == (folder / "files" / path.name).read_bytes()


def test_drawings_are_shuffled_over_all_shards(tmp_path):
    drawings = scribbles(2000)
    ordered = Drawings(
        drawings.points, drawings.stroke_lengths, drawings.stroke_counts, np.sort(drawings.labels), drawings.key_ids
    )
    write_shards(tmp_path, {"train": (["a", "b", "c"], ordered)}, metadata={})
    first = next(iter(Shards(str(tmp_path)).split("train")))
    assert (np.bincount(first.labels) / len(first) > 0.2).all()


def test_the_index_says_what_the_shards_hold(tmp_path):
    drawings = scribbles(30)
    write_shards(tmp_path, {"train": (["a", "b", "c"], drawings)}, metadata={"protocol": "original"})
    index = json.loads((tmp_path / "index.json").read_text())
    split = index["splits"]["train"]
    assert index["protocol"] == "original"
    assert list(split["per_class"].values()) == np.bincount(drawings.labels, minlength=3).tolist()
    assert sum(shard["num_drawings"] for shard in split["shards"]) == split["num_drawings"] == 30


def test_webdataset_reads_the_shards_too(tmp_path):
    import webdataset

    drawings = scribbles(700)
    write_shards(tmp_path, {"train": (["a", "b", "c"], drawings)}, metadata={})
    samples = list(webdataset.WebDataset(str(tmp_path / "train-00000.tar"), shardshuffle=False).decode())
    assert [len(sample["labels.npy"]) for sample in samples] == [512, 188]


@pytest.fixture
def root(tmp_path):
    write_shards(tmp_path, {"train": (["a", "b", "c"], scribbles(30))}, metadata={})
    return tmp_path


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda tar: tar.write_bytes(tar.read_bytes()[:-600]), r"has [\d,]+ of [\d,]+ bytes"),
        (lambda tar: tar.write_bytes(tar.read_bytes()[:-1] + b"x"), "does not match its checksum"),
        (lambda tar: tar.unlink(), "is missing"),
        (
            lambda tar: tar.with_name("index.json").unlink(),
            r"no shards in .* as split=FOLDER",
        ),
        (lambda tar: tar.with_name("index.json").write_text("{"), "is damaged or of another form"),
        (lambda tar: tar.with_name("index.json").write_text("{}"), "has format None"),
    ],
)
def test_damage_is_told_in_one_line_that_names_the_fix(root, damage, message):
    damage(root / "train-00000.tar")
    with pytest.raises(ValueError, match=message) as error:
        Shards(str(root)).split("train")
    assert "\n" not in str(error.value)
    assert "write" in str(error.value)


def test_every_bit_of_the_index_and_of_the_shards_counts(root):
    for file in ("index.json", "train-00000.tar"):
        whole = (root / file).read_bytes()
        for bit in np.random.default_rng(0).choice(8 * len(whole), 150, replace=False).tolist():
            damaged = bytearray(whole)
            damaged[bit // 8] ^= 1 << bit % 8
            (root / file).write_bytes(damaged)
            with pytest.raises(ValueError, match=file):
                Shards(str(root)).split("train")
        (root / file).write_bytes(whole)
    assert len(Shards(str(root)).split("train").labels) == 30


def test_shards_of_format_1_are_read_and_have_the_same_fingerprint(root):
    split = Shards(str(root)).split("train")
    index = json.loads((root / "index.json").read_text())
    del index["sha256"]
    (root / "index.json").write_text(json.dumps({**index, "format": "deepdraw-strokes-1"}, indent=1))
    old = Shards(str(root)).split("train")
    assert (old.fingerprint, old.labels.tolist()) == (split.fingerprint, split.labels.tolist())
    assert split.fingerprint == "2100cdc2e4e0c34207a0943e919351e675ee01818225b28365c3dbbf4841c4f9"


def changed(root, change) -> None:
    """Change what index.json says of its split, as someone who knows the checksum of an index would."""
    index = json.loads((root / "index.json").read_text())
    del index["sha256"]
    change(index["splits"]["train"])
    (root / "index.json").write_bytes(index_bytes(index))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda split: split.pop("shards"), "missing required field `shards`"),
        (lambda split: split.update(classes="abc"), "Expected `array`, got `str`"),
        (lambda split: split.update(classes=["a", "b", 3]), "Expected `str`, got `int`"),
        (lambda split: split.update(classes=["a", "b"]), "classes are not those of per_class"),
        (lambda split: split.update(classes=["a", "b", "b"]), "not all different"),
        (lambda split: split.update(classes=["a", "b", "c\n"]), "cannot be printed"),
        (lambda split: split.update(num_drawings=31), "31 drawings are not those of its classes"),
        (lambda split: split["shards"][0].update(num_drawings=10**9), "do not fit"),
        (lambda split: split["shards"][0].update(num_drawings=-1), "do not fit"),
        (lambda split: split["shards"][0].update(num_bytes="many"), "Expected `int`, got `str`"),
        (lambda split: split["shards"][0].pop("sha256"), "missing required field `sha256`"),
        (lambda split: split["shards"].append(split["shards"][0]), "its 30 drawings"),
        *((lambda split, file=file: split["shards"][0].update(file=file), "no plain name") for file in OUTSIDE),
    ],
)
def test_an_index_of_another_form_is_refused_in_one_line(root, change, message):
    changed(root, change)
    with pytest.raises(ValueError, match=rf"index\.json.*{message}") as error:
        Shards(str(root)).split("train")
    assert "\n" not in str(error.value)


def test_a_shard_that_is_no_regular_file_is_not_waited_for(root):
    (root / "train-00000.tar").unlink()
    os.mkfifo(root / "train-00000.tar")
    with pytest.raises(ValueError, match="is no regular file"):
        Shards(str(root)).split("train")


@pytest.mark.parametrize(
    "change",
    [
        {"labels": np.full(30, 3, np.uint16)},
        {"labels": np.zeros(29, np.uint16)},
        {"labels": np.zeros(30, np.int64)},
        {"labels": np.zeros((30, 1), np.uint16)},
        {"key_ids": np.zeros(30, np.int64)},
        {"points": np.zeros((9, 2), np.uint8)},
        {"points": np.zeros((9, 3), np.uint8)},
        {"points": np.zeros((9, 2), object)},
        {"stroke_counts": np.zeros(30, np.uint16)},
        {"stroke_lengths": np.full(3, 9, np.uint16)},
        {"points": None},
    ],
    ids=lambda change: " ".join(f"{name} {getattr(array, 'dtype', '')}" for name, array in change.items()),
)
def test_a_block_of_another_form_is_refused_in_one_line(root, change):
    drawings = next(iter(Shards(str(root)).split("train")))
    with tarfile.open(root / "train-00000.tar", "w") as tar:
        for name, array in ({name: getattr(drawings, name) for name in shards.ARRAYS} | change).items():
            if array is not None:
                file = io.BytesIO()
                np.save(file, array)
                member = tarfile.TarInfo(f"000000.{name}.npy")
                member.size = file.tell()
                tar.addfile(member, io.BytesIO(file.getvalue()))
    written = (root / "train-00000.tar").read_bytes()
    of_shard = {"num_bytes": len(written), "sha256": sha256(written).hexdigest()}
    changed(root, lambda split: split["shards"][0].update(of_shard))
    split = Shards(str(root)).split("train")
    with pytest.raises(ValueError, match=r"train-00000\.tar: .* holds no drawings as index\.json tells") as error:
        list(split)
    assert "\n" not in str(error.value)


def test_an_unknown_split_is_answered_with_those_there_are(root):
    with pytest.raises(ValueError, match="no split 'tset': choose one of train"):
        Shards(str(root)).split("tset")


def test_labels_and_complexity_are_told_without_drawing(tmp_path):
    drawings = scribbles(1200)
    write_shards(
        tmp_path, {"train": (["a", "b", "c"], drawings), "none": (["a"], drawings.take(np.arange(0)))}, metadata={}
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
