"""Every command imports this first. It handles Ctrl-C and errors of stdout before `main` starts and after it ends.

While modules load, while Hydra composes, and while Python shuts down, Ctrl-C ends the process at once and without a
traceback: at these times nothing has been written, or everything. `interruptible` (signals.py) takes over in between.
At exit stdout is flushed here, so that a full disk is reported in one line. Only commands import this, when they are
`__main__`: a program that imports deepdraw keeps its own handlers.

Threads that wait for others sleep. If they spun, as OpenMP's do by default, any other work on the same cores would make
a training many times as slow.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from types import TracebackType
from typing import NoReturn


def _print_uncaught(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Print an uncaught exception: one line if the machine caused it, else the traceback."""
    from deepdraw.runtime.failures import drop_stdout_that_fails, failure_line, keeps_tracebacks

    line = None if keeps_tracebacks() or not isinstance(error, OSError | MemoryError) else failure_line(error)
    if line is None:
        sys.__excepthook__(kind, error, traceback)
    else:
        drop_stdout_that_fails()
        print(f"error: {line}", file=sys.stderr)


def _flush_stdout() -> None:
    """Flush stdout. If that fails, say so in one line and exit with status 1."""
    try:
        sys.stdout.flush()
    except OSError as error:
        _exit_without_stdout(error)


def _exit_without_stdout(error: OSError) -> NoReturn:
    os.write(2, f"error: stdout: {error.strerror}: send it to where it can be written\n".encode())
    os._exit(1)  # a normal exit would flush stdout again, and fail


os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when torch is loaded, later than this
os.environ.setdefault("KMP_BLOCKTIME", "0")  # the same for Intel's OpenMP
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not if the parent process made it ignored
    signal.signal(signal.SIGINT, signal.SIG_DFL)
if sys.stdout is None:
    sys.exit("error: stdout is closed: send it to a file, or to /dev/null")
try:
    os.write(sys.stdout.fileno(), b"")
except OSError as error:
    _exit_without_stdout(error)
sys.excepthook = _print_uncaught
atexit.register(_flush_stdout)
