"""The split rule of drawings in files: stratified by class, and decided by a hash of what is drawn.

Names, dates and the order of files change nothing, and copies of a drawing are always in the same split. Within a class
the drawings are ranked by their hash: the first ones are test, the next ones val, the rest train, so that each class is
divided in the same shares, however few drawings it has. So the split of a drawing is a function of its hash and of the
number of drawings of its class with a smaller one: adding a drawing moves hardly any other.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deepdraw.drawings import mix

SPLITS = ("train", "val", "test", "zeroshot")
TRAIN, VAL, TEST, ZEROSHOT = range(4)
OPEN = -1  # the split of a drawing that is yet to be divided


def divide(
    contents: NDArray[np.uint64], labels: NDArray[np.int64], seed: int, shares: tuple[float, float]
) -> NDArray[np.int8]:
    """The split of each of N drawings, int8 [N]: TRAIN, VAL or TEST.

    contents: a hash of what is drawn [N]; labels: the class of each [N]; shares: of val and of test. Of a class with at
    least three different drawings, each split with a share gets at least one, and train too. A drawing that occurs in
    several classes is ranked in the first of them.
    """
    order = np.lexsort((labels, contents))
    first = np.append(True, contents[order][1:] != contents[order][:-1])[: len(order)]
    unique, owners = contents[order][first], labels[order][first]
    places = np.empty(len(unique), np.int8)
    by_class = np.lexsort((mix(unique, f"split {seed}"), owners))
    for members in np.split(by_class, np.flatnonzero(np.diff(owners[by_class])) + 1):
        num_val, num_test = _counts(len(members), shares)
        places[members] = TRAIN
        places[members[:num_test]] = TEST
        places[members[num_test : num_test + num_val]] = VAL
    return places[np.searchsorted(unique, contents)]


def complete(
    given: NDArray[np.int8], contents: NDArray[np.uint64], labels: NDArray[np.int64], seed: int, val: float, test: float
) -> NDArray[np.int8]:
    """The split of every drawing, int8 [N], where `given` [N] says it of some of them, and OPEN of the others.

    Open drawings are divided by the rule; copies of a drawing whose split is given follow it. If no drawing is given to
    val or to test, that split is taken from train.
    """
    splits = given.copy()
    has_open = bool((given == OPEN).any())
    if has_open:
        _follow_copies(splits, contents)
        is_open = splits == OPEN
        splits[is_open] = divide(contents[is_open], labels[is_open], seed, (val, test))
    missing = tuple(
        0.0 if has_open or (splits == split).any() else share for split, share in ((VAL, val), (TEST, test))
    )
    if any(missing):
        of_train = splits == TRAIN
        splits[of_train] = divide(contents[of_train], labels[of_train], seed, (missing[0], missing[1]))
    return splits


def _follow_copies(splits: NDArray[np.int8], contents: NDArray[np.uint64]) -> None:
    """Give open drawings the split of a copy, if the split of one is given."""
    is_open = splits == OPEN
    known, first = np.unique(contents[~is_open], return_index=True)
    if not len(known):
        return
    nearest = np.minimum(np.searchsorted(known, contents[is_open]), len(known) - 1)
    is_copy = known[nearest] == contents[is_open]
    splits[np.flatnonzero(is_open)[is_copy]] = splits[~is_open][first][nearest[is_copy]]


def _counts(number: int, shares: tuple[float, float]) -> tuple[int, int]:
    """How many of the `number` drawings of a class go to val and to test."""
    wanted: list[int] = [max(1, round(number * share)) if share else 0 for share in shares]
    while 0 < sum(wanted) >= number:  # a class of one or two drawings: train comes first, then test
        wanted[0 if wanted[0] >= wanted[1] else 1] -= 1
    return wanted[0], wanted[1]
