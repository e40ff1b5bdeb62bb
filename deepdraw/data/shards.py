"""The shard format: WebDataset tars of blocks of packed drawings, and an index.json with their checksums.

    root/index.json               the content of the shards, and the checksum of each
    root/train-00000.tar          000000.points.npy  000000.stroke_lengths.npy  ...  000001.points.npy  ...

A sample is a block of 512 drawings, because reading one small tar member costs more than drawing a sketch. Shards are
not compressed, so a block is used directly in the memory-mapped file. They are written globally shuffled, so any
sequence of blocks is a fair sample of its split.
"""

from __future__ import annotations

import io
import json
import math
import os
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from functools import cached_property, lru_cache, partial
from hashlib import sha256
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepdraw.data.external_sort import SortedDrawings, order_hash
from deepdraw.data.recognition import Recognition, recognition_of_index
from deepdraw.data.shard_index import FORMATS, ShardEntry, SplitEntry, index_bytes, read_index
from deepdraw.data.stroke_split import StrokeSplit
from deepdraw.data.tars import Member, tar_members
from deepdraw.drawings import Complexity, Drawings
from deepdraw.runtime import NO_ARRAY, open_regular, possible_folder, read_npy_header, write_bytes

BLOCK = 512  # drawings in a sample
SHARD = 64 * BLOCK  # drawings in a tar, about 4 MB
ARRAYS = [field.name for field in fields(Drawings)]
DTYPES = {"points": np.uint8, "key_ids": np.uint64}  # of the arrays; the others are uint16


def write_shards(
    root: Path,
    splits: Mapping[str, tuple[Sequence[str], Drawings | SortedDrawings]],
    *,
    metadata: Mapping[str, Any],
    each: Callable[..., Iterable[Any]] = map,
) -> None:
    """Write every split as shards under `root`. The index.json, which makes them valid, is written last.

    splits: name -> (class names, drawings whose labels index those names); metadata: what the user should know of the
    source (split rule, filter, what was dropped), kept in the index as it is; each: like `map`, perhaps in other
    processes. The order of the drawings is a hash of their key ids, so the same drawings give the same bytes, whatever
    their order was.
    """
    root.mkdir(parents=True, exist_ok=True)
    (root / "index.json").unlink(missing_ok=True)
    stretches = {name: _stretches(drawings) for name, (_, drawings) in splits.items()}
    paths = [root / f"{name}-{number:05d}.tar" for name in splits for number in range(len(stretches[name]))]
    shards = iter(each(_write_shard, paths, chain.from_iterable(stretches.values())))
    index = {"format": FORMATS[-1], **metadata, "splits": {}}
    for name, (classes, drawings) in splits.items():
        index["splits"][name] = {
            "classes": list(classes),
            "num_drawings": len(drawings),
            "per_class": dict(zip(classes, drawings.per_class(len(classes)).tolist(), strict=True)),
            "shards": list(islice(shards, len(stretches[name]))),
        }
    write_bytes(root / "index.json", index_bytes(index))


def _stretches(drawings: Drawings | SortedDrawings) -> list[Callable[[], Drawings]]:
    """Calls that return the drawings of one shard after another, in the order in which they are written."""
    if isinstance(drawings, SortedDrawings):
        return drawings.stretches(SHARD)
    order = np.argsort(order_hash(drawings.key_ids), kind="stable")
    return [partial(drawings.take, order[start : start + SHARD]) for start in range(0, len(order), SHARD)]


def _write_shard(path: Path, stretch: Callable[[], Drawings]) -> dict[str, Any]:
    """Write the drawings that `stretch` returns as one tar, and return its entry in the index."""
    drawings = stretch()
    buffer = io.BytesIO()
    with tarfile.TarFile(None, "w", buffer, tarfile.USTAR_FORMAT) as tar:
        for number, start in enumerate(range(0, len(drawings), BLOCK)):
            block = drawings.slice(start, start + BLOCK)
            for name in sorted(ARRAYS):
                _add_array(tar, f"{number:06d}.{name}.npy", getattr(block, name))
    write_bytes(path, buffer.getbuffer())
    return {
        "file": path.name,
        "num_drawings": len(drawings),
        "num_bytes": buffer.getbuffer().nbytes,
        "sha256": sha256(buffer.getbuffer()).hexdigest(),
    }


