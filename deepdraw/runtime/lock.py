"""A lock between processes of any machines that share a directory, which the death of its owner sets free."""

from __future__ import annotations

import glob
import json
import os
import socket
import stat
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from deepdraw.runtime.display import shown
from deepdraw.runtime.files import create_whole
from deepdraw.runtime.reading import parse_json, read_bytes

BEAT = 5.0  # seconds between an owner's signs of life
SILENCE = 60.0  # seconds without one after which it is taken for dead
UNWRITTEN = 1.0  # seconds after which a lock that names no owner is taken for a dead one's
LARGEST = 1 << 12  # bytes of a lock file
LAST_PID = 2**31 - 1  # that any system gives a process
FIX = "remove it"


@dataclass(frozen=True)
class Owner:
    """What a lock file says of the process that holds it; machine, started: as `_machine`, `_started` tell them."""

    host: str
    pid: int
    machine: str = ""
    started: str = ""
    since: str = ""
    token: str = ""


class Lock:
    """A file that one process at a time can create, and touches for as long as it holds the lock.

    Creating a file where there is none and renaming one are what network file systems do in one step; fcntl's locks
    are not passed on by all of them. The file appears with its content, so that one that names no owner is nobody's.
    A dead owner is known by its silence, over `silence` seconds of the clock of whoever waits, and on its own machine
    at once, by its process number and the time at which that process was started: there one that was only stopped
    keeps its lock. One elsewhere that was stopped for so long finds `held` false when it goes on.
    """

    def __init__(self, path: Path, *, beat: float = BEAT, silence: float = SILENCE) -> None:
        self.path = path
        self.held = False
        self._beat, self._silence = beat, silence
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
        self._sign: tuple[str, int] | None = None  # what the owner wrote and when it last touched it
        self._sign_since = 0.0
        self._released = threading.Event()

    def acquire(self) -> bool:
        """Take the lock if it is free or its owner dead, and say whether that went well; waits for nothing."""
        if self.is_taken:
            return False
        self.clear()
        try:
            create_whole(self.path, self._own.encode())
        except FileExistsError:
            return False
        self.held = True
        self._released.clear()
        threading.Thread(target=self._keep_alive, daemon=True).start()
        return True

    def release(self) -> None:
        """Set the lock free, unless it was lost."""
        self._released.set()
        self.held = False
        if self._read() == self._own:
            self.path.unlink()

    def clear(self) -> None:
        """Remove the lock if its owner is dead, and those that were being removed when their remover died."""
        sign = self._look()
        if sign is not None and self._is_dead(sign):
            self._clear_away(sign[0])
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
    def is_taken(self) -> bool:
        """Whether another process holds the lock, which of one on another machine is not known at once."""
        sign = self._look()
        return sign is not None and not self._is_dead(sign)

    @property
    def owner_runs_here(self) -> bool:
        """Whether the lock is held by a process that is known to run, as it is one of this machine."""
        owner = self._parse(self._read())
        return owner is not None and _is_here(owner)

    @property
    def owner(self) -> str:
        """Who holds the lock, for messages."""
        owner = self._parse(self._read())
        return f"process {owner.pid} on {shown(owner.host)}" if owner else "another process"

    def _keep_alive(self) -> None:
        while not self._released.wait(self._beat):
            with suppress(OSError):  # a file server that is away for a moment
                if self._read() != self._own:
                    self.held = False
                    return
                os.utime(self.path)

    def _look(self) -> tuple[str, int] | None:
        """What the owner wrote, and the time of its last sign of life; None where the lock is free."""
        try:
            content = _content(self.path)  # a network file system asks the server for the time when it opens a file
            return content, os.lstat(self.path).st_mtime_ns
        except FileNotFoundError:
            return None

    def _read(self) -> str | None:
        sign = self._look()
        return sign and sign[0]

    def _parse(self, content: str | None) -> Owner | None:
        """What an owner wrote; None for what no owner writes."""
        try:
            owner = parse_json((content or "").encode(), Owner, path=self.path, fix=FIX)
        except ValueError:
            return None
        return owner if 0 < owner.pid <= LAST_PID else None

    def _is_dead(self, sign: tuple[str, int]) -> bool:
        owner = self._parse(sign[0])
        if owner and (_is_gone(owner) or _is_here(owner)):
            return _is_gone(owner)
        now = time.monotonic()
        if sign != self._sign:
            self._sign, self._sign_since = sign, now
        silence = self._silence
        if owner is None and sign[0] is not UNREADABLE:
            silence = min(silence, UNWRITTEN)
            if time.time() - sign[1] / 1e9 > UNWRITTEN:  # by two clocks, where this is the one look that is taken
                return True
        return now - self._sign_since > silence

    def _clear_away(self, dead: str) -> None:
        """Remove the lock of a dead owner, of which one only of those who wait may be the first to know."""
        aside = self.path.with_name(f"{self.path.name}.{uuid.uuid4().hex}")
        with suppress(FileNotFoundError):  # another one was faster
            os.rename(self.path, aside)
            if _content(aside) == dead:
                aside.unlink()
            else:  # so much faster that this is its own lock
                os.rename(aside, self.path)


UNREADABLE = "{}"  # stands for what another user wrote, and keeps to itself


def _content(path: Path) -> str:
    """What a lock file says; nothing for what is no such file, and FileNotFoundError where there is none.

    Raises OSError for a folder of that name.
    """
    status = os.lstat(path)
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(21, "Is a directory", str(path))
    if not stat.S_ISREG(status.st_mode):
        return ""
    try:
        return read_bytes(path, largest=LARGEST).decode(errors="replace")
    except ValueError as error:
        if isinstance(error.__cause__, PermissionError):
            return UNREADABLE
        if isinstance(error.__cause__, OSError):
            raise error.__cause__ from None
        return ""


def _machine() -> str:
    """What tells apart processes of the same number: this start of the machine, and the container's own numbering."""
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return socket.gethostname()


def _started(pid: int) -> str:
    """When a process of this machine was started, in ticks after the machine; nothing where that is not told."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError, ValueError):
        return ""


def _is_gone(owner: Owner) -> bool:
    """Whether it was a process of this machine that runs no more; another one may have its number by now."""
    if owner.machine != _machine():
        return False
    return not _is_running(owner.pid) or _started(owner.pid) != (owner.started or _started(owner.pid))


def _is_here(owner: Owner) -> bool:
    """Whether it is a process of this machine that runs."""
    return owner.machine == _machine() and bool(owner.started) and not _is_gone(owner)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
