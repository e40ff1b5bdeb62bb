"""Reads all files of a collection once: what is drawn in each, packed, with a hash of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from os import cpu_count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.progress import track

from deepdraw.data.files.layout import Entry
from deepdraw.drawings import SUFFIXES, Broken, Drawings, Sketch, is_svg, read_image, read_sketches, read_svg
from deepdraw.runtime import LARGEST, read_bytes, shown, suffix_among

NONE = -1  # in place of the number of strokes, or of a bitmap, that a drawing has not
MOST_BROKEN = 0.01  # of the drawings of a file of strokes
MOST_DRAWINGS = 5_000_000  # their strokes are held in memory, about 100 bytes each
FRESH = "write shards of so many: python -m deepdraw.data.quickdraw"


@dataclass(frozen=True, eq=False)
class Collection:
    """N drawings in files, in the order of the files.

    file: int32 [N], an index into `entries`; content: uint64 [N], a hash of what is drawn; words, splits: the class and
    the split that each drawing names itself, "" if none [N]; strokes: those of M drawings; row: int64 [N], the number
    of a drawing in `strokes`, or NONE; bitmaps: uint8 [K, 28, 28]; bitmap: int64 [N], the number of a drawing in
    `bitmaps`, or NONE. What has neither is an image in a file of its own. num_broken: lines and records of files that
    hold no drawing.
    """

    entries: list[Entry]
    file: NDArray[np.int32]
    content: NDArray[np.uint64]
    words: NDArray[np.str_]
    splits: NDArray[np.str_]
    row: NDArray[np.int64]
    strokes: Drawings
    bitmap: NDArray[np.int64]
    bitmaps: NDArray[np.uint8]
    num_broken: int

    def image(self, number: int) -> NDArray[np.uint8]:
        """A drawing that is an image, gray [H, W]. Raises ValueError, naming the file, if it does not decode."""
        bitmap = self.bitmap[number]
        return self.bitmaps[bitmap] if bitmap != NONE else read_image(self.entries[self.file[number]].path)


def read_collection(entries: Sequence[Entry], name: str) -> Collection:
    """Read every file. Raises ValueError, naming the first file, for one that holds no drawing or is damaged."""
    console = Console(stderr=True)
    with ThreadPoolExecutor(min(8, cpu_count() or 1)) as threads:
        contents = threads.map(lambda entry: _read(entry.path), entries)
        disable = len(entries) < 1000 or not console.is_terminal
        parts = list(track(contents, f"reading {escape(shown(name))}", len(entries), console=console, disable=disable))
    num_drawings = [len(part.content) for part in parts]
    if sum(num_drawings) > MOST_DRAWINGS:
        raise ValueError(f"{name} holds {sum(num_drawings):,} drawings, more than {MOST_DRAWINGS:,}: {FRESH}")
    packed = [part.strokes for part in parts if part.strokes is not None]
    bitmaps = [part.bitmaps for part in parts if part.bitmaps is not None]
    return Collection(
        entries=list(entries),
        file=np.repeat(np.arange(len(parts), dtype=np.int32), num_drawings),
        content=np.concatenate([part.content for part in parts]),
        words=np.array([word for part in parts for word in part.words], np.str_),
        splits=np.array([split for part in parts for split in part.splits], np.str_),
        row=_numbers([part.strokes is not None for part in parts], num_drawings),
        strokes=Drawings.concatenate(packed) if packed else Drawings.pack([]),
        bitmap=_numbers([part.bitmaps is not None for part in parts], num_drawings),
        bitmaps=np.concatenate(bitmaps) if bitmaps else np.empty((0, 1, 1), np.uint8),
        num_broken=sum(part.num_broken for part in parts),
    )


def _numbers(parts: Sequence[bool], num_drawings: Sequence[int]) -> NDArray[np.int64]:
    """The number of each drawing among those of the chosen parts, or NONE: int64 [N]."""
    chosen = np.repeat(np.array(parts, bool), num_drawings)
    return np.where(chosen, np.cumsum(chosen) - 1, NONE)


@dataclass(frozen=True, eq=False)
class _Part:
    """The drawings of a file, all of which are strokes, or all bitmaps; an image in a file of its own is neither."""

    content: NDArray[np.uint64]
    words: list[str]
    splits: list[str]
    strokes: Drawings | None = None
    bitmaps: NDArray[np.uint8] | None = None
    num_broken: int = 0


def _read(path: Path) -> _Part:
    if suffix_among(path.name, SUFFIXES):
        return _read_many(path)
    largest = LARGEST["SVG" if is_svg(path.name) else "image"]
    encoded = read_bytes(path, largest=largest, fix="fetch it anew or take it away")
    if not encoded:
        raise ValueError(f"{path} is empty: fetch it anew or take it away")
    content = np.array([_hash(encoded)], np.uint64)
    if not is_svg(path.name):
        read_image(path)  # now, and not in the middle of training
        return _Part(content, [""], [""])
    return _Part(content, [""], [""], Drawings.pack([read_svg(path)]))


def _read_many(path: Path) -> _Part:
    """The drawings of a file that may hold many."""
    broken: list[Broken] = []
    sketches: list[Sketch] = []
    for sketch in read_sketches(path, any_word=True):
        if isinstance(sketch, Broken):
            broken.append(sketch)
        elif sketch.strokes or sketch.image is not None:
            sketches.append(sketch)
        else:
            broken.append(Broken(len(sketches) + len(broken) + 1, "it has no strokes"))
    number = len(sketches) + len(broken)
    if not number:
        raise ValueError(f"{path} holds no drawing: fetch it anew or take it away")
    if not sketches or len(broken) > MOST_BROKEN * number:
        first = f", the first is {broken[0].number} ({broken[0].reason})" if broken else ""
        raise ValueError(f"{path}: {len(broken)} of {number} drawings cannot be read{first}: fetch it anew")
    words, splits = [sketch.word for sketch in sketches], [sketch.split or "" for sketch in sketches]
    images = [sketch.image for sketch in sketches if sketch.image is not None]
    if images:
        bitmaps = np.stack(images)
        content = np.array([_hash(bitmap.tobytes()) for bitmap in bitmaps], np.uint64)
        return _Part(content, words, splits, bitmaps=bitmaps, num_broken=len(broken))
    packed = Drawings.pack([sketch.strokes for sketch in sketches])
    content = np.fromiter(_stroke_hashes(packed), np.uint64, len(packed))
    return _Part(content, words, splits, packed, num_broken=len(broken))


def _stroke_hashes(drawings: Drawings) -> Iterator[int]:
    for index in range(len(drawings)):
        first, last = drawings.stroke_starts[index], drawings.stroke_starts[index + 1]
        points = drawings.points[drawings.point_starts[first] : drawings.point_starts[last]]
        yield _hash(drawings.stroke_lengths[first:last].tobytes() + points.tobytes())


def _hash(content: bytes) -> int:
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "little")
