"""Ctrl-C: the first is a wish, the second an order."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from deepdraw.runtime.signals import StopSignal, sigterm_as_ctrl_c


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


@pytest.fixture
def terminated():
    """SIGTERM, whose default would end the tests, raises SystemExit."""

    def leave(number, frame):
        raise SystemExit(number)

    before = signal.signal(signal.SIGTERM, leave)
    yield leave
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_noted_and_granted_when_asked(number, terminated):
    with pytest.raises(KeyboardInterrupt), StopSignal() as stop:
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


def test_a_second_sigterm_acts_as_it_always_did(terminated):
    with StopSignal(), pytest.raises(SystemExit):
        send(signal.SIGTERM)
        send(signal.SIGTERM)


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


def test_between_epochs_sigterm_interrupts_as_ctrl_c_does(terminated):
    with pytest.raises(KeyboardInterrupt), sigterm_as_ctrl_c():
        send(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == terminated
    with sigterm_as_ctrl_c():
        with StopSignal() as stop:
            send(signal.SIGTERM)
        assert stop.requested
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGTERM)
