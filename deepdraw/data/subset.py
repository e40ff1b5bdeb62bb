"""Splits made of other splits: some of the drawings of one, two as one, one under other class names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deepdraw.drawings import Complexity, Drawings, Rasterizer, ranges
from deepdraw.runtime import did_you_mean, normal_name

if TYPE_CHECKING:
    from deepdraw.data.interfaces import Batch, Epochs, Split

BLOCK = 512  # drawings


class Subset:
    """The drawings at `positions` [M] of the stored order of `split`, in that order; a position may be repeated.

    Sorted positions are read fastest. The classes stay those of `split`. Raises ValueError where a position
    lies outside of the split.
    """

    def __init__(self, split: Split, positions: ArrayLike) -> None:
        self._positions = np.asarray(positions, np.int64)
        ends = np.cumsum(split.block_sizes)
        number = int(ends[-1]) if len(ends) else 0
        if len(outside := self._positions[(self._positions < 0) | (self._positions >= number)]):
            raise ValueError(f"there is no drawing {outside[0]} in a split of {number}: choose from 0 to {number - 1}")
        self.classes = split.classes
        self.block_sizes = np.diff(np.append(np.arange(0, len(self._positions), BLOCK), len(self._positions)))
        digest = sha256(f"subset {split.fingerprint}".encode())
        digest.update(self._positions.tobytes())
        self.fingerprint = digest.hexdigest()
        self._split, self._ends = split, ends

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """The labels of the chosen drawings [M]."""
        return self._split.labels[self._positions]

    @property
    def has_strokes(self) -> bool:
        """That of `split`."""
        return self._split.has_strokes

    def complexity(self) -> Complexity | None:
        """Strokes and points of the chosen drawings; None where there are images among those of `split`."""
        complexity = self._split.complexity()
        return complexity and complexity.take(self._positions)

    def read(
        self, blocks: NDArray[np.int64], rows: NDArray[np.int64], rasterizer: Rasterizer, images: NDArray[np.uint8]
    ) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """Draw those at `rows` [N] of the concatenated `blocks` into images [N, *shape]: labels and key ids."""
        return self._split.read(*self._places(blocks, rows), rasterizer, images)

    def read_strokes(self, blocks: NDArray[np.int64], rows: NDArray[np.int64]) -> Drawings:
        """The drawings at `rows` [N] of the concatenated `blocks`."""
        return self._split.read_strokes(*self._places(blocks, rows))

    def _places(
        self, blocks: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The blocks of `split` that hold these drawings, and their rows in those."""
        blocks = np.asarray(blocks, np.int64)
        positions = self._positions[ranges(blocks * BLOCK, self.block_sizes[blocks])[rows]]
        needed, which = np.unique(np.searchsorted(self._ends, positions, side="right"), return_inverse=True)
        sizes = self._split.block_sizes[needed]
        shifts = np.cumsum(sizes) - self._ends[needed]  # from the whole split to its needed blocks alone
        return needed, positions + shifts[which]


