"""All pictures of an evaluation, as PNG files in one folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from deepdraw.report import charts, confusion, sheets
from deepdraw.report.feature_map import feature_map
from deepdraw.report.sheets import Draw
from deepdraw.report.style import Picture

if TYPE_CHECKING:
    from deepdraw.evaluation import Evaluation

ORDER = (  # of the pictures in the report
    "stacking",
    "classes",
    "reliability",
    "risk_coverage",
    "worst_pairs",
    "complexity",
    "confusion",
    "mistakes",
    "feature_map",
    "typical",
)


def write_pictures(evaluation: Evaluation, draw: Draw, folder: Path) -> dict[str, Path]:
    """Write the pictures of `ORDER` for which `evaluation` has the numbers. Returns their paths by name.

    draw: positions int64 [n] in the split, and a size, to uint8 [n, size, size]. Pictures of an earlier
    evaluation in `folder` are deleted.
    """
    for name in ORDER:
        (folder / f"{name}.png").unlink(missing_ok=True)
    paths = {}
    for name, picture in _pictures(evaluation, draw):
        if picture is not None:
            paths[name] = folder / f"{name}.png"
            replace(picture, description=f"{picture.description} Protocol: {evaluation.protocol}.").save(paths[name])
    return paths


def _pictures(evaluation: Evaluation, draw: Draw) -> Iterator[tuple[str, Picture | None]]:
    predictions, metrics, classes = evaluation.predictions, evaluation.metrics, evaluation.predictions.classes
    if evaluation.stacking is not None:
        yield "stacking", charts.stacking(evaluation.stacking)
    yield "classes", confusion.class_accuracies(evaluation.confusion, classes)
    if evaluation.reliability is not None:
        yield "reliability", charts.reliability(evaluation.reliability, metrics)
    yield "risk_coverage", charts.risk_coverage(predictions)
    yield "worst_pairs", confusion.worst_pairs(evaluation.confusion, classes)
    yield "complexity", charts.complexity(metrics)
    yield "confusion", confusion.matrix(evaluation.confusion, classes)
    yield "mistakes", sheets.mistakes(predictions, draw)
    if evaluation.prototypes is not None:
        yield "feature_map", feature_map(evaluation.prototypes, predictions, draw)
    yield "typical", sheets.typical(predictions, draw)
