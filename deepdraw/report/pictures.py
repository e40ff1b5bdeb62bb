"""All pictures of an evaluation, as PNG files in one folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from deepdraw.report import charts, confusion, sheets
from deepdraw.report.feature_map import feature_map
from deepdraw.report.sheets import Draw
from deepdraw.report.style import Picture, may_fail, own_style

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
    for name, drawn in _pictures(evaluation, draw):
        with may_fail(folder / f"{name}.png"), own_style():
            picture = drawn()
            if picture is None:
                continue
            paths[name] = folder / f"{name}.png"
            replace(picture, description=f"{picture.description} Protocol: {evaluation.protocol}.").save(paths[name])
    return paths


def _pictures(evaluation: Evaluation, draw: Draw) -> Iterator[tuple[str, Callable[[], Picture | None]]]:
    """The name of each picture and what draws it; None where there is nothing to show."""
    predictions, metrics, classes = evaluation.predictions, evaluation.metrics, evaluation.predictions.classes
    if evaluation.stacking is not None:
        yield "stacking", partial(charts.stacking, evaluation.stacking)
    yield "classes", partial(confusion.class_accuracies, evaluation.confusion, classes)
    if evaluation.reliability is not None:
        yield "reliability", partial(charts.reliability, evaluation.reliability, metrics)
    yield "risk_coverage", partial(charts.risk_coverage, predictions)
    yield "worst_pairs", partial(confusion.worst_pairs, evaluation.confusion, classes)
    yield "complexity", partial(charts.complexity, metrics)
    yield "confusion", partial(confusion.matrix, evaluation.confusion, classes)
    yield "mistakes", partial(sheets.mistakes, predictions, draw)
    if evaluation.prototypes is not None:
        yield "feature_map", partial(feature_map, evaluation.prototypes, predictions, draw)
    yield "typical", partial(sheets.typical, predictions, draw)
