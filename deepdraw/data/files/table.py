"""Reads a CSV file that lists drawings: the file of each, its class and, if wanted, its split."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from deepdraw.data.files.layout import SPLIT_OF_NAME, Entry, Layout
from deepdraw.drawings import DRAWING_SUFFIXES, SUFFIXES
from deepdraw.runtime import LARGEST, expand_home, read_text, suffix_among

NEEDS = "its first line must name the columns path and label, and split if wanted"


def table_layout(file: Path) -> Layout:
    """The files that a CSV file lists, in its order.

    Its first line names the columns: path (relative to the CSV file, or absolute), label, and optionally split (train,
    val, test, zeroshot, or empty). Columns may be separated by commas, semicolons or tabs; other columns are left.
    Raises ValueError, naming file and line, for anything else.
    """
    layout = Layout()
    for number, row in _rows(file):
        where = f"{file}, line {number}"
        path, label, split = (row.get(column, "").strip() for column in ("path", "label", "split"))
        if not path or not label:
            raise ValueError(f"{where} has no {'label' if path else 'path'}: fill it in or take the line out")
        if not label.isprintable():
            raise ValueError(f"{where} has a label that cannot be printed: correct it")
        if split and split.lower() not in SPLIT_OF_NAME:
            raise ValueError(f"{where} has the split {split[:40]!r}: write train, val, test, zeroshot or nothing")
        place = (file.parent / expand_home(path)).absolute()
        if not place.is_file():
            raise ValueError(f"{where} names {path[:200]}, which is no file there: paths start at {file.parent}")
        suffix = suffix_among(path, (*DRAWING_SUFFIXES, *SUFFIXES))
        if suffix is None:
            raise ValueError(f"{where} names {path[:200]}, which is no file of drawings by its name: convert it")
        layout.entries.append(Entry(place, label, SPLIT_OF_NAME[split.lower()] if split else None))
        layout.found.files.append(place)
        layout.found.taken[suffix] += 1
    if not layout.entries:
        raise ValueError(f"{file} lists no drawing: {NEEDS}")
    return layout


def _rows(file: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """The lines of a CSV file below the first, each with its number and its fields by the names of the columns."""
    text = read_text(file, largest=LARGEST["CSV"], fix="save it as CSV in UTF-8")
    heading = text.partition("\n")[0]
    delimiter = max(",;\t", key=heading.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        columns = [name.strip().lower() for name in next(reader, [])]
        if missing := [name for name in ("path", "label") if name not in columns]:
            raise ValueError(f"{file} has no column {missing[0]} but {', '.join(columns)[:200] or 'nothing'}: {NEEDS}")
        if len(set(columns)) < len(columns):
            raise ValueError(f"{file} names a column twice: {NEEDS}")
        for fields in reader:
            if any(field.strip() for field in fields):
                yield reader.line_num, dict(zip(columns, fields, strict=False))
    except csv.Error as error:
        raise ValueError(f"{file}, line {reader.line_num} is no CSV ({error}): save it anew") from error
