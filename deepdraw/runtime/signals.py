"""Handles Ctrl-C, SIGTERM and SLURM's SIGUSR2, so that the training loop stops between two steps."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

# Windows has neither SIGUSR2 nor masks of signals. What is empty there is skipped.
EARLY = (signal.SIGUSR2,) if hasattr(signal, "SIGUSR2") else ()  # SLURM's warning
CAUGHT = (signal.SIGINT, signal.SIGTERM, *EARLY)
UNHANDLED = (signal.SIG_DFL, signal.default_int_handler)
FROM_SLURM = (signal.SIGTERM, *EARLY)  # sent before SLURM ends a job, in any order and more than once


class Preempted(SystemExit):
    """SLURM ends this job, which has saved its state."""


class _Interrupt:
    """A signal handler that raises KeyboardInterrupt, once or each time."""

    def __init__(self, often: bool) -> None:
        self.came = False
        self._often, self._process = often, os.getpid()

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:  # a child process that has just been forked
            os._exit(128 + number)
        self.came = True
        if not self._often:
            for each in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(each) is self:
                    signal.signal(each, signal.SIG_DFL)
        raise KeyboardInterrupt


@contextmanager
def interruptible(often: bool = False) -> Iterator[None]:
    """Let the first Ctrl-C or SIGTERM raise KeyboardInterrupt. A later one ends the process, unless `often` is set.

    Signals that the parent process or the program already handles or ignores are left alone. Other exceptions after an
    interruption, for example from a broken import, become KeyboardInterrupt. So does a normal end, unless `often` is
    set: a library has then caught the interruption. If Python cannot raise it, as within `__del__`, the process ends,
    because the signal would otherwise be lost.
    """
    if threading.current_thread() is not threading.main_thread():  # Python accepts handlers only in the main thread
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
        if interrupt.came and not often:  # a library caught the exception and went on
            raise KeyboardInterrupt
    except Exception as error:
        if not interrupt.came:
            raise
        raise KeyboardInterrupt from error
    finally:
        for number, handler in taken.items():
            signal.signal(number, handler)


@contextmanager
def _silent_interruptions() -> Iterator[None]:
    """Suppress tracebacks of KeyboardInterrupt that C code prints. End the process if it would drop the interrupt."""
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
    """Block Ctrl-C and SIGUSR2 while worker processes start. The workers inherit the block for their whole life.

    Otherwise a signal that arrives before a worker ignores it would end the worker with a traceback.
    """
    mask = _block((signal.SIGINT, *EARLY))
    try:
        yield
    finally:
        _restore_mask(mask)


def _block(signals: Iterable[int]) -> set[int] | None:
    """Block these signals, and return the mask of before; None where the system has no masks."""
    if not hasattr(signal, "pthread_sigmask"):
        return None
    return set(signal.pthread_sigmask(signal.SIG_BLOCK, signals))


def _restore_mask(mask: set[int] | None) -> None:
    if mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@contextmanager
def preemptible() -> Iterator[None]:
    """Let SLURM's SIGTERM raise Preempted, and block SIGUSR2 until a StopSignal is entered.

    SIGUSR2 arrives early, so work that cannot be saved, such as a final evaluation, may still finish before SIGTERM.
    Both signals reach every process of the job; processes forked in this block ignore them.
    """
    process = os.getpid()

    def leave(number: int, frame: FrameType | None) -> None:
        if os.getpid() == process:
            for each in FROM_SLURM:
                signal.signal(each, signal.SIG_IGN)
            raise Preempted(f"stopped by {signal.Signals(number).name}")

    mask = _block(EARLY)
    before = {number: signal.signal(number, leave) for number in FROM_SLURM}
    try:
        yield
    finally:
        if hasattr(signal, "sigtimedwait"):  # not on macOS
            signal.sigtimedwait(EARLY, 0)  # discard a signal that arrived too late
        _restore_mask(mask)
        for number, handler in before.items():
            if signal.getsignal(number) is leave:  # otherwise this process is already ending
                signal.signal(number, handler)


class StopSignal:
    """Within this block the first signal only sets `requested`. A second Ctrl-C has its usual effect."""

    def __init__(self) -> None:
        self.requested = False
        self._number = signal.SIGTERM  # used by a rank that stops because another rank got the signal
        self._before: dict[signal.Signals, Any] = {}
        self._mask: set[int] | None = None

    def __enter__(self) -> StopSignal:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._request) for number in CAUGHT}
            if hasattr(signal, "pthread_sigmask"):
                self._mask = set(signal.pthread_sigmask(signal.SIG_UNBLOCK, EARLY))
        return self

    def raise_if_requested(self) -> None:
        """Give the signal its usual effect, at least KeyboardInterrupt. The loop calls it after it has saved."""
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
            _restore_mask(self._mask)
        if not isinstance(error, Preempted):  # a preempted job keeps ignoring SLURM's signals
            self._restore()
