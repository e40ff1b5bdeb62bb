"""Worker processes: they leave signals to their parent process, and end when it ends."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import active_children, resource_tracker
from multiprocessing.connection import wait
from threading import Thread
from typing import Any

from deepdraw.runtime.cores import num_cores
from deepdraw.runtime.signals import EARLY, signals_held


def prepare_worker() -> None:
    """Ignore Ctrl-C and SLURM's SIGUSR2 in a worker process, and end it when its parent ends, even if killed.

    Both signals reach all processes, but only the main one handles them. The workers of a pool hold both ends of their
    queue open, so without this they would never notice that the parent is gone.
    """
    for number in (signal.SIGINT, *EARLY):
        signal.signal(number, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None, "this is no worker process"
    wait([parent.sentinel])
    os._exit(1)


@contextmanager
def process_pool(most: int) -> Iterator[Callable[..., Iterator[Any]]]:
    """A function like `map` that calls in processes of its own, one for each core, but at most `most`.

    It begins with all calls at once and returns their results in order. If the block ends with an exception, such as
    that of a call, all processes are killed.
    """
    others = set(active_children())
    resource_tracker.ensure_running()  # it removes the pool's semaphores if this process is killed later
    # Processes are spawned, because forking a process with threads (a progress bar has one) can hang.
    pool = ProcessPoolExecutor(min(most, num_cores()), multiprocessing.get_context("spawn"), prepare_worker)

    def each(function: Callable[..., Any], *arguments: Iterable[Any]) -> Iterator[Any]:
        with signals_held():  # while submit() starts the processes
            futures = deque(pool.submit(function, *given) for given in zip(*arguments, strict=False))
            pool.submit(bool)  # the pool notices that a process died only if another call follows its start
        return (futures.popleft().result() for _ in range(len(futures)))  # which lets go of each result

    try:
        yield each
        pool.shutdown()
    except BaseException:
        with signals_held():  # a worker that starts while this process ends would print a traceback
            for process in set(active_children()) - others:
                process.kill()
            pool.shutdown(cancel_futures=True)
        raise