def _add_array(tar: tarfile.TarFile, name: str, array: NDArray[Any]) -> None:
    """Add an array as a member, in the way of webdataset's TarWriter, of which an import takes seconds."""
    file = io.BytesIO()
    np.save(file, array)
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.uname, member.gname = file.tell(), 0o444, "bigdata", "bigdata"
    file.seek(0)
    tar.addfile(member, file)


class Shards:
    """The shards under `root`, described by their index.json.

    Raises ValueError, in one line that names the fix, if the index is missing or has another format.
    """

    has_strokes = True

    def __init__(self, root: str) -> None:
        self.root = possible_folder(root, "data.root=")
        self.index, self._entries = read_index(self.root)

    @classmethod
    def check_place(cls, root: str) -> None:
        """Raise ValueError where there are no shards (see `Source`)."""
        cls(root)

    @property
    def splits(self) -> list[str]:
        """The names of the splits."""
        return list(self._entries)

    @property
    def recognition(self) -> Recognition:
        """Whether the drawings are those that the game recognized, or all; unknown where their files did not say it."""
        return recognition_of_index(self.index)

    @property
    def split_rule(self) -> str | None:
        """The name of the rule by which the preparation divided the drawings; None where the index does not say it."""
        rule = self.index.get("protocol")
        return rule if isinstance(rule, str) else None

    def split(self, name: str) -> ShardSplit:
        """Open one split, after checking size and checksum of each of its shards."""
        if name not in self.splits:
            raise ValueError(f"{self.root} has no split {name!r}: choose one of {', '.join(self.splits)}")
        return ShardSplit(self.root, self._entries[name])


class ShardSplit(StrokeSplit):
    """One split of a set of shards: blocks of drawings, read in any order. Raises ValueError for a damaged shard."""

    def __init__(self, root: Path, entry: SplitEntry) -> None:
        self.classes = entry.classes
        parts = [FORMATS[0], *self.classes, *(shard.sha256 for shard in entry.shards)]
        self.fingerprint = sha256(json.dumps(parts).encode()).hexdigest()
        with ThreadPoolExecutor() as threads:
            list(threads.map(lambda shard: _verify(root / shard.file, shard), entry.shards))
        self._shards = [_Shard(root / shard.file, shard.num_drawings, len(self.classes)) for shard in entry.shards]
        sizes = [shard.block_sizes for shard in self._shards]
        self.block_sizes = np.concatenate([np.empty(0, np.int64), *sizes]).astype(np.int64)
        self._root, self._per_class = root, list(entry.per_class.values())
        self._places = [(shard, number) for shard, size in enumerate(sizes) for number in range(len(size))]
        self._window = lru_cache(maxsize=2)(self._read_window)

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """The labels of all drawings [N], in stored order. Raises ValueError if they contradict the index."""
        parts = [self._shards[shard].labels(number) for shard, number in self._places]
        labels = np.concatenate([np.empty(0, np.int64), *parts])
        if np.bincount(labels, minlength=len(self.classes)).tolist() != self._per_class:
            raise ValueError(
                f"{self._root / 'index.json'} counts other drawings of its classes: write the shards again"
            )
        return labels

    def complexity(self) -> Complexity:
        """Strokes and points of all drawings, in stored order; their points are not read."""
        return Complexity.concatenate(
            [self._shards[shard].block(number).complexity() for shard, number in self._places]
        )

    def drawings(self, blocks: Sequence[int]) -> Drawings:
        """The drawings of these blocks, in order. The results of the last two calls are cached."""
        return self._window(tuple(int(block) for block in blocks))

    def read_strokes(self, blocks: NDArray[np.int64], rows: NDArray[np.int64]) -> Drawings:
        """The drawings at `rows` [N] of the concatenated `blocks`."""
        return self.drawings(blocks.tolist()).take(rows)

    def __iter__(self) -> Iterator[Drawings]:
        """All blocks, in the order in which they are stored."""
        return (self._read_window((block,)) for block in range(len(self.block_sizes)))

    def _read_window(self, blocks: tuple[int, ...]) -> Drawings:
        return Drawings.concatenate([self._shards[shard].block(number) for shard, number in map(self._place, blocks)])

    def _place(self, block: int) -> tuple[int, int]:
        return self._places[block]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_window": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ = {**state, "_window": lru_cache(maxsize=2)(self._read_window)}


