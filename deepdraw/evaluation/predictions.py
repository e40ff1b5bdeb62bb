"""The prediction of a model for every drawing of a split, and the metrics that need all of them at once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepdraw.drawings import Complexity
from deepdraw.runtime import read_npz, write_sealed

_COLUMNS: dict[str, tuple[Any, int]] = {
    "classes": (str, 1),
    "key_ids": (np.uint64, 1),
    "confidences": (np.float32, 1),
    **dict.fromkeys(("labels", "predicted", "ranks", "strokes", "points"), (np.uint16, 1)),
}
_ANY = np.iinfo(np.uint16).max
_STROKE_BINS = {"1": (1, 1), "2": (2, 2), "3": (3, 3), "4-5": (4, 5), "6-9": (6, 9), "10+": (10, _ANY)}
_POINT_BINS = {"1-10": (1, 10), "11-20": (11, 20), "21-40": (21, 40), "41-80": (41, 80), "81+": (81, _ANY)}


@dataclass(frozen=True, eq=False)
class Predictions:
    """A row for each of N drawings, in the split's stored order, about 24 bytes each.

    classes: label k means classes[k]; key_ids: uint64 [N]; labels, predicted: uint16 [N]; confidences: float32
    [N], the probability of the predicted class; ranks: uint16 [N], of the true class, 0 wins; strokes, points:
    uint16 [N], how many the drawing has, or None where it is an image.
    """

    classes: list[str]
    key_ids: NDArray[np.uint64]
    labels: NDArray[np.uint16]
    predicted: NDArray[np.uint16]
    confidences: NDArray[np.float32]
    ranks: NDArray[np.uint16]
    strokes: NDArray[np.uint16] | None = None
    points: NDArray[np.uint16] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def right(self) -> NDArray[np.bool_]:
        """bool [N], where the predicted class is the true one."""
        return self.ranks == 0

    def with_complexity(self, complexity: Complexity | None) -> Predictions:
        """The same with the strokes and points of the first N drawings of `complexity`, which is of the whole split."""
        if complexity is None:
            return self
        number = len(self)
        return replace(self, strokes=complexity.strokes[:number], points=complexity.points[:number])

    def save(self, path: Path) -> None:
        """Write a sealed npz without pickles; a reader finds the old file or the new one, never a half."""
        columns = {name: column for name, column in vars(self).items() if column is not None}
        columns["classes"] = np.array(self.classes, np.str_)
        write_sealed(path, lambda file: np.savez(file, **columns))

    @classmethod
    def load(cls, path: Path) -> Predictions:
        """Read what `save` wrote. Raises ValueError where the file is absent or is something else."""
        if not path.exists():
            raise ValueError(f"no predictions at {path}: run evaluate.py on the run first")
        again = "run evaluate.py on the run again"
        optional, what = frozenset({"strokes", "points"}), "table of predictions"
        columns = read_npz(path, _COLUMNS, what=what, fix=again, optional=optional)
        classes = columns.pop("classes").tolist()
        if reason := _fault(classes, columns):
            raise ValueError(f"{path} is no {what} ({reason}): {again}")
        return cls(classes, **columns)

    def by_complexity(self) -> dict[str, float]:
        """Top-1 of drawings with so many strokes and points: `top1_strokes_4-5`, ..., `top1_points_81+`.

        Only where there are drawings; nothing at all of images.
        """
        results = {}
        for name, values, bins in (("strokes", self.strokes, _STROKE_BINS), ("points", self.points, _POINT_BINS)):
            if values is not None:
                for span, (low, high) in bins.items():
                    within = (low <= values) & (values <= high)
                    if within.any():
                        results[f"top1_{name}_{span}"] = float(self.right[within].mean())
        return results

    def risk_coverage(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The error rate of the most confident predictions alone: coverages and risks, both 0..1 [N'].

        One point for each of the N' different confidences, the highest first: drawings of the same confidence
        are kept together or not at all. Geifman and El-Yaniv, 2017, arXiv 1705.08500.
        """
        order = np.argsort(-self.confidences, kind="stable")
        confidences, num_wrong = self.confidences[order], np.cumsum(~self.right[order])
        last = np.flatnonzero(np.append(confidences[1:] != confidences[:-1], True))
        return (last + 1) / len(self), num_wrong[last] / (last + 1)

    def aurc(self) -> float:
        """Area under the risk-coverage curve, 0..1, less is better.

        The mean over all drawings of the error rate among those at least as confident.
        """
        coverages, risks = self.risk_coverage()
        return float(risks @ np.diff(coverages, prepend=0.0))

    def selective_accuracy(self, coverage: float = 0.8) -> float:
        """Top-1 of the most confident share of drawings, the smallest that `risk_coverage` has from `coverage` on."""
        coverages, risks = self.risk_coverage()
        return 1.0 - float(risks[np.searchsorted(coverages, coverage)])


def _fault(classes: list[str], columns: dict[str, NDArray[Any]]) -> str | None:
    """Why columns of the right types are no table of predictions; None if they are one."""
    if len({len(column) for column in columns.values()}) > 1:
        return "its columns differ in length"
    if not len(columns["labels"]):
        return "it has no row"
    if len(set(classes)) < len(classes) or not all(name.isprintable() for name in classes):
        return "its classes are not all different, or cannot be printed"
    if any(columns[name].max() >= len(classes) for name in ("labels", "predicted", "ranks")):
        return f"a label or rank is beyond its {len(classes)} classes"
    if not ((columns["confidences"] >= 0) & (columns["confidences"] < 1.001)).all():
        return "a confidence is no probability"
    return None
