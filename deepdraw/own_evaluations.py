"""The evaluations that a training makes of its own result (`evaluate=[zeroshot,generalized]`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deepdraw.config import compose_config, targets_of
from deepdraw.data import Source
from deepdraw.evaluation import GENERALIZED, Session, open_split
from deepdraw.report import write_session
from deepdraw.runtime import hydra_config

OWN_LIBRARIES = ("deepdraw", "torch")


def check_splits(names: Sequence[str], source: Source, classes: Sequence[str]) -> None:
    """Raise ValueError, in one line, unless the data have each of these splits to evaluate on."""
    there = [*source.splits, *([GENERALIZED] if {"test", "zeroshot"} <= {*source.splits} else [])]
    for name in names:
        if name not in there:
            raise ValueError(f"evaluate={list(names)}: these data have no split {name}: choose of {', '.join(there)}")
        open_split(name, source, classes)


def evaluate_run(directory: Path, config: Mapping[str, Any], *, device: str) -> None:
    """Evaluate `best.pt` of the run on each split of `config.evaluate`, and write the results into `directory`.

    What evaluate.py would be told by its command is taken from the run's config: device, precision, drawings, cached
    features, and its own packages, which it trusts.
    """
    for split in config["evaluate"]:
        evaluation = compose_config("evaluate")
        evaluation.ckpt, evaluation.split = str(directory / "checkpoints/best.pt"), split
        evaluation.device, evaluation.precision.name = device, config["precision"].get("name", "auto")
        evaluation.trust = sorted({target.split(".")[0] for target in targets_of(config)} - {*OWN_LIBRARIES})
        evaluation.limit_batches = config["train"]["limit_steps"]
        source = config["data"]["source"]
        evaluation.data.root = source.get("root", source.get("file"))
        evaluation.data.num_workers = config["data"]["num_workers"]
        evaluation.features.dir = config["features"]["dir"]
        with hydra_config(evaluation, directory) as task:
            session = Session(task)
            write_session(session, dict(session.versions()))
