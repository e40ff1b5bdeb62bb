"""Reads files of drawings in all their forms lazily, one drawing at a time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from deepdraw.drawings.binary import read_bin
from deepdraw.drawings.bitmaps import read_bitmaps
from deepdraw.drawings.kinds import word_of
from deepdraw.drawings.records import read_csv, read_ndjson
from deepdraw.drawings.sketch import Broken, Sketch
from deepdraw.drawings.sketch_rnn import read_sketch_rnn
from deepdraw.runtime import open_unpacked, suffix_among

__all__ = ["SUFFIXES", "TABLE_SUFFIXES", "Broken", "Sketch", "own_word", "read_sketches"]

SUFFIXES = (".ndjson", ".ndjson.gz", ".bin", ".bin.gz", ".csv", ".csv.gz", ".npz", ".npy")
TABLE_SUFFIXES = (".csv", ".csv.gz")  # of drawings; many another table is called so too
WITH_WORDS = (".ndjson", ".ndjson.gz", *TABLE_SUFFIXES)  # forms in which a drawing may name its word
LOOKED_AT = 100  # drawings at most, for one that is not broken


def own_word(path: Path) -> str:
    """The word of the drawings of a file: that of the first one, which may be the name of the file."""
    if suffix_among(path.name, WITH_WORDS):
        for item in islice(read_sketches(path, any_word=True), LOOKED_AT):
            if isinstance(item, Sketch):
                return item.word
    return word_of(path)


def read_sketches(path: Path, *, any_word: bool = False, word: str | None = None) -> Iterator[Sketch | Broken]:
    """Read the drawings of one file, in a form that its suffix tells, or of a gzip of it:

    - .ndjson: a drawing in each line, simplified or raw, with or without times (see `strokes`);
    - .bin: the official binary form;
    - .csv: Kaggle's, with strokes in the column `drawing`;
    - .npz: sketch-rnn's steps (dx, dy, pen); each drawing has the split that the file gives it;
    - .npy: bitmaps uint8 [N, 784], white on black; each drawing has an image and no strokes.

    The word of a drawing is its own, where the file has words, and else `word`, by default the name of the file. Raw
    strokes are simplified. A drawing with a word other than the file's counts as broken, unless `any_word` is set.

    Raises:
        ValueError: in one line, if there is no such file, or it does not parse as a whole. A broken line of ndjson,
            row of CSV or array of sketch-rnn is given as `Broken`, and reading goes on.
    """
    word, suffix = word or word_of(path), Path(path.name.lower().removesuffix(".gz")).suffix
    with open_unpacked(path) as file:
        if suffix == ".bin":
            yield from read_bin(file, path, word)
        elif suffix == ".csv":
            yield from read_csv(file, path, word, any_word)
        elif suffix == ".npz":
            yield from read_sketch_rnn(file, path, word)
        elif suffix == ".npy":
            yield from read_bitmaps(file, path, word)
        else:
            yield from read_ndjson(file, word, any_word)


def whole_sketches(path: Path) -> Iterator[Sketch]:
    """The drawings of a file, of any words, one at a time, where every one is needed.

    Raises ValueError, in one line, for the first drawing that is broken or has no point.
    """
    if not path.is_file():
        raise ValueError(f"there is no file {path}: correct the path")
    for sketch in read_sketches(path, any_word=True):
        if isinstance(sketch, Broken):
            raise ValueError(f"{path}: drawing {sketch.number} is broken ({sketch.reason}): mend it or leave it out")
        if not sketch.strokes and sketch.image is None:
            raise ValueError(f"{path}: the drawing of key_id {sketch.key_id} has no point: leave it out")
        yield sketch
