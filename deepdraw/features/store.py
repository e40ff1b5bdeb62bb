"""Features on disk. They are written block by block, resumed at the last complete block, and mapped into memory.

    train-3f0c52.../features     float [views * N, D], one drawing after another
                    labels       int64 [views * N]
                    key_ids      int64 [views * N]
                    checksums    uint32, the CRC-32 of each block of these three
                    about.json   what the features were made with

Until it is complete the directory is called `.part`. If writing was interrupted, all blocks up to the first one that
does not match its checksum are used. A complete directory is damaged if any bit, size or about.json differs.
"""

from __future__ import annotations

import errno
import mmap
import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO
from zlib import crc32

import numpy as np
import torch
from torch import Tensor

from deepdraw.runtime import name_grown, open_growing, open_regular, read_text, write_text

BLOCK = 128  # drawings that are encoded at once and share one checksum
ARRAYS = ("features", "labels", "key_ids")


@dataclass(frozen=True, eq=False)
class Features:
    """Features of N drawings in stored order, mapped read-only into memory.

    features: float [N, D], or [views, N, D] where there are several; labels: int64 [N]; key_ids: int64 [N], the bits
    of the unsigned ids.
    """

    features: Tensor
    labels: Tensor
    key_ids: Tensor
    maps: tuple[mmap.mmap, ...] = ()

    def release_pages(self) -> None:
        """Release the memory pages read so far. The disk is read again when they are needed."""
        for mapped in self.maps:
            mapped.madvise(mmap.MADV_DONTNEED)


