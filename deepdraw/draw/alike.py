"""The drawings of the training set that look most like a drawing to the network: those with the nearest features."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepdraw.data import seen_drawings
from deepdraw.draw.network import Network, strokes_of
from deepdraw.drawings import Drawings

if TYPE_CHECKING:
    from deepdraw.inference import Recognizer

MOST = 1000  # drawings that are compared
SHOWN = 6


class Look(NamedTuple):
    """A drawing of the training set: its class and its strokes, uint8 [n, 2] each."""

    name: str
    strokes: list[NDArray[Any]]


class Looks(NamedTuple):
    """Drawings of the training set, and what a network makes of them: features float32 [N, D] of unit length."""

    drawings: Drawings
    features: NDArray[np.float32]


class Alike:
    """Finds drawings that look alike among up to `MOST` of split train, the first ones of each class.

    Their features are computed once, when they are first asked for.
    """

    def __init__(self, network: Network) -> None:
        self._network, self._lock = network, Lock()
        self._kept: Looks | None = None

    def find(self, drawing: Any) -> list[Look]:
        """The drawings whose features have the greatest cosine with those of `drawing`, the nearest first.

        Raises ValueError, in one line, for what is no drawing, and where the drawings of the training are gone or are
        images.
        """
        strokes, recognizer = strokes_of(drawing), self._network.recognizer
        with self._lock:
            if self._kept is None:
                self._kept = learn_looks(recognizer)
            drawings, features = self._kept
        (own,) = _normalized(recognizer.features([strokes]))
        nearest = np.argsort(-(features @ own), kind="stable")[:SHOWN]
        names = recognizer.trained.classes
        return [Look(names[drawings.labels[index]], drawings.strokes(int(index))) for index in nearest]


def learn_looks(recognizer: Recognizer) -> Looks:
    """Up to `MOST` drawings of split train, the first ones of each class, with their features.

    Raises ValueError, in one line, where they are gone or are images.
    """
    trained = recognizer.trained
    split = seen_drawings(trained.source(), trained.classes, max(1, MOST // len(trained.classes)))
    if split is None or not split.has_strokes:
        raise ValueError("the drawings that it was trained on are no strokes, so none can be shown")
    number = int(split.block_sizes.sum())
    drawings = split.read_strokes(np.arange(len(split.block_sizes)), np.arange(number))
    return Looks(drawings, _normalized(recognizer.features([drawings.strokes(index) for index in range(number)])))


def _normalized(features: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.maximum(lengths, 1e-12)
