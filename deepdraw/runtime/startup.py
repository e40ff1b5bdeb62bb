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


def _flush() -> None:
    """Print what is left, or say in one line that it cannot be, with the exit status 1."""
    try:
        sys.stdout.flush()
    except OSError as error:
        drop_stdout()
        print(f"error: stdout: {error.strerror}: send it to where it can be written", file=sys.stderr, flush=True)
        os._exit(1)


def drop_stdout() -> None:
    """Send what is still to be printed nowhere, so that Python does not fail to print it once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else whoever started this process ignores it
    signal.signal(signal.SIGINT, signal.SIG_DFL)
if sys.stdout is None:
    sys.exit("error: stdout is closed: send it to a file, or to /dev/null")
atexit.register(_flush)
