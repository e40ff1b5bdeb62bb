"""Ctrl-C, SIGTERM and SLURM's SIGUSR2 as a wish that the loop grants between two steps."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

CAUGHT = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)
FROM_SLURM = (signal.SIGTERM, signal.SIGUSR2)  # before it takes the machine back, in either order, more than once


class Preempted(SystemExit):
    """SLURM wants the machine back, and the job has saved what it could."""


@contextmanager
def sigterm_as_ctrl_c() -> Iterator[None]:
    """Let SIGTERM raise KeyboardInterrupt, as Ctrl-C does, unless whoever started this process handles it already."""
    main_thread = threading.current_thread() is threading.main_thread()  # Python takes handlers nowhere else
    if not main_thread or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def preemptible() -> Iterator[None]:
    """Let SLURM's SIGTERM raise Preempted, hold SIGUSR2 back until a StopSignal is entered, and do nothing on others.

    SIGUSR2 comes while there is time: what saves nothing, such as a last evaluation, may end before SIGTERM comes.
    They reach every process of the job; one that is forked while this is entered lets them pass.
    """
    process = os.getpid()

    def leave(number: int, frame: FrameType | None) -> None:
        if os.getpid() == process:
            for each in FROM_SLURM:
                signal.signal(each, signal.SIG_IGN)
            raise Preempted(f"stopped by {signal.Signals(number).name}")

    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    before = {number: signal.signal(number, leave) for number in FROM_SLURM}
    try:
        yield
    finally:
        signal.sigtimedwait({signal.SIGUSR2}, 0)  # which has come too late
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in before.items():
            if signal.getsignal(number) is leave:  # else this process is leaving
                signal.signal(number, handler)


class StopSignal:
    """While it is entered, the first of these signals sets `requested`; a second Ctrl-C acts as it always did."""

    def __init__(self) -> None:
        self.requested = False
        self._number = signal.SIGTERM  # for a rank that stops because another was asked to
        self._before: dict[signal.Signals, Any] = {}
        self._mask: set[int] = set()

    def __enter__(self) -> StopSignal:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._request) for number in CAUGHT}
            self._mask = set(signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR2}))
        return self

    def raise_if_requested(self) -> None:
        """Once the loop has saved: let the signal do what it does elsewhere, at the least raise KeyboardInterrupt."""
        if self.requested:
            self._restore()
            handler = self._before.get(self._number)
            if callable(handler):
                handler(self._number, None)
            raise KeyboardInterrupt

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        self._number = signal.Signals(number)
        if number == signal.SIGINT:
            signal.signal(number, self._before[signal.SIGINT])

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._before:
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
        if not isinstance(error, Preempted):  # while it leaves, SLURM's signals do nothing
            self._restore()
