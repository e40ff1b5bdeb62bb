"""Ctrl-C: the first is a wish, the second an order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress

import pytest

from deepdraw.runtime.signals import FROM_SLURM, Preempted, StopSignal, interruptible, preemptible


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


def send_here(number: signal.Signals) -> None:
    """To this thread alone: others of the tests' process, unlike a job's, do not hold it back and would take it."""
    signal.pthread_kill(threading.get_ident(), number)


@pytest.fixture
def terminated():
    """SIGTERM, whose default would end the tests, raises SystemExit."""

    def leave(number, frame):
        raise SystemExit(number)

    before = signal.signal(signal.SIGTERM, leave)
    yield leave
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    ("number", "error"),
    [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit), (signal.SIGUSR2, KeyboardInterrupt)],
)
def test_the_first_signal_is_noted_and_does_when_asked_what_it_does_elsewhere(number, error, terminated):
    with pytest.raises(error), StopSignal() as stop:
        stop.raise_if_requested()
        assert not stop.requested
        send(number)
        assert stop.requested
        stop.raise_if_requested()


def test_a_second_ctrl_c_interrupts_at_once():
    with StopSignal() as stop:
        send(signal.SIGINT)
        assert stop.requested
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)


def test_a_second_sigterm_of_which_slurm_sends_several_is_a_wish_as_the_first(terminated):
    with pytest.raises(SystemExit), StopSignal() as stop:
        send(signal.SIGTERM)
        send(signal.SIGTERM)
        stop.raise_if_requested()


@pytest.mark.parametrize("order", [[signal.SIGUSR2, signal.SIGTERM], [signal.SIGTERM, signal.SIGUSR2, signal.SIGTERM]])
def test_slurms_signals_in_any_order_are_granted_once_and_then_do_nothing(order):
    before = [signal.getsignal(number) for number in FROM_SLURM]
    with pytest.raises(Preempted), preemptible(), interruptible(), StopSignal() as stop:
        for number in order:
            send(number)
        try:
            stop.raise_if_requested()
        finally:
            for number in order:
                send(number)
    for number, handler in zip(FROM_SLURM, before, strict=True):
        signal.signal(number, handler)


def test_outside_of_the_loop_slurms_signals_act_at_once():
    before = [signal.getsignal(number) for number in FROM_SLURM]
    with pytest.raises(Preempted, match="SIGTERM"), preemptible(), interruptible():
        send(signal.SIGTERM)
    for number, handler in zip(FROM_SLURM, before, strict=True):
        signal.signal(number, handler)


def test_usr2_waits_for_the_loop_and_is_forgotten_where_none_comes():
    before = [signal.getsignal(number) for number in FROM_SLURM]
    with preemptible():
        send_here(signal.SIGUSR2)
    with pytest.raises(Preempted, match="SIGUSR2"), preemptible():
        with StopSignal() as stop:
            assert not stop.requested
        send_here(signal.SIGUSR2)
        with StopSignal() as stop:
            assert stop.requested
            stop.raise_if_requested()
    assert not signal.sigpending() and not signal.pthread_sigmask(signal.SIG_BLOCK, ())
    for number, handler in zip(FROM_SLURM, before, strict=True):
        signal.signal(number, handler)


def test_a_job_is_started_with_usr2_held_back():
    ask = "import signal; print(signal.SIGUSR2 in signal.pthread_sigmask(signal.SIG_BLOCK, ()))"
    done = subprocess.run(
        [sys.executable, "-m", "deepdraw.sweep.block_sigusr2", "-c", ask], capture_output=True, text=True
    )
    assert done.stdout == "True\n", done.stderr


@pytest.mark.parametrize("signals", [[], [signal.SIGINT]])
def test_the_handlers_are_as_before_afterwards(signals, terminated):
    before = signal.getsignal(signal.SIGINT)
    with StopSignal():
        assert signal.getsignal(signal.SIGINT) != before
        for number in signals:
            send(number)
    assert signal.getsignal(signal.SIGINT) == before
    assert signal.getsignal(signal.SIGTERM) == terminated


def test_the_handlers_are_as_before_after_an_error():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(RuntimeError), StopSignal():
        raise RuntimeError
    assert signal.getsignal(signal.SIGINT) == before


def test_other_threads_which_python_sends_no_signals_may_enter_it():
    entered = []

    def enter() -> None:
        with StopSignal() as stop:
            entered.append(stop.requested)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert entered == [False]


@pytest.fixture
def unhandled():
    """SIGTERM as a shell's command has it."""
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGTERM, before)


def test_between_epochs_sigterm_interrupts_as_ctrl_c_does(unhandled):
    with pytest.raises(KeyboardInterrupt), interruptible():
        send(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    with pytest.raises(KeyboardInterrupt), interruptible(), StopSignal() as stop:
        send(signal.SIGTERM)
        assert stop.requested
        stop.raise_if_requested()


def test_an_interruption_that_a_library_catches_is_raised_at_the_end(unhandled):
    with pytest.raises(KeyboardInterrupt), interruptible(), suppress(KeyboardInterrupt):
        send(signal.SIGINT)


def test_who_handles_sigterm_already_keeps_it(terminated):
    with pytest.raises(SystemExit), interruptible():
        send(signal.SIGTERM)
