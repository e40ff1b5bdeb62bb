"""What a format of `conf/format` owes to the command that exports by it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from deepdraw.export.proof import Proof
from deepdraw.export.sample import Examples, Sample
from deepdraw.inference import Trained

Runner = Callable[[Examples], NDArray[np.float32]]  # examples of B drawings to probabilities [B, C], of all classes


class Format(ABC):
    """A form in which a trained classifier is handed on: it writes a file or a folder, and runs what it wrote.

    The command makes an object of it from the config, calls `check`, then `write` with a place that nobody else sees,
    then the `runner` of that on drawings of val, and `close`. Where it agrees with the checkpoint it calls `finish`,
    and the place gets its name. After any exception nothing is left of it.

    Attributes:
        suffix: the end of the name of what is written, with its dot; empty for a folder.
        precision: of the weights that are written, which decides how far the probabilities may be off: see
            `deepdraw.export.proof.TOLERANCES`.
        library: what loads it, as the Hugging Face hub names it in a model card.
        license: of the weights, as the hub names it; None where nobody has said it.
    """

    suffix: ClassVar[str] = ""
    precision: str = "fp32"
    library: str = "deepdraw"
    license: str | None = None

    def check(self, trained: Trained, sample: Sample) -> None:  # noqa: B027  # most have nothing to refuse
        """Raise ValueError, in one line with the fix, where this classifier or these drawings cannot be exported."""

    @abstractmethod
    def write(self, trained: Trained, place: Path, calibration: Sample) -> None:
        """Write the classifier, in eval mode on the CPU in fp32, to `place`, a new file or an empty folder.

        calibration: drawings of val by which scales may be chosen, others than those of the proof where val has enough.
        """

    @abstractmethod
    def runner(self, trained: Trained, place: Path) -> Runner:
        """A runner of what was written, which uses nothing of `trained` but its class names and what it sees."""

    def usage(self, trained: Trained, name: str) -> str:
        """The lines of Python that use what was written under `name`, for its model card; none by default."""
        return ""

    def close(self) -> None:  # noqa: B027  # most hold nothing
        """Let go of what the runner holds, such as a process."""

    def finish(self, trained: Trained, place: Path, proof: Proof) -> None:  # noqa: B027  # most have nothing to do
        """What is left to do when the proof has succeeded, such as to send what was written somewhere."""
