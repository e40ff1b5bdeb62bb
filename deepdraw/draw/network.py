"""A checkpoint that answers many guesses at once: in batches, in one thread of its own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepdraw.drawings import parse_strokes

if TYPE_CHECKING:
    from deepdraw.inference import Recognizer

MOST_WAITING = 1024  # guesses that may wait; one more is refused at once
BATCH_SIZE = 32  # drawings that the network sees at once
Strokes = list[NDArray[np.uint8]]


class Busy(Exception):
    """As many guesses wait as may wait."""


class Answer(NamedTuple):
    """What a network makes of a drawing, and what it sees of it.

    names, probabilities: the likeliest first; image: uint8 [size, size] or [3, size, size], None where it sees no
    pixels; points: float32 [K, 8] as `deepdraw.drawings.PointSampler` gives them, None where it sees no
    strokes.
    """

    names: list[str]
    probabilities: list[float]
    image: NDArray[np.uint8] | None
    points: NDArray[np.float32] | None


class _Job(NamedTuple):
    drawing: Any
    answer: Future[Answer]


class Network:
    """A recognizer and the thread that asks it. Guesses are answered in the order in which they came.

    Guesses that wait are answered together, up to `BATCH_SIZE` in one pass of the network. `close` ends the thread.
    """

    def __init__(self, recognizer: Recognizer, top: int = 10) -> None:
        self.recognizer, self.top = recognizer, top
        self._jobs: queue.Queue[_Job | None] = queue.Queue(MOST_WAITING)
        self._thread = threading.Thread(target=self._work, name="guesses", daemon=True)
        self._thread.start()

    def guess(self, drawing: Any) -> Future[Answer]:
        """The answer to come for one drawing, in any form of `parse_strokes`.

        The future raises ValueError for what is no drawing. Raises Busy where too many guesses wait.
        """
        job = _Job(drawing, Future())
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            raise Busy(f"{MOST_WAITING:,} guesses wait already: ask again in a moment") from None
        return job.answer

    def close(self) -> None:
        """Drop what waits, and end the thread once it has answered what it is about."""
        while not self._jobs.empty():
            with suppress(queue.Empty):  # which the thread has just taken
                job = self._jobs.get_nowait()
                if job is not None:
                    job.answer.cancel()
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        is_open = True
        while is_open:
            found: list[_Job | None] = [self._jobs.get()]
            while len(found) < BATCH_SIZE and not self._jobs.empty():
                found.append(self._jobs.get_nowait())
            is_open = None not in found
            self._answer([job for job in found if job and job.answer.set_running_or_notify_cancel()])

    def _answer(self, jobs: Sequence[_Job]) -> None:
        """Answer these guesses; one that is no drawing fails alone."""
        drawn: list[tuple[Future[Answer], Strokes]] = []
        for job in jobs:
            try:
                drawn.append((job.answer, strokes_of(job.drawing)))
            except ValueError as error:
                job.answer.set_exception(error)
        if not drawn:
            return
        try:
            answers = self._look([strokes for _, strokes in drawn])
        except Exception as error:  # whatever the network fails by is told to whoever asked, and the thread goes on
            for future, _ in drawn:
                future.set_exception(error)
            return
        for (future, _), answer in zip(drawn, answers, strict=True):
            future.set_result(answer)

    def _look(self, drawings: list[Strokes]) -> list[Answer]:
        recognizer = self.recognizer  # that of this moment: teaching replaces it
        sees = recognizer.trained.sees
        guesses = recognizer.predict(drawings, self.top, batch_size=len(drawings))
        images = recognizer.images(drawings) if "pixels" in sees else None
        points = recognizer.points(drawings) if "strokes" in sees else None
        return [
            Answer(
                names=[guess.name for guess in found],
                probabilities=[guess.probability for guess in found],
                image=None if images is None else images[index],
                points=None if points is None else points[index],
            )
            for index, found in enumerate(guesses)
        ]


def strokes_of(drawing: Any) -> Strokes:
    """The simplified strokes of a drawing. Raises ValueError, in one line, for what is no drawing."""
    strokes = parse_strokes(drawing)
    if not strokes:
        raise ValueError("the drawing has no stroke with a point: draw something first")
    return strokes
