"""Worker processes: they leave signals to their parent process, and end when it ends."""

from __future__ import annotations

import multiprocessing
import os
import signal
from multiprocessing.connection import wait
from threading import Thread


def prepare_worker() -> None:
    """Ignore Ctrl-C and SLURM's SIGUSR2 in a worker process, and end it when its parent ends, even if killed.

    Both signals reach all processes, but only the main one handles them. The workers of a pool hold both ends of their
    queue open, so without this they would never notice that the parent is gone.
    """
    for number in (signal.SIGINT, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None, "this is no worker process"
    wait([parent.sentinel])
    os._exit(1)
