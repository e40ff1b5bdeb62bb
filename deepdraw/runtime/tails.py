"""The ends of files that another process may be writing at this moment."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

TAIL = 1 << 16  # bytes that are looked at


def latest(metrics_csv: Path, names: Sequence[str]) -> dict[str, float]:
    """The latest value of each of these columns, of those that have one near the end of the file.

    The row of the test, which is logged as an epoch after the last one, is passed over.
    """
    try:
        with metrics_csv.open("rb") as file:
            columns = next(csv.reader([file.readline().decode()]), [])
            lines = _tail(file, file.tell())
    except FileNotFoundError:
        return {}
    found: dict[str, float] = {}
    missing = {name: columns.index(name) for name in names if name in columns}
    tests = [place for place, name in enumerate(columns) if name.startswith("test/")]
    for line in reversed(lines):
        if not missing:
            break
        cells = line.split(",")
        complete = len(cells) == len(columns)  # not being written
        if complete and not any(cells[place] for place in tests):
            found |= {name: float(cells[place]) for name, place in missing.items() if cells[place]}
            missing = {name: place for name, place in missing.items() if name not in found}
    return found


def last_lines(log: Path, number: int) -> list[str]:
    """The last lines of a log, of those that say something."""
    try:
        with log.open("rb") as file:
            lines = _tail(file, 0)
    except FileNotFoundError:
        return []
    return [line for line in lines if line.strip()][-number:]


def read_json(path: Path) -> dict[str, Any]:
    """What a JSON file says; nothing where there is none, or none yet."""
    try:
        return json.loads(path.read_text(encoding="utf-8") or "{}")
    except FileNotFoundError:
        return {}


def _tail(file: Any, start: int) -> list[str]:
    """The lines after byte `start`, of the last `TAIL` bytes."""
    file.seek(max(start, file.seek(0, os.SEEK_END) - TAIL))
    return file.read().decode(errors="replace").splitlines()
