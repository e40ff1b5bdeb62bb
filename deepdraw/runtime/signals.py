"""Ctrl-C, SIGTERM and SLURM's SIGUSR2 as a wish that the loop grants between two steps."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

CAUGHT = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)
UNHANDLED = (signal.SIG_DFL, signal.default_int_handler)
FROM_SLURM = (signal.SIGTERM, signal.SIGUSR2)  # before it takes the machine back, in either order, more than once


class Preempted(SystemExit):
    """SLURM wants the machine back, and the job has saved what it could."""


class _Interrupt:
    """A signal handler that raises KeyboardInterrupt, once or often."""

    def __init__(self, often: bool) -> None:
        self.came = False
        self._often, self._process = often, os.getpid()

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:  # a child that was forked a moment ago
            os._exit(128 + number)
        self.came = True
        if not self._often:
            for each in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(each) is self:
                    signal.signal(each, signal.SIG_DFL)
        raise KeyboardInterrupt


@contextmanager
def interruptible(often: bool = False) -> Iterator[None]:
    """Let the first Ctrl-C or SIGTERM raise KeyboardInterrupt; a later one ends this process, or raises it `often`.

    A signal that whoever started this process handles or ignores is left alone. What else is raised after an
    interruption, such as an import that it broke, becomes KeyboardInterrupt. An interruption that Python cannot raise,
    as within `__del__`, ends the process, as it would be lost otherwise.
    """
    if threading.current_thread() is not threading.main_thread():  # Python takes handlers nowhere else
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    taken = {n: handler for n, handler in handlers.items() if handler in UNHANDLED or isinstance(handler, _Interrupt)}
    interrupt = _Interrupt(often)
    for number in taken:
        signal.signal(number, interrupt)
    try:
        with _silent_interruptions():
            yield
    except Exception as error:
        if not interrupt.came:
            raise
        raise KeyboardInterrupt from error
    finally:
        for number, handler in taken.items():
            signal.signal(number, handler)


@contextmanager
def _silent_interruptions() -> Iterator[None]:
    """Print no traceback of a KeyboardInterrupt that C code prints, and end the process where it is dropped."""
    printed, dropped = sys.excepthook, sys.unraisablehook

    def on_printed(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        if not issubclass(kind, KeyboardInterrupt):
            printed(kind, error, traceback)

    def on_dropped(unraisable: Any) -> None:
        if not issubclass(unraisable.exc_type, KeyboardInterrupt):
            dropped(unraisable)
            return
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.raise_signal(signal.SIGINT)

    sys.excepthook, sys.unraisablehook = on_printed, on_dropped
    try:
        yield
    finally:
        sys.excepthook, sys.unraisablehook = printed, dropped


@contextmanager
def signals_held() -> Iterator[None]:
    """Hold back Ctrl-C and SIGUSR2 while worker processes start, which hold them back for as long as they live.

    Else one that comes before a worker has said that it ignores them would end the worker with a traceback.
    """
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGUSR2))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


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
