"""Split rules: which drawing goes into which split. A rule reads the key id alone, so line order changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from deepdraw.data.quickdraw.categories import CATEGORIES, KAGGLE, UNSEEN
from deepdraw.drawings import Drawings, mix

TRAIN, VAL, TEST = range(3)
SPLITS = ("train", "val", "test")
SPLIT_NAMES = (*SPLITS, "zeroshot")
QUICKDRAW414K_LIMITS = (1000, 100, 100)
QUICKDRAW10K_LIMIT = 10_000

Splits = dict[str, tuple[tuple[str, ...], Drawings]]  # name -> classes, and drawings whose labels index them


def assign_original(key_ids: NDArray[np.uint64]) -> NDArray[np.int8]:
    """Index into SPLITS, int8 [N], of each of uint64 [N]: 75 % train, 5 % val, 20 % test.

    The proportions are those of the original project, its 80 % of training shared with a validation set.
    """
    place = mix(key_ids, "original") % 100
    return np.select([place < 20, place < 25], [TEST, VAL], TRAIN).astype(np.int8)


def assign_quickdraw414k(key_ids: NDArray[np.uint64]) -> NDArray[np.int8]:
    """Index into SPLITS, int8 [N], of each of uint64 [N]: train, val and test as 1000 : 100 : 100.

    The sizes are those of QuickDraw-414k (Xu et al., "Multigraph Transformer for Free-Hand Sketch
    Recognition", arXiv 1912.11258), which drew its own sample. Of one category, `select` keeps
    QUICKDRAW414K_LIMITS drawings.
    """
    place = mix(key_ids, "quickdraw414k") % 12
    return np.select([place == 0, place == 1], [VAL, TEST], TRAIN).astype(np.int8)


def assign_90_5_5(key_ids: NDArray[np.uint64]) -> NDArray[np.int8]:
    """Index into SPLITS, int8 [N], of each of uint64 [N]: 90 % train, 5 % val, 5 % test.

    The rules quickdraw10k and kaggle340 share it, so that neither tests on drawings that the other trains on.
    """
    place = mix(key_ids, "90/5/5") % 20
    return np.select([place == 0, place == 1], [VAL, TEST], TRAIN).astype(np.int8)


def select(key_ids: NDArray[np.uint64], n: int) -> NDArray[np.bool_]:
    """Which of N key ids to keep, bool [N]: the n with the smallest hash, or all if there are fewer.

    A key id that is kept for n is kept for n + 1, too. Key ids must be distinct.
    """
    kept = np.zeros(len(key_ids), dtype=bool)
    kept[np.argsort(mix(key_ids, "select"))[:n]] = True
    return kept


def split_original(parts: Mapping[str, Drawings]) -> Splits:
    """train, val and test over the seen categories, zeroshot over the unseen ones, where there are such categories."""
    unseen = {name: part for name, part in parts.items() if name in UNSEEN}
    seen = {name: part for name, part in parts.items() if name not in unseen}
    return _divide(seen, SPLITS, assign_original) | _divide(unseen, ("zeroshot",), _assign_all)


def split_quickdraw414k(parts: Mapping[str, Drawings]) -> Splits:
    """train, val and test over all categories, limited to 1,000/100/100 of each."""
    return _divide(parts, SPLITS, assign_quickdraw414k, QUICKDRAW414K_LIMITS)


def split_quickdraw10k(parts: Mapping[str, Drawings]) -> Splits:
    """train, val and test (90, 5, 5 %) of all categories, of at most 10,000 drawings of each.

    The number is that of SketchGraphNet (arXiv 2603.07521), which drew its own sample.
    """
    kept = {name: part.take(np.flatnonzero(select(part.key_ids, QUICKDRAW10K_LIMIT))) for name, part in parts.items()}
    return _divide(kept, SPLITS, assign_90_5_5)


def split_kaggle340(parts: Mapping[str, Drawings]) -> Splits:
    """train, val and test (90, 5, 5 %) of the 340 categories of Kaggle's challenge, whose own test has no labels."""
    return _divide({name: part for name, part in parts.items() if name in KAGGLE}, SPLITS, assign_90_5_5)


def _assign_all(key_ids: NDArray[np.uint64]) -> NDArray[np.int8]:
    return np.zeros(len(key_ids), np.int8)


def _divide(
    parts: Mapping[str, Drawings],
    splits: Sequence[str],
    assign: Callable[[NDArray[np.uint64]], NDArray[np.int8]],
    limits: Sequence[int] | None = None,
) -> Splits:
    classes = tuple(sorted(parts))
    divided: Splits = {}
    for place, split in enumerate(splits if classes else ()):
        chosen = [parts[name].take(np.flatnonzero(assign(parts[name].key_ids) == place)) for name in classes]
        if limits:
            chosen = [part.take(np.flatnonzero(select(part.key_ids, limits[place]))) for part in chosen]
        divided[split] = classes, _label(chosen)
    return divided


def _label(parts: Sequence[Drawings]) -> Drawings:
    """The parts joined in order. The label of each drawing is the number of its part."""
    return Drawings.concatenate(
        [replace(part, labels=np.full(len(part), label, np.uint16)) for label, part in enumerate(parts)]
    )


def split_as_told(name: str, drawings: Drawings, told: NDArray[np.int8]) -> Splits:
    """train, val and test of one category as its file says them, int8 [N]: indices into SPLITS."""
    chosen = [(split, drawings.take(np.flatnonzero(told == place))) for place, split in enumerate(SPLITS)]
    return {split: ((name,), part) for split, part in chosen}


SKETCH_RNN = "sketchrnn"  # the split rule that keeps the splits which the files of sketch-rnn say
SPLIT_RULES = {
    "original": split_original,
    "quickdraw414k": split_quickdraw414k,
    "quickdraw10k": split_quickdraw10k,
    "kaggle340": split_kaggle340,
}


def categories_of(split_rule: str) -> tuple[str, ...]:
    """The categories that a split rule takes; files of others are left out."""
    return KAGGLE if split_rule == "kaggle340" else CATEGORIES
