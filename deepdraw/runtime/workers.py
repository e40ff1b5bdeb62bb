"""Worker processes, which leave signals to the process that started them and end when it has."""

from __future__ import annotations

import multiprocessing
import os
import signal
from multiprocessing.connection import wait
from threading import Thread


def prepare_worker() -> None:
    """Leave Ctrl-C and SLURM's warning, sent to all processes, to the main one; end when it is gone, even if killed.

    A pool's workers hold both ends of the queue that they read from, so they would never see its end.
    """
    for number in (signal.SIGINT, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None, "this is no worker process"
    wait([parent.sentinel])
    os._exit(1)
