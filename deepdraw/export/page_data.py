"""What a page in one file has of the training, as files of arrays: what teaching needs, and drawings to be shown."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from rich.console import Console

from deepdraw.draw import learn_looks
from deepdraw.inference import Recognizer, Taught, Trained, learn_known
from deepdraw.runtime import print_line


def nothing_taught(trained: Trained) -> bytes:
    """The file of taught classes without any, which has what those trained on lend to new ones.

    Raises ValueError, in one line, where they lend nothing, or their drawings are gone.
    """
    buffer = BytesIO()
    Taught.by_drawings(learn_known(trained)).write(buffer, trained)
    return buffer.getvalue()


def looks(trained: Trained) -> bytes:
    """The first drawings of each class, and their features in 8 bits, which keep their directions to about a degree.

    Raises ValueError, in one line, where they are gone, or are images.
    """
    drawings, features = learn_looks(Recognizer(trained))
    largest = np.abs(features).max(axis=1, keepdims=True)
    buffer = BytesIO()
    np.savez(
        buffer,
        points=drawings.points,
        stroke_lengths=drawings.stroke_lengths,
        stroke_counts=drawings.stroke_counts,
        labels=drawings.labels,
        features=np.round(127 * features / np.maximum(largest, 1e-12)).astype(np.int8),
    )
    return buffer.getvalue()


def of_training(trained: Trained, *, teach: bool, alike: bool) -> dict[str, bytes]:
    """`taught` and `looks` of html/worker.js: those that are asked for and can be had. One line says why one cannot."""
    found: dict[str, bytes] = {}
    for name, is_wanted, make, lost in (
        ("taught", teach, nothing_taught, "no class can be taught on the page"),
        ("looks", alike, looks, "the page shows no drawings that look alike"),
    ):
        try:
            found |= {name: make(trained)} if is_wanted else {}
        except ValueError as error:
            print_line(Console(), f"{lost}: {error}")
    return found