class _Shard:
    """One tar. It is mapped into memory when first needed, so that every worker process has its own mapping.

    The checksums may come from a stranger, like the shards, so every block is also checked to be valid `Drawings` when
    it is read. Raises ValueError, naming tar and member, for an invalid block.
    """

    def __init__(self, path: Path, num_drawings: int, num_classes: int) -> None:
        self.block_sizes = np.diff(np.append(np.arange(0, num_drawings, BLOCK), num_drawings))
        self._path, self._num_classes = path, num_classes

    @cached_property
    def _bytes(self) -> NDArray[np.uint8]:
        return np.memmap(self._path, np.uint8, "r")

    @cached_property
    def _members(self) -> dict[str, Member]:
        return {member.name: member for member in tar_members(self._path, _again(self._path))}

    def block(self, number: int) -> Drawings:
        arrays = {name: self._array(f"{number:06d}.{name}.npy", name) for name in ARRAYS}
        lengths, counts, labels = (arrays[name] for name in ("stroke_lengths", "stroke_counts", "labels"))
        if not (
            len(counts) == len(labels) == len(arrays["key_ids"]) == self.block_sizes[number]
            and counts.min() > 0 < lengths.min(initial=1)
            and (counts.sum(), lengths.sum()) == (len(lengths), len(arrays["points"]))
            and labels.max() < self._num_classes
        ):
            raise self._broken(f"block {number:06d}")
        return Drawings(**arrays)

    def labels(self, number: int) -> NDArray[np.uint16]:
        labels = self._array(f"{number:06d}.labels.npy", "labels")
        if len(labels) != self.block_sizes[number] or labels.max() >= self._num_classes:
            raise self._broken(f"block {number:06d}")
        return labels

    def _array(self, member: str, name: str) -> NDArray[Any]:
        if member not in self._members:
            raise self._broken(member)
        _, offset, size = self._members[member]
        header = io.BytesIO(self._bytes[offset : offset + min(size, 256)].tobytes())
        try:
            shape, is_fortran, dtype = read_npy_header(header)
        except NO_ARRAY as error:
            raise self._broken(member) from error
        form = (shape[0], 2) if name == "points" else shape[:1]
        if (dtype, shape, is_fortran) != (DTYPES.get(name, np.uint16), form, False) or math.prod(
            shape
        ) * dtype.itemsize != size - header.tell():
            raise self._broken(member)
        return np.ndarray(shape, dtype, self._bytes, offset + header.tell())

    def _broken(self, what: str) -> ValueError:
        return ValueError(f"{self._path}: {what} holds no drawings as index.json tells of them: {_again(self._path)}")


def _again(path: Path) -> str:
    return f"write the shards again, or fetch {path.name} anew"


def _verify(path: Path, shard: ShardEntry) -> None:
    if not path.exists():
        raise ValueError(f"{path} is missing: {_again(path)}")
    with open_regular(path, fix=_again(path)) as file:
        if (size := os.fstat(file.fileno()).st_size) != shard.num_bytes:
            raise ValueError(f"{path} has {size:,} of {shard.num_bytes:,} bytes: {_again(path)}")
        digest = sha256()
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    if digest.hexdigest() != shard.sha256:
        raise ValueError(f"{path} does not match its checksum in index.json: {_again(path)}")
