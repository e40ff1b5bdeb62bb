"""Processes forked from one that has imported everything, so that a command starts within milliseconds."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

POLL = 0.002  # seconds


class Fork:
    """A process that calls `main` with `folder` as its working directory, and then ends.

    It leads a process group, which all that it starts belong to. log: a file for its output; None throws it away.
    """

    def __init__(self, main: Callable[[], None], folder: Path, log: Path | None = None) -> None:
        assert threading.active_count() == 1, "a process with threads must not fork"
        self.status: int | None = None
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            _become(main, folder, log)
        self._start = time.monotonic()

    def wait(self, seconds: float) -> float | None:
        """Wait for its end, at most so long; returns the seconds that it took, None where it still runs."""
        end = time.monotonic() + seconds
        while self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > end:
                return None
            else:
                time.sleep(POLL)
        return time.monotonic() - self._start

    def kill(self) -> None:
        """kill -9 of this process alone, not of those that it started."""
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            self.wait(60)

    def left(self, seconds: float) -> list[int]:
        """The processes of its group that are still there after so long."""
        end = time.monotonic() + seconds
        while (found := group(self.pid)) and time.monotonic() < end:
            time.sleep(0.05)
        return found

    def end_group(self) -> None:
        """kill -9 of what it has left behind."""
        for pid in group(self.pid):
            os.kill(pid, signal.SIGKILL)


def _become(main: Callable[[], None], folder: Path, log: Path | None) -> None:
    """Be the process: this never returns to what the parent was doing."""
    code = 1
    try:
        os.setpgid(0, 0)
        os.chdir(folder)
        output = os.open(os.devnull if log is None else log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        os.dup2(output, 1)
        os.dup2(output, 2)
        main()
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def group(leader: int) -> list[int]:
    """The processes of a group that are no zombies."""
    proc = Path("/proc")
    if not proc.is_dir():  # macOS
        return _listed(leader)
    found = []
    for entry in proc.iterdir():
        if entry.name.isdigit():
            try:
                state, _, group = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
            except OSError:  # it has just gone
                continue
            if int(group) == leader and state not in "ZX":
                found.append(int(entry.name))
    return found


def _listed(leader: int) -> list[int]:
    """The same, as ps knows it."""
    import subprocess

    lines = subprocess.run(["ps", "-A", "-o", "pid=,pgid=,stat="], capture_output=True, text=True).stdout.splitlines()
    return [int(pid) for pid, group, state in map(str.split, lines) if int(group) == leader and state[0] != "Z"]
