"""Holds what was exported to the checkpoint that it was made of, on the same drawings."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from deepdraw.export.sample import BATCH, Examples, Sample
from deepdraw.inference import Trained
from deepdraw.runtime import with_progress_bar

TIMED = 20  # drawings that are run alone, to tell the time for one
TIE = 2e-4  # difference of two probabilities that rounding may turn around


@dataclass(frozen=True)
class Tolerance:
    """How far an export may be off.

    difference: of a probability; lost: points of accuracy, as a share; equal: whether all drawings must get the name
    that the checkpoint gives, but for those whose two likeliest names are within `TIE`.
    """

    difference: float
    lost: float
    equal: bool


TOLERANCES = {  # by the precision of the exported weights
    "fp32": Tolerance(1e-4, lost=0.0, equal=True),
    "fp16": Tolerance(0.02, lost=0.005, equal=False),
    "int8": Tolerance(1.0, lost=0.01, equal=False),
}


@dataclass(frozen=True)
class Proof:
    """An export and its checkpoint on the same drawings.

    drawings: how many; largest_difference: of a probability; equal_top1: share of drawings that get the same name;
    ties: drawings that may get another, since their two likeliest names are as likely; unequal: those that get another
    and are none of these; checkpoint_top1, export_top1: accuracies; milliseconds: for one drawing alone, the median,
    of the export on the CPU; precision: of the exported weights.
    """

    drawings: int
    largest_difference: float
    equal_top1: float
    ties: int
    unequal: int
    checkpoint_top1: float
    export_top1: float
    milliseconds: float
    precision: str

    def check(self) -> None:
        """Raise ValueError, in one line, where the export is further off than its precision allows."""
        allowed = TOLERANCES[self.precision]
        lost = self.checkpoint_top1 - self.export_top1
        faults = []
        if not self.largest_difference <= allowed.difference:
            faults.append(
                f"its probabilities differ by up to {self.largest_difference:.2g}, where {allowed.difference:g} is "
                f"allowed in {self.precision}"
            )
        if allowed.equal and self.unequal:
            faults.append(f"{self.unequal} of {self.drawings:,} drawings get another name")
        if not allowed.equal and round(lost, 9) > allowed.lost:
            faults.append(
                f"it names {self.export_top1:.1%} of {self.drawings:,} drawings rightly, the checkpoint "
                f"{self.checkpoint_top1:.1%}, where {allowed.lost:.1%} less are allowed in {self.precision}"
            )
        if faults:
            fix = "" if self.precision == "fp32" else "; use precision=fp32"
            raise ValueError(f"the export is not the same as its checkpoint: {', and '.join(faults)}{fix}")

    def facts(self) -> dict[str, Any]:
        """All numbers, for the file beside the export."""
        return asdict(self) | {"allowed": asdict(TOLERANCES[self.precision])}

    def lines(self) -> list[str]:
        """The numbers, to be printed."""
        return [
            f"{self.drawings:,} drawings of val through the export and through the checkpoint:",
            f"  largest difference of a probability  {self.largest_difference:.1e}",
            f"  the same name for                    {self.equal_top1:.2%}",
            f"  accuracy                             {self.export_top1:.2%} (checkpoint {self.checkpoint_top1:.2%})",
            f"  time for one drawing                 {self.milliseconds:.1f} ms",
        ]


def prove(run: Callable[[Examples], NDArray[np.float32]], trained: Trained, sample: Sample, precision: str) -> Proof:
    """Run drawings through an export and through its checkpoint.

    run: examples of B drawings to probabilities [B, C]. Raises ValueError where it gives something else.
    """
    exported, expected, labels = (np.concatenate(parts) for parts in zip(*_both(run, trained, sample), strict=True))
    top = np.sort(expected, axis=1)[:, -2:]
    tie = (top[:, 1] - top[:, 0] <= TIE) if top.shape[1] > 1 else np.zeros(len(top), bool)
    names, own = exported.argmax(axis=1), expected.argmax(axis=1)
    return Proof(
        drawings=len(labels),
        largest_difference=float(np.abs(exported - expected).max()),
        equal_top1=float((names == own).mean()),
        ties=int(tie.sum()),
        unequal=int(((names != own) & ~tie).sum()),
        checkpoint_top1=float((own == labels).mean()),
        export_top1=float((names == labels).mean()),
        milliseconds=_milliseconds(run, sample),
        precision=precision,
    )


def _both(
    run: Callable[[Examples], NDArray[np.float32]], trained: Trained, sample: Sample
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]]:
    """Probabilities of the export and of the checkpoint, and labels, batch by batch."""
    for examples in with_progress_bar(iter(sample), "proof", -(-len(sample) // BATCH), BATCH):
        found, expected = run(examples), probabilities(trained, examples)
        if found.shape != expected.shape or not np.isfinite(found).all():
            raise ValueError(f"the export gives no {list(expected.shape)} probabilities: it cannot be used")
        yield found, expected, examples.labels


@torch.inference_mode()
def probabilities(trained: Trained, examples: Examples) -> NDArray[np.float32]:
    """What the checkpoint says of drawings: probabilities float32 [B, C], with its temperature."""
    logits = trained.model(examples.inputs).float()
    return torch.softmax(logits / (trained.temperature or 1.0), dim=1).numpy()


def _milliseconds(run: Callable[[Examples], NDArray[np.float32]], sample: Sample) -> float:
    examples, times = next(iter(sample)), []
    for index in range(min(TIMED, len(examples))):
        one, start = examples.one(index), time.perf_counter()
        run(one)
        times.append(1000 * (time.perf_counter() - start))
    return median(times)
