"""Imported first by a command: what holds before its main begins and after it has ended.

Ctrl-C ends the process at once and without a traceback while modules load, while Hydra composes, and while Python
shuts down; nothing has been written then, or all of it. `interruptible` (signals.py) takes over in between. What is
still to be printed at the end is printed here, so that a full disk behind stdout is told in one line. Only commands
import this, where they are `__main__`: a program that imports deepdraw keeps its own handlers.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from types import TracebackType
from typing import NoReturn


def _show(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Print what no main has caught: one line where the machine is at fault, else the traceback."""
    from deepdraw.runtime.failures import drop_stdout_that_fails, failure_line, keeps_tracebacks

    line = None if keeps_tracebacks() or not isinstance(error, OSError | MemoryError) else failure_line(error)
    if line is None:
        sys.__excepthook__(kind, error, traceback)
    else:
        drop_stdout_that_fails()
        print(f"error: {line}", file=sys.stderr)


def _flush() -> None:
    """Print what is left, or say in one line that it cannot be, with the exit status 1."""
    try:
        sys.stdout.flush()
    except OSError as error:
        _end(error)


def _end(error: OSError) -> NoReturn:
    os.write(2, f"error: stdout: {error.strerror}: send it to where it can be written\n".encode())
    os._exit(1)  # as Python would print what is left once more, and fail


if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else whoever started this process ignores it
    signal.signal(signal.SIGINT, signal.SIG_DFL)
if sys.stdout is None:
    sys.exit("error: stdout is closed: send it to a file, or to /dev/null")
try:
    os.write(sys.stdout.fileno(), b"")
except OSError as error:
    _end(error)
sys.excepthook = _show
atexit.register(_flush)
