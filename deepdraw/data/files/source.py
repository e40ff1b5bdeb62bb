"""Sources of drawings in files: a folder, or a CSV file that lists them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deepdraw.data.files.collection import NONE, Collection
from deepdraw.data.files.layout import Layout, check_top, folder_layout
from deepdraw.data.files.split import FileSplit
from deepdraw.data.files.split_rule import OPEN, SPLITS, TEST, TRAIN, VAL, ZEROSHOT, complete
from deepdraw.data.files.store import open_collection
from deepdraw.data.files.table import table_layout
from deepdraw.data.shard_index import MOST_CLASSES
from deepdraw.drawings import mix, warn_of_faults
from deepdraw.runtime import did_you_mean, existing_file, existing_folder, normal_name, shown

log = logging.getLogger(__name__)


class FileSource:
    """Drawings in files, divided into train, val, test and, if classes are held out, zeroshot.

    place: the folder or the file that the user named. unseen: names of classes that are held out: they become the split
    zeroshot. val, test: the shares of these splits, where the layout does not say the split of a drawing (see
    `split_rule`); seed: of that division.

    Raises ValueError, in one line that names the file or the class and the fix, for files that cannot be read, a class
    of val or test without a drawing in train, and a split without any.
    """

    def __init__(self, place: Path, layout: Layout, unseen: Sequence[str], val: float, test: float, seed: int) -> None:
        if not (val > 0 and test > 0 and val + test < 1):
            raise ValueError(
                f"data.source.val={val} and data.source.test={test} must be shares above 0 that leave some to train"
            )
        self._place = place
        self._collection = collection = open_collection(layout.entries, place)
        names, numbers = _labels(collection)
        self._names, self._numbers = names, numbers
        splits = _given_splits(collection)
        splits[np.isin(numbers, _held_out(unseen, names))] = ZEROSHOT
        is_seen = splits != ZEROSHOT
        self.split_rule = "as the files say"
        if (splits == OPEN).any():
            self.split_rule = f"by a hash of each drawing, within its class: val {val:g}, test {test:g}, seed {seed}"
        splits[is_seen] = complete(splits[is_seen], collection.content[is_seen], numbers[is_seen], seed, val, test)
        self._splits = splits
        print(shown(_summary(place, layout, collection, int((splits == ZEROSHOT).sum()))))
        self._key_ids = _key_ids(collection.content)
        self._check_classes()
        self._tell_copies()
        is_file = (collection.row == NONE) & (collection.bitmap == NONE)
        warn_of_faults(np.flatnonzero(is_file).tolist(), collection.image, str(place))

    @property
    def splits(self) -> list[str]:
        """The names of the splits that hold drawings."""
        return [SPLITS[number] for number in np.unique(self._splits)]

    @property
    def has_strokes(self) -> bool:
        """Whether every drawing is strokes, and none is an image."""
        return bool((self._collection.row != NONE).all())

    def split(self, name: str) -> FileSplit:
        """One of `splits`."""
        if name not in self.splits:
            raise ValueError(f"{self._place} has no split {name!r}: choose one of {', '.join(self.splits)}")
        number = SPLITS.index(name)
        chosen = np.flatnonzero(self._splits == number)
        of_classes = self._splits == (ZEROSHOT if number == ZEROSHOT else TRAIN)
        classes = np.unique(self._numbers[of_classes])
        return FileSplit(
            [self._names[k] for k in classes],
            self._collection,
            chosen,
            np.searchsorted(classes, self._numbers[chosen]),
            self._key_ids[chosen],
        )

    def _check_classes(self) -> None:
        """Raise ValueError where a class of val, test or zeroshot cannot be one, or a split is empty."""
        in_split = {number: set(self._numbers[self._splits == number]) for number in range(len(SPLITS))}
        for number in (VAL, TEST):
            if lacking := sorted(in_split[number] - in_split[TRAIN]):
                names = [self._names[k] for k in sorted(in_split[TRAIN])]
                raise ValueError(
                    f"{self._place}: class {self._names[lacking[0]]!r} has drawings in {SPLITS[number]} but none in "
                    f"train{_near(self._names[lacking[0]], names)}: correct its name, add some, or hold it out by "
                    f"data.unseen=[{self._names[lacking[0]]}]"
                )
        if both := sorted(in_split[ZEROSHOT] & in_split[TRAIN]):
            raise ValueError(
                f"{self._place}: class {self._names[both[0]]!r} is in train and in zeroshot: hold it out as a whole by "
                f"data.unseen=[{self._names[both[0]]}], or take it out of zeroshot"
            )
        for number in (TRAIN, VAL, TEST):
            if not in_split[number]:
                raise ValueError(
                    f"{self._place}: {len(self._splits)} drawings of {len(self._names)} classes leave none for the "
                    f"split {SPLITS[number]}: give at least three drawings of a class"
                )

    def _tell_copies(self) -> None:
        """Warn of copies of one drawing in several splits, or in several classes."""
        contents, copies = np.unique(self._collection.content, return_inverse=True)
        for what, of in (("split", self._splits), ("class", self._numbers)):
            least, most = np.full(len(contents), 1 << 30), np.full(len(contents), -1)
            np.minimum.at(least, copies, of)
            np.maximum.at(most, copies, of)
            if len(doubtful := np.flatnonzero(least != most)):
                files = [str(self._collection.entries[k].path) for k in self._collection.file[copies == doubtful[0]]]
                plural = {"split": "splits", "class": "classes"}[what]
                log.warning(
                    "%s: copies of one drawing are in several %s (drawings: %d), such as %s and %s: keep one of each",
                    shown(self._place), plural, len(doubtful), shown(files[0]), shown(files[-1]),
                )  # fmt: skip


class Folder(FileSource):
    """Drawings in folders, one for each class (see `folder_layout`): PNG, JPEG, SVG, strokes ... in any mix.

    root: the folder; unseen, val, test, seed: as for `FileSource`.
    """

    def __init__(
        self, root: str, unseen: Sequence[str] = (), val: float = 0.1, test: float = 0.2, seed: int = 0
    ) -> None:
        place = self.check_place(root)
        super().__init__(place, folder_layout(place), unseen, val, test, seed)

    @staticmethod
    def check_place(root: str) -> Path:
        """The folder. Raises ValueError where there is none, or none that holds folders or drawings (see `Source`)."""
        return check_top(existing_folder(root, "data.root="))


class LabeledFiles(FileSource):
    """Drawings that a CSV file lists, with the columns path, label and optionally split (see `table_layout`).

    file: the CSV file; unseen, val, test, seed: as for `FileSource`.
    """

    def __init__(
        self, file: str, unseen: Sequence[str] = (), val: float = 0.1, test: float = 0.2, seed: int = 0
    ) -> None:
        place = self.check_place(file)
        super().__init__(place, table_layout(place), unseen, val, test, seed)

    @staticmethod
    def check_place(file: str) -> Path:
        """The file. Raises ValueError where there is none (see `Source`)."""
        return existing_file(file, "data.file=")


def open_class_folders(root: Path) -> FileSplit:
    """All drawings in the folders of classes in `root`, as one split for evaluation.

    Raises ValueError as `Folder` does for files that cannot be read, and where `root` holds folders of splits.
    """
    layout = folder_layout(root)
    if split := next((entry.split for entry in layout.entries if entry.split is not None), None):
        raise ValueError(
            f"{root} holds a folder of the split {split}: choose a split of it, such as split={root}/{split}"
        )
    collection = open_collection(layout.entries, root)
    log.info("%s", shown(_summary(root, layout, collection, 0)))
    names, numbers = _labels(collection)
    return FileSplit(names, collection, np.arange(len(numbers)), numbers, _key_ids(collection.content))


def _summary(place: Path, layout: Layout, collection: Collection, held_out: int) -> str:
    line = f"{place}: {len(collection.content):,} drawings in {layout.found}"
    if collection.num_broken:
        line += f"; {collection.num_broken:,} lines or records hold no drawing"
    return f"{line}; {held_out:,} drawings are held out as zeroshot" if held_out else line


def _given_splits(collection: Collection) -> NDArray[np.int8]:
    """The split of each drawing, int8 [N]: that of its file, else the one that it names itself, else OPEN."""
    of_file = np.array([entry.split or "" for entry in collection.entries], np.str_)[collection.file]
    named = np.where(of_file != "", of_file, collection.splits)
    return np.select([named == split for split in SPLITS], list(range(len(SPLITS))), OPEN).astype(np.int8)


def _labels(collection: Collection) -> tuple[list[str], NDArray[np.int64]]:
    """The names of the classes, sorted, and the number of each drawing's class [N]."""
    of_file = np.array([entry.label or "" for entry in collection.entries], np.str_)[collection.file]
    labels = np.where(of_file != "", of_file, collection.words)
    texts, inverse = np.unique(labels, return_inverse=True)
    labels = np.array([normal_name(text) for text in texts.tolist()], np.str_)[inverse]
    names, numbers = np.unique(labels, return_inverse=True)
    if unprintable := [name for name in names.tolist() if not name.isprintable() or not name.strip()]:
        raise ValueError(f"the class {unprintable[0]!r:.80} has a name that cannot be printed: correct it")
    if len(names) > MOST_CLASSES:
        raise ValueError(f"{len(names):,} classes are more than {MOST_CLASSES:,}: join some")
    return names.tolist(), numbers


def _held_out(unseen: Sequence[str], names: Sequence[str]) -> list[int]:
    """The numbers of the classes that are held out by name."""
    for name in unseen:
        if name not in names:
            raise ValueError(f"data.unseen names {name!r}, which no drawing has{_near(name, names)}: correct it")
    return [names.index(name) for name in unseen]


def _near(name: str, names: Sequence[str]) -> str:
    near = did_you_mean(name, names, "{!r}")
    return f" ({near})" if near else ""


def _key_ids(contents: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A key id for each drawing [N]: its hash, and for the second and later copies of a drawing another one."""
    order = np.argsort(contents, kind="stable")
    ordered = contents[order]
    is_first = np.append(True, ordered[1:] != ordered[:-1])[: len(order)]
    starts = np.maximum.accumulate(np.where(is_first, np.arange(len(order)), 0))
    number = np.arange(len(order)) - starts  # of copies before this one
    key_ids = np.empty_like(contents)
    key_ids[order] = np.where(number == 0, ordered, mix(ordered + number.astype(np.uint64), "copy"))
    return key_ids
