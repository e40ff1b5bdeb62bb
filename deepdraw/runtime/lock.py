"""A lock for processes on all machines that share a directory. It becomes free when its owner dies."""

from __future__ import annotations

import glob
import json
import os
import socket
import stat
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from deepdraw.runtime.display import shown
from deepdraw.runtime.files import create_whole
from deepdraw.runtime.lease import Lease
from deepdraw.runtime.reading import parse_json, read_bytes

HEARTBEAT = 5.0  # seconds between an owner's signs of life
DEAD_AFTER = 60.0  # seconds without a sign of life after which an owner counts as dead
NAMELESS_DEAD_AFTER = 1.0  # seconds after which the owner of a lock that names none counts as dead
MAX_BYTES = 1 << 12  # bytes of a lock file
MAX_PID = 2**31 - 1  # the largest process number on any system
LOCK_FIX = "remove it"


@dataclass(frozen=True)
class Owner:
    """The process that holds a lock, as the lock file describes it; machine, started: see `_machine`, `_started`."""

    host: str
    pid: int
    machine: str = ""
    started: str = ""
    since: str = ""
    token: str = ""


_held_locks: set[Lock] = set()  # keeps the locks of this process alive: a lease that Python collects is released


class Lock:
    """A lock file. One process at a time can create it, and touches it regularly while it holds the lock.

    Network file systems create and rename files atomically, but not all of them support fcntl locks. The file appears
    together with its content, so a file that names no owner belongs to nobody. A waiting process takes an owner for
    dead if it gave no sign of life for `silence` seconds. If the owner ran on the same machine, its process number and
    start time show at once whether it still runs; a process that is only stopped keeps its lock there. A process on
    another machine that was stopped for so long finds `held` false when it continues.
    """

    def __init__(self, path: Path, *, beat: float = HEARTBEAT, silence: float = DEAD_AFTER) -> None:
        self.path = path
        self._silence = silence
        self._own = json.dumps(
            {
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "machine": _machine(),
                "started": _started(os.getpid()),
                "since": time.strftime("%Y-%m-%d %H:%M:%S %z"),
                "token": uuid.uuid4().hex,
            }
        )
        self._last_seen: tuple[str, int] | None = None  # the content of the file and the time of its last touch
        self._last_seen_change = 0.0
        self._lease = Lease(path, create=lambda: create_whole(path, self._own.encode()), beat=beat)

    def acquire(self) -> bool:
        """Take the lock if it is free or its owner is dead. Returns whether it was taken, without waiting."""
        if self.is_taken:
            return False
        self.clear()
        if not self._lease.take():
            return False
        _held_locks.add(self)
        return True

    def release(self) -> None:
        """Free the lock, unless another process has taken it over."""
        taken = self._lease.is_locked
        self._lease.release()
        _held_locks.discard(self)
        if taken and self._read() == self._own:
            self.path.unlink()

    def clear(self) -> None:
        """Remove the lock if its owner is dead. Also finish removals that a killed process had started."""
        seen = self._content_and_time()
        if seen is not None and self._is_dead(seen):
            self._clear_away(seen[0])
        for aside in self.path.parent.glob(f"{glob.escape(self.path.name)}.{'[0-9a-f]' * 32}"):
            with suppress(OSError):
                owner = self._parse(_content(aside))
                if owner and _is_gone(owner):
                    aside.unlink()

    def __enter__(self) -> Lock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()

    @property
    def held(self) -> bool:
        """Whether this process holds the lock; False after another process has taken it over."""
        if not self._lease.is_held:
            return False
        try:
            return self._read() in (self._own, UNREADABLE)
        except OSError:  # the file server may be unreachable for a moment
            return True

    @property
    def is_taken(self) -> bool:
        """Whether another process holds the lock. For an owner on another machine only waiting shows that it died."""
        seen = self._content_and_time()
        return seen is not None and not self._is_dead(seen)

    @property
    def owner_runs_here(self) -> bool:
        """Whether the owner of the lock is a running process of this machine."""
        owner = self._parse(self._read())
        return owner is not None and _is_here(owner)

    @property
    def owner(self) -> str:
        """The owner of the lock in words, for messages."""
        owner = self._parse(self._read())
        return f"process {owner.pid} on {shown(owner.host)}" if owner else "another process"

    def _content_and_time(self) -> tuple[str, int] | None:
        """The content of the lock file and the time of the owner's last sign of life; None if the lock is free."""
        try:
            content = _content(self.path)  # opening makes a network file system fetch the current time of the file
            return content, os.lstat(self.path).st_mtime_ns
        except FileNotFoundError:
            return None

    def _read(self) -> str | None:
        seen = self._content_and_time()
        return seen and seen[0]

    def _parse(self, content: str | None) -> Owner | None:
        """The owner that a lock file names; None if the content is not that of a lock file."""
        try:
            owner = parse_json((content or "").encode(), Owner, path=self.path, fix=LOCK_FIX)
        except ValueError:
            return None
        return owner if 0 < owner.pid <= MAX_PID else None

    def _is_dead(self, seen: tuple[str, int]) -> bool:
        owner = self._parse(seen[0])
        if owner and (_is_gone(owner) or _is_here(owner)):
            return _is_gone(owner)
        now = time.monotonic()
        if seen != self._last_seen:
            self._last_seen, self._last_seen_change = seen, now
        silence = self._silence
        if owner is None and seen[0] is not UNREADABLE:
            silence = min(silence, NAMELESS_DEAD_AFTER)
            if (
                time.time() - seen[1] / 1e9 > NAMELESS_DEAD_AFTER
            ):  # compares two clocks, which is enough for a single look
                return True
        return now - self._last_seen_change > silence

    def _clear_away(self, dead: str) -> None:
        """Remove the lock of a dead owner. If several processes try this at once, only one of them succeeds."""
        aside = self.path.with_name(f"{self.path.name}.{uuid.uuid4().hex}")
        with suppress(FileNotFoundError):  # another process has removed it already
            os.rename(self.path, aside)
            if _content(aside) == dead:
                aside.unlink()
            else:  # another process has already taken the lock, and this is its file: put it back
                os.rename(aside, self.path)


UNREADABLE = "{}"  # stands for the content of another user's lock that may not be read


def _content(path: Path) -> str:
    """The content of a lock file; empty if it is no regular file or too large.

    Raises FileNotFoundError if there is no such file, and OSError for a folder of that name.
    """
    status = os.lstat(path)
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(21, "Is a directory", str(path))
    if not stat.S_ISREG(status.st_mode):
        return ""
    try:
        return read_bytes(path, largest=MAX_BYTES).decode(errors="replace")
    except ValueError as error:
        if isinstance(error.__cause__, PermissionError):
            return UNREADABLE
        if isinstance(error.__cause__, OSError):
            raise error.__cause__ from None
        return ""


def _machine() -> str:
    """An id of this boot of the machine and of the container's process namespace: process numbers are unique in it."""
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return socket.gethostname()


def _started(pid: int) -> str:
    """The start time of a process of this machine, in clock ticks after boot; empty if the system does not say."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError, ValueError):
        return ""


def _is_gone(owner: Owner) -> bool:
    """Whether the owner was a process of this machine that has ended. A new process may have the same number."""
    if owner.machine != _machine():
        return False
    return not _is_running(owner.pid) or _started(owner.pid) != (owner.started or _started(owner.pid))


def _is_here(owner: Owner) -> bool:
    """Whether the owner is a running process of this machine."""
    return owner.machine == _machine() and bool(owner.started) and not _is_gone(owner)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
