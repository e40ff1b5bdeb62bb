"""The ends of files that another process may be writing at this moment."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

from deepdraw.runtime import open_regular

TAIL = 1 << 16  # bytes that are looked at


def latest(metrics_csv: Path, names: Sequence[str]) -> dict[str, float]:
    """The latest finite value of each of these columns, of those that have one near the end of the file.

    The row of the test, which bears the epoch of the best weights, is passed over, and so is what is no whole row
    of numbers. Nothing where there is no such file, or a link.
    """
    try:
        with _open(metrics_csv) as file:
            heading = file.readline(TAIL).decode(errors="replace")
            columns = next(csv.reader([heading]), [])
            lines = _tail(file, file.tell(), whole=True)
    except (ValueError, OSError, csv.Error):
        return {}
    found: dict[str, float] = {}
    missing = {name: columns.index(name) for name in names if name in columns}
    tests = [place for place, name in enumerate(columns) if name.startswith("test/")]
    for line in reversed(lines):
        if not missing:
            break
        cells = line.split(",")
        if len(cells) == len(columns) and not any(cells[place] for place in tests):
            values = {name: _number(cells[place]) for name, place in missing.items()}
            found |= {name: value for name, value in values.items() if value is not None}
            missing = {name: place for name, place in missing.items() if name not in found}
    return found


def last_lines(log: Path, number: int) -> list[str]:
    """The last lines of a log, of those that say something; none where there is no such file, or a link."""
    try:
        with _open(log) as file:
            lines = _tail(file, 0, whole=False)
    except (ValueError, OSError):
        return []
    return [line for line in lines if line.strip()][-number:]


def _open(path: Path) -> AbstractContextManager[BinaryIO]:
    if path.is_symlink():
        raise ValueError(f"{path} is a link")
    return open_regular(path)


def _tail(file: BinaryIO, start: int, *, whole: bool) -> list[str]:
    """The lines after byte `start`, of the last `TAIL` bytes; whole: without a first and a last one that are torn."""
    end = file.seek(0, os.SEEK_END)
    first = max(start, end - TAIL)
    file.seek(first - 1 if first > start else first)
    lines = file.read(TAIL + 1).decode(errors="replace").splitlines(keepends=True)
    if whole and first > start:
        lines = lines[1:]
    if whole and lines and not lines[-1].endswith("\n"):
        lines.pop()
    return [line.rstrip("\r\n") for line in lines]


def _number(cell: str) -> float | None:
    """The finite number that a cell says; None where it says none."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
