"""Guesses that wait are answered together, each by itself where one fails."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import numpy as np
import pytest

from deepdraw.draw import Busy, Network
from deepdraw.inference.recognizer import Guess

DOT = [[[5.0], [5.0], [0]]]


class Slow:
    """A recognizer that waits until it may answer, and notes how many drawings it was asked about at once."""

    def __init__(self) -> None:
        self.may_answer, self.is_asked = threading.Event(), threading.Event()
        self.asked: list[int] = []
        self.trained = SimpleNamespace(sees=("pixels",))

    def predict(self, drawings, top, batch_size):
        self.asked.append(len(drawings))
        self.is_asked.set()
        assert self.may_answer.wait(60)
        if any(len(drawing) == 3 for drawing in drawings):
            raise RuntimeError("the network failed")
        return [[Guess("dot", 1.0)] for _ in drawings]

    def images(self, drawings):
        return np.zeros((len(drawings), 8, 8), np.uint8)


@pytest.fixture
def network():
    made = Network(Slow())
    yield made
    made.recognizer.may_answer.set()
    made.close()


def test_what_waits_is_answered_in_few_passes(network):
    first = network.guess(DOT)
    assert network.recognizer.is_asked.wait(60)
    rest = [network.guess(DOT) for _ in range(100)]
    network.recognizer.may_answer.set()
    assert {future.result(60).names[0] for future in (first, *rest)} == {"dot"}
    assert network.recognizer.asked == [1, 32, 32, 32, 4]


def test_one_more_than_may_wait_is_refused_at_once(network):
    network.guess(DOT)
    assert network.recognizer.is_asked.wait(60)
    with pytest.raises(Busy, match="1,024 guesses wait"):
        for _ in range(1025):
            network.guess(DOT)


def test_what_is_no_drawing_fails_alone_and_a_failure_of_the_network_ends_no_thread(network):
    network.recognizer.may_answer.set()
    assert str(network.guess([[[float("nan")], [0.0], [0]]]).exception(60))
    assert isinstance(network.guess(DOT * 3).exception(60), RuntimeError)
    assert network.guess(DOT).result(60).names == ["dot"]


def test_closing_drops_what_waits(network):
    first = network.guess(DOT)
    assert network.recognizer.is_asked.wait(60)
    rest = [network.guess(DOT) for _ in range(100)]
    ending = threading.Thread(target=network.close)
    ending.start()
    while not all(future.cancelled() for future in rest):
        assert ending.is_alive()
    network.recognizer.may_answer.set()
    ending.join(60)
    assert first.result(60).names == ["dot"]