@dataclass(frozen=True)
class FeatureStore:
    """The directory of the features [views, num_drawings, num_features] of one split; no views: [num_drawings, ...]."""

    folder: Path
    num_drawings: int
    num_features: int
    views: int | None
    dtype: torch.dtype
    metadata: str = "{}"  # what about.json holds

    @property
    def part(self) -> Path:
        """The name of the directory until it is complete."""
        return self.folder.with_name(f"{self.folder.name}.part")

    @property
    def blocks_per_view(self) -> int:
        """The number of blocks in a view. Each view begins with a new block."""
        return -(-self.num_drawings // BLOCK)

    @property
    def num_blocks(self) -> int:
        """The number of blocks in the complete directory."""
        return self.blocks_per_view * (self.views or 1)

    @property
    def widths(self) -> list[int]:
        """The bytes of one drawing in each of `ARRAYS`."""
        return [self.num_features * self.dtype.itemsize, 8, 8]

    def rows_before(self, block: int) -> int:
        """The number of drawings in the blocks before this one, over all views."""
        view, block = divmod(block, self.blocks_per_view)
        return view * self.num_drawings + min(block * BLOCK, self.num_drawings)

    def num_written(self) -> int:
        """The number of blocks that have been written so far, perhaps by another process."""
        try:
            return (self.part / "checksums").stat().st_size // 4
        except FileNotFoundError:
            return 0

    def num_sound(self, folder: Path) -> int:
        """The number of blocks in this directory before the first one that does not match its checksum."""
        try:
            with ExitStack() as stack:
                *files, sums = (stack.enter_context(open_regular(folder / name)) for name in (*ARRAYS, "checksums"))
                checksums = np.frombuffer(sums.read(4 * self.num_blocks)[: _size(sums) // 4 * 4], "<u4").tolist()
                for block, checksum in enumerate(checksums):
                    rows = self.rows_before(block + 1) - self.rows_before(block)
                    stored = (file.read(rows * width) for file, width in zip(files, self.widths, strict=True))
                    if _checksum(stored) != checksum:
                        return block
            return len(checksums)
        except (ValueError, OSError):  # a file is missing or cannot be read
            return 0

    def damage(self) -> str | None:
        """Where the complete directory is damaged, in words; None if it is not."""
        rows = self.rows_before(self.num_blocks)
        sizes = [*(rows * width for width in self.widths), 4 * self.num_blocks]
        try:
            for name, size in zip((*ARRAYS, "checksums"), sizes, strict=True):
                with open_regular(self.folder / name) as file:
                    if _size(file) != size:
                        return f"in {name}, which has {_size(file):,} of {size:,} bytes"
            if read_text(self.folder / "about.json") != self.metadata:
                return "in about.json"
        except ValueError as error:
            return f"({error})"
        sound = self.num_sound(self.folder)
        return f"in block {sound} of {self.num_blocks}" if sound < self.num_blocks else None

    def open(self) -> Features | None:
        """The features; None if the directory is missing, incomplete or damaged."""
        if not self.folder.exists() or self.damage():
            return None
        rows = self.rows_before(self.num_blocks)
        maps = tuple(_map(self.folder / name, rows * width) for name, width in zip(ARRAYS, self.widths, strict=True))
        dtypes = (self.dtype, torch.int64, torch.int64)
        features, labels, key_ids = (_tensor(mapped, dtype) for mapped, dtype in zip(maps, dtypes, strict=True))
        shape = (self.num_drawings, self.num_features)
        features = features.view(shape if self.views is None else (self.views, *shape))
        return Features(features, labels[: self.num_drawings], key_ids[: self.num_drawings], maps)

    def discard_damaged(self) -> None:
        """Remove the directory if it is damaged. Processes that have mapped it keep their data."""
        if os.path.lexists(self.folder) and (damage := self.damage()):
            print(f"{self.folder} is damaged {damage}: its features are computed anew")
            _remove(self.folder)


class FeatureWriter:
    """Writes the missing blocks of a store. Raises ValueError if the disk refuses.

    Blocks are not flushed one by one, because a block that did not reach the disk does not match its checksum.
    """

    def __init__(self, store: FeatureStore) -> None:
        self._store = store
        with disk_errors(store.part):
            if store.part.is_symlink() or _is_busy(store.part / "features"):
                _remove(store.part)
            store.part.mkdir(parents=True, exist_ok=True)
            self.num_blocks = store.num_sound(store.part)
            rows = store.rows_before(self.num_blocks)
            missing = (store.rows_before(store.num_blocks) - rows) * sum(store.widths)
            if missing > (free := shutil.disk_usage(store.part).free):
                raise ValueError(
                    f"{store.part} needs {missing / 1e9:.1f} GB more, {free / 1e9:.1f} GB are free: "
                    "set features.dir to a larger disk, or to null"
                )
            names = (*ARRAYS, "checksums")
            ends = (*(rows * width for width in store.widths), 4 * self.num_blocks)
            self._files = [open_growing(store.part / name, end) for name, end in zip(names, ends, strict=True)]

    def append(self, features: Tensor, labels: Tensor, key_ids: Tensor) -> None:
        """Write the next block, on the CPU: features [B, D] of the store's dtype, labels and key ids int64 [B]."""
        blobs = [tensor.contiguous().view(torch.uint8).numpy() for tensor in (features, labels, key_ids)]
        checksum = np.array(_checksum(blobs), "<u4")
        with disk_errors(self._store.part):
            for file, blob in zip(self._files, (*blobs, checksum), strict=True):
                if file.write(blob.data) != blob.nbytes:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.num_blocks += 1

    def finish(self) -> None:
        """Rename the complete directory from `.part` to its final name."""
        assert self.num_blocks == self._store.num_blocks, "a block is missing"
        with disk_errors(self._store.part):
            write_text(self._store.part / "about.json", self._store.metadata)
            for file in self._files:
                os.fsync(file.fileno())
            name_grown(self._store.part, self._store.folder)

    def __enter__(self) -> FeatureWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for file in self._files:
            file.close()


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn an error of the disk into one line with its fix."""
    try:
        yield
    except OSError as error:
        name = error.filename or path
        raise ValueError(
            f"{name} cannot be written ({error.strerror}): set features.dir to another disk, or to null"
        ) from error


def _checksum(blobs: Any) -> int:
    checksum = 0
    for blob in blobs:
        checksum = crc32(blob, checksum)
    return checksum


def _size(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size


def _is_busy(path: Path) -> bool:
    """Whether another process has the file open for writing: one that was stopped and lost its lock."""
    try:
        open_growing(path).close() if path.exists() else None
    except OSError as error:
        return error.errno == errno.EBUSY
    return False


def _remove(folder: Path) -> None:
    """Remove a folder or a file. If it is a link, only the link is removed."""
    if folder.is_dir() and not folder.is_symlink():
        shutil.rmtree(folder)
    else:
        folder.unlink()


def _map(path: Path, num_bytes: int) -> mmap.mmap:
    with open_regular(path) as file:
        return mmap.mmap(file.fileno(), num_bytes, access=mmap.ACCESS_READ)


def _tensor(mapped: mmap.mmap, dtype: torch.dtype) -> Tensor:
    with warnings.catch_warnings():  # torch warns because it has no read-only tensors
        warnings.filterwarnings("ignore", "The given buffer is not writable")
        return torch.frombuffer(mapped, dtype=dtype)
