"""Splits made of others give the very drawings, labels and key ids that the others give."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepdraw.data import shards, subset
from deepdraw.data.loader import Loader
from deepdraw.data.shards import Shards, write_shards
from deepdraw.data.subset import Joined, JoinedLoader, Relabeled, Subset
from deepdraw.drawings.packed import Drawings
from deepdraw.drawings.raster import Rasterizer

NUMBERS = {"seen": 61, "unseen": 23}
CLASSES = {"seen": ["apple", "bat", "cat"], "unseen": ["dog", "eye"]}


def scribbles(number: int, num_classes: int, seed: int) -> Drawings:
    rng = np.random.default_rng(seed)
    strokes = [
        [rng.integers(0, 256, (rng.integers(1, 9), 2)) for _ in range(rng.integers(1, 4))] for _ in range(number)
    ]
    return Drawings.pack(strokes, rng.integers(0, num_classes, number), rng.permutation(10 * number)[:number])


@pytest.fixture(scope="module", autouse=True)
def small_blocks():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "BLOCK", 7)
        patch.setattr(shards, "SHARD", 14)
        patch.setattr(subset, "BLOCK", 5)
        yield


@pytest.fixture(scope="module")
def root(tmp_path_factory, small_blocks):
    root = tmp_path_factory.mktemp("shards")
    written = {
        name: (CLASSES[name], scribbles(number, len(CLASSES[name]), seed))
        for seed, (name, number) in enumerate(NUMBERS.items())
    }
    write_shards(root, written, metadata={})
    return root


@pytest.fixture(scope="module")
def seen(root):
    return Shards(str(root)).split("seen")


@pytest.fixture(scope="module")
def unseen(root):
    return Shards(str(root)).split("unseen")


def read(split, blocks, rows):
    images = np.zeros((len(rows), 16, 16), np.uint8)
    return images, *split.read(np.array(blocks, np.int64), np.array(rows, np.int64), Rasterizer(16, 1.0), images)


def read_all(split):
    return read(split, range(len(split.block_sizes)), range(split.block_sizes.sum()))


def reads(data, split):
    """Blocks of a split, rows of their concatenation, and the positions in stored order that these mean."""
    blocks = data.draw(st.permutations(range(len(split.block_sizes))))[: data.draw(st.integers(1, 4))]
    starts = np.cumsum(split.block_sizes) - split.block_sizes
    positions = np.concatenate([starts[block] + np.arange(split.block_sizes[block]) for block in blocks])
    rows = data.draw(st.lists(st.integers(0, len(positions) - 1), min_size=1, max_size=20))
    return blocks, rows, positions[rows]


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        assert np.array_equal(one, other)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_subset_gives_the_drawings_at_its_positions(data, seen):
    positions = data.draw(st.lists(st.integers(0, NUMBERS["seen"] - 1), min_size=1, max_size=40))
    split = Subset(seen, positions)
    blocks, rows, places = reads(data, split)
    chosen = np.array(positions)[places]
    assert_same(read(split, blocks, rows), [array[chosen] for array in read_all(seen)])
    assert np.array_equal(split.labels, seen.labels[positions])
    assert split.complexity().points.tolist() == seen.complexity().points[positions].tolist()
    assert split.block_sizes.sum() == len(positions)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_joined_splits_give_the_drawings_of_both(data, seen, unseen):
    split = Joined(seen, unseen)
    blocks, rows, places = reads(data, split)
    first, second = read_all(seen), read_all(unseen)
    whole = [np.concatenate(pair) for pair in zip(first, (second[0], second[1] + 3, second[2]), strict=True)]
    assert_same(read(split, blocks, rows), [array[places] for array in whole])
    assert np.array_equal(split.labels, whole[1])
    assert split.classes == ["apple", "bat", "cat", "dog", "eye"]
    assert split.complexity().strokes.tolist() == [*seen.complexity().strokes, *unseen.complexity().strokes]


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_a_relabeled_split_numbers_the_classes_given(data, seen):
    classes = data.draw(st.permutations(["apple", "bat", "cat", "dog", "eye"]))
    split = Relabeled(seen, classes)
    blocks, rows, _ = reads(data, split)
    images, labels, key_ids = read(split, blocks, rows)
    own = read(seen, blocks, rows)
    assert np.array_equal(images, own[0])
    assert np.array_equal(key_ids, own[2])
    assert [classes[label] for label in labels] == [seen.classes[label] for label in own[1]]
    assert [classes[label] for label in split.labels] == [seen.classes[label] for label in seen.labels]


def composed(seen, unseen):
    return Subset(Joined(Relabeled(seen, ["cat", "bat", "apple"]), Subset(unseen, [3, 1, 4])), range(50, 64))


@pytest.mark.parametrize("shuffle", [False, True])
def test_workers_read_what_one_process_reads(seen, unseen, shuffle):
    options = {"batch_size": 4, "shuffle": shuffle, "device": torch.device("cpu")}
    epochs = []
    for num_workers in (0, 2):
        loader = Loader(composed(seen, unseen), Rasterizer(16, 1.0), num_workers=num_workers, **options)
        epochs.append([[tensor.numpy() for tensor in batch] for batch in loader.epoch(1)])
        loader.close()
    for alone, many in zip(*epochs, strict=True):
        assert_same(many, alone)


def loader(split, batch_size=8):
    options = {"shuffle": False, "device": torch.device("cpu"), "num_workers": 0}
    return Loader(split, Rasterizer(16, 1.0), batch_size=batch_size, **options)


def test_a_joined_loader_gives_the_batches_of_one_and_then_of_the_other(seen, unseen):
    joined = JoinedLoader(loader(seen), loader(unseen))
    batches = list(joined.epoch())
    assert len(joined) == len(batches) == 8 + 3
    assert joined.classes == Joined(seen, unseen).classes
    assert joined.batch_size == 8
    assert joined.num_drawings == 61 + 23
    whole = list(loader(Joined(seen, unseen), batch_size=84).epoch())
    for tensors, (expected,) in zip(zip(*batches, strict=True), zip(*whole, strict=True), strict=True):
        assert torch.equal(torch.cat(tensors), expected)


@pytest.mark.parametrize("first", [0, 5, 8, 9, 11, 20])
def test_an_epoch_of_a_joined_loader_may_begin_at_any_batch(seen, unseen, first):
    joined = JoinedLoader(loader(seen), loader(unseen))
    begun, whole = list(joined.epoch(0, first)), list(joined.epoch())[first:]
    for batch, expected in zip(begun, whole, strict=True):
        assert all(map(torch.equal, batch, expected))


def test_a_pickled_split_reads_the_same(seen, unseen):
    split = composed(seen, unseen)
    assert_same(read_all(pickle.loads(pickle.dumps(split))), read_all(split))


def test_no_drawings_are_a_subset_too(seen):
    assert Subset(seen, []).block_sizes.sum() == 0
    assert len(Subset(seen, []).labels) == 0
    assert len(Subset(seen, []).complexity().strokes) == 0


def test_the_fingerprint_changes_with_positions_their_order_and_classes(seen, unseen):
    splits = [
        seen,
        Subset(seen, [1, 2]),
        Subset(seen, [2, 1]),
        Subset(unseen, [1, 2]),
        Joined(seen, unseen),
        Joined(unseen, seen),
        Relabeled(seen, ["apple", "bat", "cat"]),
        Relabeled(seen, ["cat", "bat", "apple"]),
    ]
    assert len({split.fingerprint for split in splits}) == len(splits)
    assert Subset(seen, [1, 2]).fingerprint == Subset(seen, [1, 2]).fingerprint


def test_a_position_outside_of_the_split_is_refused(seen):
    for position in (-1, NUMBERS["seen"]):
        with pytest.raises(ValueError, match=f"no drawing {position} in a split of 61"):
            Subset(seen, [0, position])


def test_splits_with_a_common_class_cannot_be_joined(seen):
    with pytest.raises(ValueError, match="both have 'apple', 'bat', 'cat'"):
        Joined(seen, seen)


def test_a_class_that_is_not_known_is_named_with_the_nearest(seen):
    with pytest.raises(ValueError, match=r"^'apple' \(did you mean 'apples'\?\) is not among the 3 known classes"):
        Relabeled(seen, ["apples", "bat", "cat"])
    with pytest.raises(ValueError, match=r"^'apple', 'bat', 'cat' are not among the 1 known classes"):
        Relabeled(seen, ["submarine"])
