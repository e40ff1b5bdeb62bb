"""Bootstrap confidence intervals of the metrics of one model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from deepdraw.evaluation.metrics import Counts, class_metrics, rank_metrics

_CELLS_AT_ONCE = 2**20


def intervals(counts: Counts, resamples: int = 1000, seed: int = 0) -> dict[str, float]:
    """95 % bootstrap intervals `<name>_low` and `<name>_high`, in 0..1, of the accuracies and macro F1.

    The percentile bootstrap (Efron and Tibshirani, 1993): the split's drawings are drawn anew with replacement,
    `resamples` times. These metrics depend only on the counts of ranks and of the cells of the confusion
    matrix, so the counts are drawn from the multinomial distribution instead. The distribution is the same, and the
    cost grows with the number of cells that are not empty.
    """
    rng = np.random.default_rng(seed)
    ranks = counts.ranks
    resampled = rank_metrics(rng.multinomial(ranks.sum(), ranks / ranks.sum(), size=resamples))
    resampled |= _resampled_class_metrics(counts.confusion, resamples, rng)
    results: dict[str, float] = {}
    for name, values in resampled.items():
        low, high = np.quantile(values, [0.025, 0.975])
        results |= {f"{name}_low": float(low), f"{name}_high": float(high)}
    return results


def _resampled_class_metrics(
    confusion: NDArray[np.int64], resamples: int, rng: np.random.Generator
) -> dict[str, NDArray[np.float64]]:
    """`class_metrics` [resamples] of confusion matrices resampled from `confusion` [C, C]."""
    true, predicted = confusion.nonzero()
    cells = confusion[true, predicted]
    by_true, by_predicted = (_membership(classes, len(confusion)) for classes in (true, predicted))
    by_hit = _membership(true, len(confusion), where=true == predicted)
    parts = []
    at_once = max(1, _CELLS_AT_ONCE // len(cells))
    for start in range(0, resamples, at_once):
        counts = rng.multinomial(cells.sum(), cells / cells.sum(), size=min(at_once, resamples - start))
        parts.append(class_metrics(counts @ by_hit, counts @ by_true, counts @ by_predicted))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _membership(classes: NDArray[np.int64], num_classes: int, where: NDArray[np.bool_] | None = None) -> csr_array:
    """1 where cell k [K] counts towards class c [C], else 0: counts of cells times this are counts of classes."""
    ones = np.ones(len(classes), np.int64) if where is None else where.astype(np.int64)
    return csr_array((ones, (np.arange(len(classes)), classes)), shape=(len(classes), num_classes))
