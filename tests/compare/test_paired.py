"""Paired tests of two runs, against naive references, and which drawings are paired."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from deepdraw.compare.paired import NotComparable, common, difference, holm
from deepdraw.evaluation.predictions import Predictions
from tests.compare.conftest import CLASSES, N, predictions


@pytest.mark.parametrize("gained, lost", [(0, 0), (1, 0), (3, 9), (9, 3), (40, 71), (0, 12), (5, 5)])
def test_the_p_value_is_that_of_the_exact_test_and_the_difference_counts_the_discordant_drawings(gained, lost):
    right = np.repeat([True, False, True, False], [gained, lost, 120, 60])
    other = np.repeat([False, True, True, False], [gained, lost, 120, 60])
    found = difference(right, other)
    n = gained + lost
    tail = sum(math.comb(n, k) for k in range(min(gained, lost) + 1)) / 2**n
    assert found.p_value == pytest.approx(min(1.0, 2 * tail))
    assert found.value == pytest.approx((gained - lost) / len(right))
    assert found.num_drawings == len(right)
    assert found.low <= found.value <= found.high


def test_the_interval_is_that_of_resampled_drawings():
    rng = np.random.default_rng(0)
    right, other = rng.random(300) < 0.7, rng.random(300) < 0.6
    found = difference(right, other)
    drawn = rng.integers(0, 300, (10_000, 300))
    naive = np.quantile(right[drawn].mean(axis=1) - other[drawn].mean(axis=1), [0.025, 0.975])
    assert [found.low, found.high] == pytest.approx(naive, abs=0.005)


@given(st.lists(st.floats(0, 1), max_size=8), st.integers(0, 5))
def test_holm_multiplies_the_smallest_by_all_tests_the_next_by_one_less(p_values, num_others):
    num_tests = len(p_values) + num_others
    naive = {}
    for place, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        before = max(naive.values(), default=0.0)
        naive[i] = max(before, min(1.0, (num_tests - place) * p_values[i]))
    assert holm(p_values, num_tests) == pytest.approx([naive[i] for i in range(len(p_values))])


def test_of_equal_models_the_best_is_seldom_called_better_than_another():
    rng = np.random.default_rng(0)
    num_runs, num_false, tries = 6, 0, 150
    for _ in range(tries):
        right = rng.random((num_runs, 300)) < 0.6
        best, *others = right[np.argsort(-right.sum(axis=1))]
        p_values = [binomtest(int((best & ~one).sum()), int((best ^ one).sum())).pvalue for one in others]
        num_false += min(holm(p_values, num_runs * (num_runs - 1) // 2)) < 0.05
    assert num_false / tries <= 0.05


def test_drawings_are_joined_by_their_key_in_whatever_order():
    first = predictions(0.6, keys=[5, 3, 9, 1, 7])
    second = predictions(0.6, keys=[1, 2, 3, 7, 8])
    rows, others = common(first, second)
    assert first.key_ids[rows].tolist() == second.key_ids[others].tolist() == [1, 3, 7]


def test_keys_that_stand_twice_pair_the_same_table_and_nothing_else():
    first = predictions(0.6, keys=[4, 4, 5])
    rows, others = common(first, predictions(0.3, keys=[4, 4, 5]))
    assert rows.tolist() == others.tolist() == [0, 1, 2]
    rows, _ = common(first, predictions(0.3, keys=[5, 4, 6]))
    assert first.key_ids[rows].tolist() == [5]


def test_labels_may_number_the_same_names_in_another_order():
    second = predictions(0.6, classes=CLASSES[::-1])
    rows, _ = common(predictions(0.6), second)
    assert len(rows) == N


@pytest.mark.parametrize(
    "other, why",
    [
        (lambda: predictions(0.5, keys=np.arange(N) + 5000), "no drawing in common"),
        (lambda: predictions(0.5, classes=[*CLASSES, "kid"]), "different classes, 10 and 11"),
        (lambda: predictions(0.5, keys=np.arange(N) + 1), None),
    ],
)
def test_predictions_that_do_not_match_are_not_compared(other, why):
    if why is None:
        second = other()
        moved = Predictions(**vars(second) | {"key_ids": second.key_ids - 1})
        other, why = (lambda: moved), "400 of the 400 drawings in common are of another class"
    with pytest.raises(NotComparable, match=why):
        common(predictions(0.5), other())
