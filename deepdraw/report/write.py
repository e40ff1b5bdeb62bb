"""Writes the results of trainings and evaluations into the run directory: metrics, predictions, pictures, the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from omegaconf import OmegaConf

from deepdraw.data import Recognition
from deepdraw.evaluation import (
    PLAIN,
    RECOGNITION,
    TRIAL,
    Evaluation,
    Predictions,
    Scored,
    Session,
    read_checkpoint,
    read_descriptions,
    read_metrics,
    redraw,
    write_descriptions,
)
from deepdraw.loggers import log_evaluation
from deepdraw.report import curves, sheets
from deepdraw.report.page import write_report
from deepdraw.report.pictures import write_pictures
from deepdraw.report.sheets import Draw
from deepdraw.report.style import may_fail
from deepdraw.report.tables import print_comparison, print_table
from deepdraw.report.trial import try_report
from deepdraw.runtime import results_writer, write_json, write_text


def write_training(
    run: Path,
    summary: Mapping[str, Any],
    predictions: Predictions,
    drawings: Callable[[], tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.float32]]],
    metrics_csv: Path | None,
) -> dict[str, Path]:
    """Write `summary.json`, the predictions on the test split, `plots/` and `report.html` into `run`.

    drawings: computes images uint8 [N, S, S] or [N, 3, S, S], labels [N] and logits [N, C], to be looked at;
    metrics_csv: the source of the training curves; None for no curves. Returns the paths of the pictures, of which any
    that cannot be drawn is left out.
    """
    paths = {f"plots/{name}": run / f"plots/{name}.png" for name in ("drawings", "curves", "data")}
    with results_writer(run):
        write_json(run / "summary.json", summary)
        name = f"test{TRIAL}" if "trial" in summary else "test"
        predictions.save(run / f"evaluations/{name}.predictions.npz")
        with may_fail(paths["plots/drawings"]):
            sheets.plot_sheet(*drawings(), predictions.classes, paths["plots/drawings"])
        if metrics_csv is not None:
            with may_fail(paths["plots/curves"]):
                curves.plot_curves(metrics_csv, paths["plots/curves"])
        print(f"report: {write_report(run)}")
    return {name: path for name, path in paths.items() if path.is_file()}  # data.png is from before the first step


def write_session(session: Session, measured: Mapping[str, float] | None = None) -> dict[str, float]:
    """Compute the results of an evaluation, print them and write them into the directory of its run.

    Pictures are of the evaluation as such alone, and not of its other versions. measured: what was measured beside it,
    by name, and is written with its metrics. Returns all under the names they have in `<run>/evaluations/<split>.json`.
    """
    run, name = session.directory, session.result_name
    try_report(run)
    versions = dict(session.versions())
    if session.config.out is not None:  # for comparisons and the page, which say what was trained
        write_text(run / "config.yaml", OmegaConf.to_yaml(session.trained.config))
    if session.own_metrics:
        with results_writer(run):
            write_descriptions(run, session.own_metrics)
    if PLAIN not in versions:
        headings = ", ".join(dict.fromkeys(heading for version in versions for heading in version.cells))
        metrics_of = {", ".join(version.cells.values()): found.metrics for version, found in versions.items()}
        print_comparison(session.title, headings, metrics_of)
        metrics = {
            f"{version.prefix}{key}": x for version, found in versions.items() for key, x in found.metrics.items()
        }
        write_metrics(run, name, metrics, session.recognition, session.scored)
        if not session.is_trial:
            with results_writer(run):
                print(f"report: {write_report(run)}")
        return {f"{name}/{metric}": value for metric, value in metrics.items()}
    found, rasterizer = versions[PLAIN], session.trained.rasterizer
    found.metrics.update(measured or {})
    print_table(session.title, found.metrics, described=read_descriptions(run))
    draw = redraw(session.split, rasterizer) if session.config.pictures else None
    pictures = write_evaluation(run, name, found, draw, session.recognition, session.scored)
    shown = {f"{name}/{picture}": path for picture, path in pictures.items()}
    metrics = {f"{name}/{metric}": value for metric, value in found.metrics.items()}
    log_evaluation(run, session.loggers, session.training_config, metrics, shown)
    return metrics


def write_evaluation(
    run: Path,
    name: str,
    found: Evaluation,
    draw: Draw | None,
    recognition: Recognition = "unknown",
    scored: Scored | None = None,
) -> dict[str, Path]:
    """Write the evaluation of split `name` into `<run>/evaluations/` and, unless it is a trial, `<run>/report.html`.

    draw: positions in the stored order of the split, int64 [n], and a size to uint8 [n, size, size]; None for no
    pictures; recognition: which drawings they are; scored: the checkpoint. Returns the pictures' paths.
    """
    pictures = {}
    with results_writer(run):
        _add_metrics(run, name, found.metrics, recognition, scored)
        found.predictions.save(run / f"evaluations/{name}.predictions.npz")
        if draw is not None:
            at = found.positions
            pictures = write_pictures(
                found, draw if at is None else lambda rows, size: draw(at[rows], size), run / "evaluations" / name
            )
        if not name.endswith(TRIAL):
            print(f"report: {write_report(run)}")
    return pictures


def write_metrics(
    run: Path,
    name: str,
    metrics: Mapping[str, float],
    recognition: Recognition = "unknown",
    scored: Scored | None = None,
) -> None:
    """Write `<name>/<metric>` into `<run>/evaluations/<name>.json`, beside what other protocols found."""
    with results_writer(run):
        _add_metrics(run, name, metrics, recognition, scored)


def _add_metrics(
    run: Path, name: str, metrics: Mapping[str, float], recognition: Recognition, scored: Scored | None
) -> None:
    path = run / f"evaluations/{name}.json"
    there, before = read_checkpoint(path), read_metrics(path)
    if scored is not None and there is not None and there.sha256 != scored.sha256:
        print(f"{path} was of {there}, which has changed since: its metrics are replaced, and not added to")
        before = {}
    found = {f"{name}/{metric}": value for metric, value in metrics.items()}
    facts = {RECOGNITION: recognition} | ({} if scored is None else scored.facts)
    write_json(path, before | found | facts)
    print(f"written to {path}")
