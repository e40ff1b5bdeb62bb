"""Keeps what was read from the files of a collection, so that later runs need not read and parse them all again."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from deepdraw.data.files.collection import Collection, read_collection
from deepdraw.data.files.layout import Entry
from deepdraw.drawings import Drawings, hash_text
from deepdraw.runtime import cache_folder, read_npz, write_sealed

log = logging.getLogger(__name__)

LEAST_FILES = 500  # fewer are read anew each time, within a second or two
DRAWINGS = {"points": (np.uint8, 2), "stroke_lengths": (np.uint16, 1), "stroke_counts": (np.uint16, 1)}
KEPT = ("content", "words", "splits", "row", "bitmap", "bitmaps")  # of a Collection, as they are
COLUMNS: dict[str, tuple[Any, int]] = {
    "stamp": (str, 0),
    "files": (np.int32, 1),  # `Collection.file`; numpy.savez has an argument of that name
    "content": (np.uint64, 1),
    "words": (str, 1),
    "splits": (str, 1),
    "row": (np.int64, 1),
    "bitmap": (np.int64, 1),
    "bitmaps": (np.uint8, 3),
    "num_broken": (np.int64, 0),
    **DRAWINGS,
}


def open_collection(entries: Sequence[Entry], place: Path) -> Collection:
    """The collection of the files `entries` of a user's `place`: the stored one, if no file has changed since.

    It is kept in the user's cache, under the path of `place`. Raises ValueError as `read_collection` does.
    """
    if len(entries) < LEAST_FILES:
        return read_collection(entries, str(place))
    path = cache_folder() / "collections" / f"{hash_text(str(place.resolve())):016x}.npz"
    stamp = _stamp(entries)
    collection = _load(path, entries, stamp)
    if collection is None:
        collection = read_collection(entries, str(place))
        _store(path, collection, stamp)
    return collection


def _stamp(entries: Sequence[Entry]) -> str:
    """A hash of the paths, sizes and modification times of all files, and of the code that reads them."""
    digest = sha256(_code().encode())
    for entry in entries:
        status = entry.path.stat()
        digest.update(
            f"{entry.path.absolute()}\n{status.st_size} {status.st_mtime_ns}\n".encode(errors="surrogateescape")
        )
    return digest.hexdigest()


@cache
def _code() -> str:
    """A hash of the source of `deepdraw.drawings` and of this package: other code may read other strokes."""
    digest = sha256()
    for package in ("deepdraw.drawings", "deepdraw.data.files"):
        for file in sorted(files(package).iterdir(), key=lambda file: file.name):
            if file.name.endswith(".py"):
                digest.update(file.read_bytes())
    return digest.hexdigest()


def _load(path: Path, entries: Sequence[Entry], stamp: str) -> Collection | None:
    """The stored collection; None if there is none, or it is of other files."""
    if not path.exists():
        return None
    try:
        stored = read_npz(path, COLUMNS, what="collection of drawings", fix="it is made anew")
    except ValueError as error:
        log.warning("%s", error)
        return None
    if str(stored["stamp"]) != stamp:
        return None
    number = len(stored["stroke_counts"])
    strokes = Drawings(
        **{name: stored[name] for name in DRAWINGS},
        labels=np.zeros(number, np.uint16),
        key_ids=np.zeros(number, np.uint64),
    )
    columns = {name: stored[name] for name in KEPT}
    num_broken = int(stored["num_broken"])
    return Collection(entries=list(entries), file=stored["files"], strokes=strokes, num_broken=num_broken, **columns)


def _store(path: Path, collection: Collection, stamp: str) -> None:
    columns: dict[str, Any] = {name: getattr(collection, name) for name in KEPT}
    columns |= {name: np.ascontiguousarray(getattr(collection.strokes, name)) for name in DRAWINGS}
    columns |= {"stamp": np.array(stamp), "files": collection.file, "num_broken": np.array(collection.num_broken)}
    try:
        write_sealed(path, lambda file: np.savez(file, **columns))
    except OSError as error:
        log.info("what was read of %d files cannot be kept at %s (%s)", len(collection.entries), path, error.strerror)
