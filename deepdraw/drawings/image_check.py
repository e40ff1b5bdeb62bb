"""Warns of images that are unlikely to be drawings in dark on light, once for each fault."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from deepdraw.drawings.ink import Fault, find_fault

log = logging.getLogger(__name__)

File = TypeVar("File")

SPECIMENS = 16  # images of a folder that are looked at
INVERT = "invert {them} first (render.images=drawing guesses it for each image, render.images=canvas does not)"


class ImageCheck:
    """Warns once of each fault among the images that it is shown one by one."""

    def __init__(self) -> None:
        self._told: set[Fault] = set()

    def look(self, image: NDArray[np.uint8], name: str) -> None:
        """Look at a gray image [H, W], which a warning calls by `name`."""
        if len(self._told) == 2 or (fault := find_fault(image)) is None or fault in self._told:
            return
        self._told.add(fault)
        if fault == "blank":
            log.warning("%s is blank: what is guessed of it means nothing; further ones are not told", name)
        else:
            fix = INVERT.format(them="it")
            log.warning("%s is light on dark and should be dark on light: %s; further ones are not told", name, fix)


def warn_of_faults(files: Sequence[File], read: Callable[[File], NDArray[np.uint8]], name: str) -> None:
    """Warn where most images of `name` are light on dark, or some are blank.

    Some of the files are looked at. `read` gives the gray image [H, W] of one.
    """
    faults = [find_fault(read(file)) for file in files[:: max(1, len(files) // SPECIMENS)]]
    if 2 * faults.count("light on dark") > len(faults):
        fix = INVERT.format(them="them")
        log.warning("most images of %s are light on dark and should be dark on light: %s", name, fix)
    if number := faults.count("blank"):
        log.warning("%d of %d images looked at in %s are blank: take such images away", number, len(faults), name)
