"""The first drawings of each class of a split, such as those of the classes trained on that few-shot learns from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from deepdraw.data.interfaces import Source, Split
from deepdraw.data.subset import Subset


def seen_drawings(source: Source, classes: Sequence[str], per_class: int) -> Split | None:
    """Up to `per_class` drawings of each class of split train, the first ones; None where there is no such split."""
    if per_class < 1:
        raise ValueError(f"seen_per_class={per_class} leaves nothing to learn from: give at least 2")
    if "train" not in source.splits:
        return None
    train = source.split("train")
    if train.classes != list(classes):
        return None
    return first_of_each_class(train, per_class)


def first_of_each_class(split: Split, per_class: int) -> Split:
    """Up to `per_class` drawings of each class of a split, the first ones, in stored order."""
    by_class = np.argsort(split.labels, kind="stable")
    counts = np.bincount(split.labels, minlength=len(split.classes))
    ranks = np.arange(len(by_class)) - np.repeat(np.cumsum(counts) - counts, counts)
    return Subset(split, np.sort(by_class[ranks < per_class]))
