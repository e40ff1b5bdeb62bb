"""Packed drawings: what goes in comes out, in any order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepdraw.drawings.packed import Drawings, mix

points = st.lists(st.tuples(st.integers(0, 255), st.integers(0, 255)), min_size=1, max_size=9)
drawing = st.lists(points, min_size=1, max_size=5)


def as_lists(drawings: Drawings) -> list[list[list[tuple[int, int]]]]:
    return [[[(x, y) for x, y in stroke.tolist()] for stroke in drawings.strokes(i)] for i in range(len(drawings))]


def packed(strokes: list[list[list[tuple[int, int]]]]) -> Drawings:
    return Drawings.pack([[np.array(s) for s in d] for d in strokes], range(len(strokes)), range(len(strokes)))


@given(st.lists(drawing, max_size=6))
def test_packing_keeps_every_point(strokes):
    assert as_lists(packed(strokes)) == strokes


@given(st.lists(drawing, min_size=1, max_size=6), st.data())
def test_take_gives_drawings_in_the_order_asked_for(strokes, data):
    indices = data.draw(st.lists(st.integers(0, len(strokes) - 1), max_size=8))
    taken = packed(strokes).take(np.array(indices, np.int64))
    assert as_lists(taken) == [strokes[i] for i in indices]
    assert taken.labels.tolist() == taken.key_ids.tolist() == indices


@given(st.lists(drawing, min_size=1, max_size=6), st.lists(st.integers(0, 5), max_size=8), st.integers(1, 3))
def test_many_are_taken_a_few_at_a_time_all_the_same(strokes, chosen, at_once):
    indices = np.array(chosen, np.int64) % len(strokes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("deepdraw.drawings.packed.AT_ONCE", at_once)
        taken = packed(strokes).take(indices)
    assert as_lists(taken) == [strokes[i] for i in indices]


@given(st.lists(drawing, min_size=1, max_size=3), st.lists(drawing, min_size=1, max_size=3))
def test_concatenation_appends(first, second):
    assert as_lists(Drawings.concatenate([packed(first), packed(second)])) == first + second


def test_mix_is_splitmix64():
    assert mix(np.zeros(1, np.uint64), "a") != mix(np.zeros(1, np.uint64), "b")
    bits = np.unpackbits(mix(np.arange(4096, dtype=np.uint64), "split").view(np.uint8)).reshape(-1, 64)
    assert abs(bits.mean(axis=0) - 0.5).max() < 0.05
