"""The moments at which a process dies: at random, or where it opens, fills, renames or removes a file."""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

WRITES = {
    f"os.{name}" for name in ("rename", "remove", "mkdir", "rmdir", "truncate", "link", "symlink", "utime", "chmod")
}


@dataclass(frozen=True)
class Moment:
    """When a process dies.

    time: `at` seconds after its start, by the hand of its parent. before, after: its write number `at`. torn: once it
    has written `size` bytes of the file that it opens at write number `at`, or of the next one that is longer; a
    process that looks at how much was written may find the file cut short first, and end as on a full disk.
    """

    kind: str
    at: float
    size: int = 0

    def __str__(self) -> str:
        if self.kind == "time":
            return f"after {self.at:.3f} s"
        return f"{self.kind} write {self.at:.0f}" + (f" at {self.size} bytes" if self.kind == "torn" else "")


def watch_writes(folder: Path, found: Callable[[str], None]) -> None:
    """From now on call `found` with a few words ahead of whatever this process does to a file or folder in `folder`.

    Writes are: opening a file to write to it, bringing one to the disk, renaming, removing, making a folder. Code of C
    that opens files by itself is not seen.
    """
    inside = f"{folder.resolve()}{os.sep}"

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = arguments
            writes = set(mode or "") & set("wax+") or (mode is None and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
            if not writes:
                return
        elif event in WRITES:
            path = arguments[0]
        else:
            return
        if isinstance(path, str | bytes | os.PathLike):
            path = os.path.abspath(os.fsdecode(path))
            if path.startswith(inside) and not (event == "os.mkdir" and os.path.isdir(path)):
                found(f"{event} {path[len(inside) :]}")

    sync = os.fsync

    def fsync(file: Any) -> None:
        found("os.fsync")
        sync(file)

    os.fsync = fsync
    sys.addaudithook(hook)


def die_at(moment: Moment, folder: Path) -> None:
    """Let this process die at `moment`, which is no `time`."""
    number = 0
    os.register_at_fork(after_in_child=_allow_any_size)

    def found(what: str) -> None:
        nonlocal number
        number += 1
        if number == moment.at and moment.kind == "before":
            _die()
        elif number == moment.at and moment.kind == "after":
            _die_after()
        elif number >= moment.at and moment.kind == "torn" and what.startswith("open"):
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python lets writes fail instead
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_FSIZE, (moment.size, resource.RLIM_INFINITY))

    watch_writes(folder, found)


def _allow_any_size() -> None:
    """In a process forked from one whose file is to be torn: torch's shared memory is no file of the command."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def _die_after() -> None:
    """Die at the first thing that Python does after what it is about to do."""

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        if frame.f_code.co_filename != __file__:
            _die()

    sys.setprofile(profile)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
