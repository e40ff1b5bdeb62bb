"""The one place that looks for a user's files in a folder: which are taken, which are left, and which are refused.

Hidden files, AppleDouble files (`._cat.png`), notebook checkpoints and what operating systems leave behind are never
taken. Links are followed, but no folder is read twice, and none above the first one, so there is no endless circle.
Suffixes are compared without regard to case.
"""

from __future__ import annotations

import os
import stat
from collections import Counter, deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

LEFT_BY_SYSTEMS = {  # in lower case
    *("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir", "$recycle.bin", "lost+found"),
    *("system volume information", "__pycache__"),
}
HIDDEN, REPEATED = "hidden or of the system", "folders that links reach again"


@dataclass(frozen=True)
class Found:
    """The files of a folder that a reader takes, and how many it leaves.

    files: sorted by their paths; taken: suffix -> number of files; left: kind -> number of files.
    """

    files: list[Path] = field(default_factory=list)
    taken: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)

    def __add__(self, other: Found) -> Found:
        return Found(self.files + other.files, self.taken + other.taken, self.left + other.left)

    def __str__(self) -> str:
        """`80 files (60 .png, 20 .svg), 3 left out (2 hidden or of the system, 1 .txt)`."""
        text = f"{_number(self.taken.total(), 'file')}{kinds_of(self.taken)}"
        return f"{text}, {self.left.total():,} left out{kinds_of(self.left)}" if self.left else text


def walk(
    root: Path,
    suffixes: Collection[str],
    *,
    deeper: bool = True,
    refuse: Callable[[Path], str | None] = lambda path: None,
) -> Found:
    """The files in `root`, and in all folders below it if `deeper`, that have one of `suffixes` (`.png`, `.ndjson.gz`).

    refuse: for a file of another suffix, what is wrong with it and the fix (`is an archive: unpack it`), or None where
    it may be left out.

    Raises ValueError, naming the file or folder and the fix, for a link that leads nowhere, for a file or folder that
    may not be read, for a file with one of the suffixes that is no regular file, and for a file to refuse.
    """
    found = Found()
    seen = {_identity(folder) for folder in root.resolve().parents}  # a link to one of them would lead round in circles
    waiting, linked = [root], deque[Path]()  # links come last: a folder is named by its own path where it has one
    while waiting or linked:
        folder = waiting.pop() if waiting else linked.popleft()
        if _identity(folder) in seen:
            found.left[REPEATED] += 1
            continue
        seen.add(_identity(folder))
        entries, num_hidden = _entries(folder)
        if num_hidden:
            found.left[HIDDEN] += num_hidden
        for path in entries:
            mode = _status(path).st_mode
            if stat.S_ISDIR(mode):
                (linked if path.is_symlink() else waiting).extend([path] if deeper else [])
            elif suffix := suffix_among(path.name, suffixes):
                _check_file(path, mode)
                found.files.append(path)
                found.taken[suffix] += 1
            elif reason := refuse(path):
                raise ValueError(f"{path} {reason}")
            else:
                found.left[path.suffix.lower() or "without a suffix"] += 1
    found.files.sort()
    return found


def kinds_of(counts: Counter[str]) -> str:
    """` (2 .png, 1 .svg)`, the most frequent first; nothing where there is nothing."""
    kinds = sorted(counts.items(), key=lambda kind: (-kind[1], kind[0]))
    text = ", ".join(f"{number:,} {kind}" for kind, number in kinds[:8])
    return f" ({text}{', ...' if len(kinds) > 8 else ''})" if kinds else ""


def visible(folder: Path) -> list[Path]:
    """The entries of a folder, sorted by name, without those that are hidden or left by an operating system.

    Raises ValueError, naming it, for a link that leads nowhere and for a folder that is missing or may not be read.
    """
    entries, _ = _entries(folder)
    for path in entries:
        _status(path)
    return entries


def suffix_among(name: str, suffixes: Collection[str]) -> str | None:
    """The longest of `suffixes` (in lower case) that a file of this name has, in any case; None if it has none."""
    lower = name.lower()
    return max((suffix for suffix in suffixes if lower.endswith(suffix)), key=len, default=None)


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is hidden or left by an operating system, and so never looked at."""
    return (name.startswith(".") and name not in (".", "..")) or name.lower() in LEFT_BY_SYSTEMS


def _entries(folder: Path) -> tuple[list[Path], int]:
    """The visible entries of a folder, sorted, and the number of others."""
    try:
        names = os.listdir(folder)
    except OSError as error:
        raise ValueError(f"{folder} cannot be read ({error.strerror}): correct the path or its permissions") from error
    shown = sorted(name for name in names if not is_hidden(name))
    return [folder / name for name in shown], len(names) - len(shown)


def _status(path: Path) -> os.stat_result:
    """The status of what `path` leads to. Raises ValueError where it leads nowhere."""
    try:
        return os.stat(path)
    except OSError as error:
        if path.is_symlink():
            target = os.readlink(path)
            raise ValueError(
                f"{path} is a link to {target}, which cannot be read ({error.strerror}): mend it or take it away"
            ) from error
        raise ValueError(f"{path} cannot be read ({error.strerror}): mend it or take it away") from error


def _identity(folder: Path) -> tuple[int, int]:
    status = _status(folder)
    return status.st_dev, status.st_ino


def _check_file(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise ValueError(f"{path} is no regular file: take it away")
    if not os.access(path, os.R_OK):
        raise ValueError(f"{path} may not be read: change its permissions or take it away")


def _number(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
