"""Keeps drawings with their names, as a data set of one's own: a file of ndjson for each name, which `data=` reads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import quote

from deepdraw.draw.network import strokes_of
from deepdraw.drawings import hash_text
from deepdraw.runtime import append_text, check_writable, normal_name, open_regular, shown

LONGEST_NAME = 100  # characters
LONGEST_FILE_NAME = 120


class Collection:
    """A folder of drawings by name. Each is a line in the raw form of Quick, Draw!, written at once.

    Raises ValueError where the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        try:
            check_writable(folder)
        except OSError as error:
            raise ValueError(f"collect={shown(folder)} cannot be written ({error.strerror}): choose another") from error
        self.folder, self.number = folder, 0
        self._lock = Lock()

    def keep(self, name: str, drawing: Sequence[Any]) -> int:
        """Append a drawing, and return how many were kept since the start.

        drawing: x, y and times of each stroke. Raises ValueError, in one line, for what is no drawing, for a name that
        cannot be one, and where the file cannot be written.
        """
        name = normal_name(name).strip()
        if not name or len(name) > LONGEST_NAME or not name.isprintable():
            raise ValueError(f"{shown(name, 40)!r} is no name for a drawing: give 1 to {LONGEST_NAME} letters")
        strokes_of(drawing)
        now = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
        line = json.dumps({"word": name, "timestamp": now, "drawing": drawing}, ensure_ascii=False)
        path = self.folder / file_name(name)
        with self._lock:
            try:
                append_text(path, f"{'' if _ends_whole(path) else chr(10)}{line}\n")
            except OSError as error:
                raise ValueError(
                    f"{shown(path)} cannot be written ({error.strerror}): free it, and try again"
                ) from error
            self.number += 1
            return self.number


def file_name(name: str) -> str:
    """The file of a name: what may not stand in the name of a file, or hides it, is written as in an address."""
    safe = quote(name, safe=" ()'!,&+")
    if safe.startswith("."):
        safe = f"%2E{safe[1:]}"
    if len(safe) > LONGEST_FILE_NAME:
        safe = f"{safe[: LONGEST_FILE_NAME - 17]}-{hash_text(name):016x}"
    return f"{safe}.ndjson"


def _ends_whole(path: Path) -> bool:
    """Whether a file is new or ends with a whole line, as it does unless the power went off within one."""
    if not path.exists():
        return True
    with open_regular(path) as file:
        end = file.seek(0, 2)
        file.seek(max(0, end - 1))
        return file.read(1) in (b"", b"\n")