class Joined:
    """The drawings of `first` and then those of `second`, whose labels come after those of `first`.

    Raises ValueError where they have a class in common.
    """

    def __init__(self, first: Split, second: Split) -> None:
        if common := sorted(set(first.classes) & set(second.classes)):
            raise ValueError(
                f"two splits to be joined both have {_listed(common)}: leave them out of one, or name both "
                "by one list of classes"
            )
        self.classes = [*first.classes, *second.classes]
        self.block_sizes = np.concatenate([first.block_sizes, second.block_sizes])
        self.fingerprint = sha256(f"joined {first.fingerprint} {second.fingerprint}".encode()).hexdigest()
        self.first, self.second = first, second

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """The labels of all drawings, in stored order."""
        return np.concatenate([self.first.labels, self.second.labels + len(self.first.classes)])

    @property
    def has_strokes(self) -> bool:
        """Whether every drawing of both splits is strokes."""
        return self.first.has_strokes and self.second.has_strokes

    def complexity(self) -> Complexity | None:
        """Strokes and points of all drawings; None where either split holds images."""
        first, second = self.first.complexity(), self.second.complexity()
        return Complexity.concatenate([first, second]) if first and second else None

    def read(
        self, blocks: NDArray[np.int64], rows: NDArray[np.int64], rasterizer: Rasterizer, images: NDArray[np.uint8]
    ) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """Draw those at `rows` [N] of the concatenated `blocks` into images [N, *shape]: labels and key ids."""
        labels, key_ids = np.empty(len(rows), np.int64), np.empty(len(rows), np.uint64)
        for split, first_label, wanted, own_blocks, own_rows in self._parts(blocks, rows):
            part = images if wanted.all() else np.empty((int(wanted.sum()), *images.shape[1:]), images.dtype)
            found, key_ids[wanted] = split.read(own_blocks, own_rows, rasterizer, part)
            labels[wanted] = found + first_label
            if part is not images:
                images[wanted] = part
        return labels, key_ids

    def read_strokes(self, blocks: NDArray[np.int64], rows: NDArray[np.int64]) -> Drawings:
        """The drawings at `rows` [N] of the concatenated `blocks`."""
        drawings, places = [], []
        for split, first_label, wanted, own_blocks, own_rows in self._parts(blocks, rows):
            part = split.read_strokes(own_blocks, own_rows)
            drawings.append(replace(part, labels=(part.labels + first_label).astype(np.uint16)))
            places.append(np.flatnonzero(wanted))
        return Drawings.concatenate(drawings).take(np.argsort(np.concatenate(places)))

    def _parts(
        self, blocks: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> Iterator[tuple[Split, int, NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]]:
        """For each of the two splits that holds some of these drawings:

        the split, what is added to its labels, which of the rows [N] are its own, its own blocks, and its rows in them.
        """
        blocks, rows = np.asarray(blocks, np.int64), np.asarray(rows, np.int64)
        border = len(self.first.block_sizes)
        of_second = np.repeat(blocks >= border, self.block_sizes[blocks])
        for split, number, first_block, first_label in (
            (self.first, 0, 0, 0),
            (self.second, 1, border, len(self.first.classes)),
        ):
            own = of_second == number
            wanted = own[rows]
            if wanted.any():
                own_blocks = blocks[(blocks >= border) == number] - first_block
                yield split, first_label, wanted, own_blocks, (np.cumsum(own) - 1)[rows[wanted]]


class JoinedLoader:
    """The batches of a loader of the first part of a `Joined` split, and then those of one of the second."""

    def __init__(self, first: Epochs, second: Epochs) -> None:
        self.classes = [*first.classes, *second.classes]
        self.batch_size = first.batch_size
        self.num_drawings = first.num_drawings + second.num_drawings
        self._first, self._second = first, second

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self._first) + len(self._second)

    def epoch(self, epoch: int = 0, first: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from number `first` on."""
        yield from self._first.epoch(epoch, min(first, len(self._first)))
        for batch in self._second.epoch(epoch, max(first - len(self._first), 0)):
            yield batch._replace(labels=batch.labels + len(self._first.classes))


class Relabeled:
    """The drawings of `split`, with labels that number `classes`, which hold all of its own.

    Names are the same in whichever Unicode form they are written. Raises ValueError where `classes` lack one of the
    split's, naming the nearest to it.
    """

    def __init__(self, split: Split, classes: Sequence[str]) -> None:
        number_of_class = {normal_name(name): number for number, name in enumerate(classes)}
        own = [normal_name(name) for name in split.classes]
        if missing := [name for name in own if name not in number_of_class]:
            near = did_you_mean(missing[0], classes, "{!r}")
            raise ValueError(
                f"{_listed(missing)}{f' ({near})' if near else ''} {'are' if len(missing) > 1 else 'is'} not among the "
                f"{len(classes)} known classes: rename, or choose a split of known classes alone or of new ones alone"
            )
        self.classes = list(classes)
        self.block_sizes = split.block_sizes
        self._numbers = np.array([number_of_class[name] for name in own], np.int64)
        self.fingerprint = sha256("\n".join(["relabelled", split.fingerprint, *classes]).encode()).hexdigest()
        self._split = split

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """The labels of all drawings, in stored order, as indices into `classes`."""
        return self._numbers[self._split.labels]

    @property
    def has_strokes(self) -> bool:
        """That of `split`."""
        return self._split.has_strokes

    def complexity(self) -> Complexity | None:
        """That of `split`."""
        return self._split.complexity()

    def read(
        self, blocks: NDArray[np.int64], rows: NDArray[np.int64], rasterizer: Rasterizer, images: NDArray[np.uint8]
    ) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """Draw those at `rows` [N] of the concatenated `blocks` into images [N, *shape]: labels and key ids."""
        labels, key_ids = self._split.read(blocks, rows, rasterizer, images)
        return self._numbers[labels], key_ids

    def read_strokes(self, blocks: NDArray[np.int64], rows: NDArray[np.int64]) -> Drawings:
        """The drawings at `rows` [N] of the concatenated `blocks`."""
        drawings = self._split.read_strokes(blocks, rows)
        return replace(drawings, labels=self._numbers[drawings.labels].astype(np.uint16))


def _listed(names: Sequence[str]) -> str:
    """The first few names, for a message."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(map(repr, names[:3])) + more
