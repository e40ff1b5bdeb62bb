"""Drawings in files are divided by what is drawn: in equal shares of each class, and copies always together."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepdraw.data.files.split_rule import OPEN, TEST, TRAIN, VAL, complete, divide

pairs = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 4)), min_size=1, max_size=120)


def arrays(drawn: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    contents, labels = zip(*drawn, strict=True)
    return np.array(contents, np.uint64) * np.uint64(0x9E3779B97F4A7C15), np.array(labels)


@settings(max_examples=200, deadline=None)
@given(pairs, st.integers(0, 9), st.randoms())
def test_copies_stay_together_and_the_order_of_files_changes_nothing(drawn, seed, random):
    contents, labels = arrays(drawn)
    splits = divide(contents, labels, seed, (0.1, 0.2))
    assert len(set(zip(contents, splits, strict=True))) == len(set(contents))
    order = np.array(random.sample(range(len(drawn)), len(drawn)))
    assert np.array_equal(divide(contents[order], labels[order], seed, (0.1, 0.2)), splits[order])


@pytest.mark.parametrize(("number", "val", "test"), [(200, 20, 40), (10, 1, 2), (3, 1, 1), (2, 0, 1), (1, 0, 0)])
def test_every_class_is_divided_in_the_same_shares(number, val, test):
    labels = np.repeat(np.arange(7), number)
    contents = np.random.default_rng(0).permutation(len(labels)).astype(np.uint64)
    splits = divide(contents, labels, 0, (0.1, 0.2))
    for label in range(7):
        found = np.bincount(splits[labels == label], minlength=3)
        assert found.tolist() == [number - val - test, val, test]


def test_another_seed_divides_otherwise():
    contents, labels = np.arange(300, dtype=np.uint64), np.repeat([0, 1, 2], 100)
    one, two = (divide(contents, labels, seed, (0.1, 0.2)) for seed in (0, 1))
    assert 50 < (one != two).sum() < 200


def test_a_drawing_that_is_added_moves_hardly_any_other():
    contents, labels = np.random.default_rng(0).integers(0, 1 << 63, 101).astype(np.uint64), np.zeros(101, int)
    before = divide(contents[:100], labels[:100], 0, (0.1, 0.2))
    after = divide(contents, labels, 0, (0.1, 0.2))[:100]
    assert (before != after).sum() <= 2


@settings(max_examples=200, deadline=None)
@given(pairs, st.data())
def test_a_given_split_is_kept_and_open_copies_follow_it(drawn, data):
    contents, labels = arrays(drawn)
    chosen = st.lists(st.sampled_from([OPEN, OPEN, TRAIN, VAL, TEST]), min_size=len(drawn), max_size=len(drawn))
    given = np.array(data.draw(chosen), np.int8)
    splits = complete(given, contents, labels, 0, 0.1, 0.2)
    assert set(splits) <= {TRAIN, VAL, TEST}
    if (given == OPEN).any():
        assert np.array_equal(splits[given != OPEN], given[given != OPEN])
    for content in contents[given == OPEN]:
        known = set(given[(contents == content) & (given != OPEN)])
        assert not known or set(splits[(contents == content) & (given == OPEN)]) <= known


def test_a_split_that_no_folder_names_is_taken_from_train():
    contents, labels = np.arange(100, dtype=np.uint64), np.zeros(100, int)
    given = np.where(np.arange(100) < 30, TEST, TRAIN).astype(np.int8)
    splits = complete(given, contents, labels, 0, 0.1, 0.2)
    assert np.bincount(splits).tolist() == [63, 7, 30]
    assert np.array_equal(splits == TEST, given == TEST)
