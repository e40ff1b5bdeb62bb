"""The paired difference of two models on the same drawings, its bootstrap interval and its p-value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepdraw.evaluation import Predictions, mcnemar

Rows = NDArray[np.int64]


class NotComparable(ValueError):
    """Two models have no drawings or no classes in common; the message says which."""


@dataclass(frozen=True)
class Difference:
    """How much more often one model is right than another, on `num_drawings` that both were evaluated on.

    value: the share of drawings right less that of the other, -1..1; low, high: its 95 % paired bootstrap interval;
    p_value: of McNemar's exact test, not corrected.
    """

    num_drawings: int
    value: float
    low: float
    high: float
    p_value: float


def difference(
    right: NDArray[np.bool_], other_right: NDArray[np.bool_], resamples: int = 10_000, seed: int = 0
) -> Difference:
    """Of two models right at drawings [N], as `common` pairs them.

    All that a drawing adds to the difference is its cell of the 2 x 2 table, so the percentile bootstrap draws the
    cells' counts from the multinomial distribution. Raises ValueError where the numbers of drawings differ.
    """
    p_value = mcnemar(right, other_right)
    num_gained, num_lost = int((right & ~other_right).sum()), int((other_right & ~right).sum())
    counts = np.array([num_gained, num_lost, len(right) - num_gained - num_lost])
    drawn = np.random.default_rng(seed).multinomial(len(right), counts / len(right), size=resamples)
    low, high = np.quantile((drawn[:, 0] - drawn[:, 1]) / len(right), [0.025, 0.975])
    return Difference(len(right), (num_gained - num_lost) / len(right), float(low), float(high), p_value)


def common(first: Predictions, second: Predictions) -> tuple[Rows, Rows]:
    """The rows [N] of either table where both are about the same drawing, by its key_id.

    The same drawings in the same order are paired as they stand; else a key_id that a table has twice pairs nothing.
    Raises NotComparable where no drawing is in common, one has two names, or the names to choose among differ.
    """
    if sorted(first.classes) != sorted(second.classes):
        num_common = len(set(first.classes) & set(second.classes))
        raise NotComparable(
            f"they choose among different classes, {len(first.classes)} and {len(second.classes)} of which "
            f"{num_common} are the same"
        )
    if np.array_equal(first.key_ids, second.key_ids):
        rows = others = np.arange(len(first))
    else:
        once, other_once = _rows_of_single_keys(first.key_ids), _rows_of_single_keys(second.key_ids)
        _, at, other_at = np.intersect1d(
            first.key_ids[once], second.key_ids[other_once], assume_unique=True, return_indices=True
        )
        rows, others = once[at], other_once[other_at]
    if not len(rows):
        raise NotComparable("they have no drawing in common")
    names, other_names = np.array(first.classes)[first.labels[rows]], np.array(second.classes)[second.labels[others]]
    if num_renamed := int((names != other_names).sum()):
        raise NotComparable(f"{num_renamed:,} of the {len(rows):,} drawings in common are of another class")
    return rows, others


def _rows_of_single_keys(key_ids: NDArray[np.uint64]) -> Rows:
    _, rows, counts = np.unique(key_ids, return_index=True, return_counts=True)
    return rows[counts == 1]


def holm(p_values: Sequence[float], num_tests: int) -> list[float]:
    """These p-values corrected for being some of `num_tests`, in the same order.

    Holm, 1979, "A simple sequentially rejective multiple test procedure": the smallest is multiplied by the number of
    tests, the next by one less, and so on. Where tests were chosen by their outcome, as all those against the best of
    K models, the tests to correct for are all that could have been chosen, K (K - 1) / 2.
    """
    assert num_tests >= len(p_values), (num_tests, len(p_values))
    order = np.argsort(p_values, kind="stable")
    steps = np.asarray(p_values, float)[order] * (num_tests - np.arange(len(p_values)))
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return corrected.tolist()
