"""The drawings that an evaluation scores, those that it may learn from, and how they are drawn again for pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deepdraw.data import Joined, OfClasses, Relabeled, Source, Split, Subset, open_folder
from deepdraw.drawings import Rasterizer
from deepdraw.runtime import expand_home, fold_name, normal_name, shown

GENERALIZED = "generalized"


def open_split(name: str, source: Source, classes: Sequence[str]) -> Split:
    """The split that is called so: one of the source's own, `generalized`, or a folder (see `open_folder`).

    classes: those that the head was trained on. A split of none but them has labels that number `classes`; one of none
    of them has classes of its own; `generalized` is test and zeroshot together, the classes trained on first. Raises
    ValueError where there is no such split, it is empty, only some of its classes were trained on, or some were but for
    case, `_`, `-` and spaces in their names.
    """
    if name == GENERALIZED:
        return Joined(
            _with_training_labels(_non_empty(source, "test"), classes),
            _check_unseen(_non_empty(source, "zeroshot"), classes),
        )
    if name == "zeroshot":
        return _check_unseen(_non_empty(source, name), classes)
    if is_path(name, source):
        return _with_training_labels(open_folder(Path(name)), classes)
    return _with_training_labels(_non_empty(source, name), classes)


def open_split_of(name: str, source: Source, classes: Sequence[str], new: Sequence[str]) -> Split:
    """The drawings of a split that are of `classes`, which were trained on, or of `new` ones, which were taught.

    Labels number both together, those trained on first. Other classes of `zeroshot` and `generalized` are left out, and
    those of a folder are refused. Raises ValueError as `open_split` does, and where no drawing is left.
    """
    known = [*classes, *new]
    if is_path(name, source):
        return Relabeled(open_folder(Path(name)), known)
    split = open_split(name, source, classes)
    chosen = OfClasses(split, known)
    if not chosen.block_sizes.sum():
        raise ValueError(
            f"no drawing of split {name} is of a class that was taught ({', '.join(map(shown, new)) or 'none was'}): "
            "teach classes of it, or choose another split"
        )
    if left := len(set(map(normal_name, split.classes)) - set(map(normal_name, known))):
        print(f"{left} of the {len(split.classes)} classes of split {name} were not taught, and are left out")
    return chosen


def is_path(name: str, source: Source) -> bool:
    """Whether split `name` is none of the source's, but a folder."""
    if name in (*source.splits, GENERALIZED, "zeroshot"):
        return False
    return Path(name).name != name or name.startswith("~") or Path(name).exists()


def result_name(name: str, source: Source) -> str:
    """The name of the results of split `name`: of a folder its last two parts, because "test" alone is a split."""
    return "-".join(Path(expand_home(name)).resolve().parts[-2:]) if is_path(name, source) else name


def redraw(split: Split, rasterizer: Rasterizer) -> Callable[[NDArray[np.int64], int], NDArray[np.uint8]]:
    """A function of positions [n] in a split's stored order that draws them in ink: uint8 [n, size, size]."""

    def draw(positions: NDArray[np.int64], size: int) -> NDArray[np.uint8]:
        width = max(0.5, rasterizer.line_width * size / rasterizer.size)
        images = np.empty((len(positions), size, size), np.uint8)
        if len(positions):
            chosen = Subset(split, positions)
            smaller = Rasterizer(size, width, rasterizer.margin, rasterizer.polarity, rasterizer.images)
            chosen.read(np.arange(len(chosen.block_sizes)), np.arange(len(positions)), smaller, images)
        return images

    return draw


def _non_empty(source: Source, name: str) -> Split:
    split = source.split(name)
    if not split.block_sizes.sum():
        raise ValueError(f"split {name} holds no drawing: choose another, or set data.root to data that have some")
    return split


def _with_training_labels(split: Split, classes: Sequence[str]) -> Split:
    if split.classes == list(classes):
        return split
    if set(map(normal_name, classes)) & set(map(normal_name, split.classes)):
        return Relabeled(split, classes)
    if near := _equal_classes(split.classes, classes):
        (own, trained), *others = near.items()
        raise ValueError(
            f"{len(near)} of the {len(split.classes)} classes of this split are nearly ones that were trained on, such "
            f"as {own!r} for {trained!r}: write their names as in training"
            + (f" ({', '.join(f'{one!r} as {other!r}' for one, other in others[:3])} too)" if others else "")
        )
    return split


def _equal_classes(names: Sequence[str], classes: Sequence[str]) -> dict[str, str]:
    """The names that equal a class except for case, separators or Unicode form, each with that class."""
    of_form = {fold_name(name): name for name in classes}
    return {name: of_form[fold_name(name)] for name in names if fold_name(name) in of_form}


def _check_unseen(split: Split, classes: Sequence[str]) -> Split:
    if common := sorted(_equal_classes(split.classes, classes)):
        raise ValueError(
            f"{len(common)} of the {len(split.classes)} classes of split zeroshot were trained on, such as "
            f"{common[0]!r}, so this would not be zero-shot: use split=test, or set data.root to shards that hold "
            "these classes out"
        )
    return split
