"""Reads drawings that are written as records: lines of ndjson, or rows of Kaggle's CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from deepdraw.drawings.sketch import Broken, Sketch, hash_strokes, one_line, parse_key_id
from deepdraw.drawings.strokes import parse_strokes, strokes_of
from deepdraw.runtime import LARGEST

UNREADABLE = (ValueError, TypeError, LookupError, OverflowError, RecursionError)  # what a stranger's record may cause
BOM = b"\xef\xbb\xbf"
FLAGS = {"true": True, "false": False, "": None}


def read_ndjson(file: BinaryIO, word: str, any_word: bool) -> Iterator[Sketch | Broken]:
    """The drawings of an ndjson file, official or of the same keys; `word` is that of a drawing that has none."""
    for number, line in enumerate(_lines(file), start=1):
        if not line.isspace():
            yield read_line(line, number, word, any_word)


def read_line(line: bytes, number: int, word: str, any_word: bool = False) -> Sketch | Broken:
    """The drawing in one line of ndjson, the `number`-th of its file."""
    try:
        if len(line) > LARGEST["drawing"]:
            raise ValueError(f"it has more than {LARGEST['drawing']:,} bytes")
        return _sketch(json.loads(line), word, any_word)
    except UNREADABLE as error:
        return Broken(number, one_line(error))


def read_csv(file: BinaryIO, path: Path, word: str, any_word: bool) -> Iterator[Sketch | Broken]:
    """The drawings of a CSV file whose column `drawing` holds strokes as JSON, as Kaggle's Quick, Draw! files do.

    Of the other columns word, key_id and recognized are heeded. Raises ValueError, naming the file, if the column is
    missing, or for text that is no CSV, because what follows cannot be told from it.
    """
    for number, row in enumerate(_rows(file, path), start=1):
        try:
            yield _sketch(_record(row), word, any_word)
        except UNREADABLE as error:
            yield Broken(number, one_line(error))


def _rows(file: BinaryIO, path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a CSV file with a column `drawing`."""
    csv.field_size_limit(max(csv.field_size_limit(), LARGEST["drawing"]))
    rows = csv.DictReader(line.decode() for line in _lines(file))
    fix = "save it anew as CSV in UTF-8, or leave it out"
    try:
        if "drawing" not in (rows.fieldnames or ()):
            raise ValueError(f"{path} has no column named drawing in its first line: name the one with the strokes so")
        yield from rows
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no CSV of drawings, after line {rows.line_num} ({error}): {fix}") from error


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a file, without a byte order mark. A line that is too long is cut, just above the limit."""
    most = LARGEST["drawing"] + 1
    line = file.readline(most).removeprefix(BOM)
    while line:
        yield line
        while len(line) == most and not line.endswith(b"\n"):  # skip the rest of a line that is too long
            line = file.readline(most)
        line = file.readline(most)


def _record(row: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of an ndjson line that a row of CSV has. An empty cell stands for a key that is missing."""
    record = {key: row[key] for key in ("word", "key_id", "drawing") if row.get(key)}
    said = row.get("recognized") or ""
    return record | {"recognized": FLAGS.get(said.strip().lower(), said)}


def _sketch(record: Any, word: str, any_word: bool) -> Sketch:
    """The drawing of a record. Its own word, where it has one, counts and not that of the file."""
    if not isinstance(record, Mapping):
        raise ValueError("not a JSON object")
    own = word if record.get("word") is None else record["word"]
    if not isinstance(own, str):
        raise ValueError(f"its word is {own!r:.80}, no text: write the name of the class")
    if not any_word and own != word:
        raise ValueError(f"a drawing of {own!r:.80} in the file of {word!r}: give each word a file of its own")
    recognized = record.get("recognized")
    if not isinstance(recognized, bool | None):
        raise ValueError(f"recognized is {recognized!r:.80}, neither true nor false")
    drawing = record["drawing"]
    if isinstance(drawing, str):  # JSON within a cell of CSV, or within JSON
        drawing = json.loads(drawing)
    strokes = parse_strokes(drawing)
    key_id = hash_strokes(strokes) if record.get("key_id") is None else parse_key_id(record["key_id"])
    return Sketch(own, key_id, recognized, strokes, len(strokes_of(drawing)) - len(strokes))
