"""The evaluations that a training makes of its own result (`evaluate=[zeroshot,generalized]`)."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from deepdraw.config import check_config, compose_config, make, targets_of
from deepdraw.data import Source
from deepdraw.evaluation import GENERALIZED, Session, encoding_rate, open_split
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


def own_evaluations(directory: Path, config: dict[str, Any], *, device: str) -> list[DictConfig]:
    """The configs by which `best.pt` of the run in `directory` is evaluated on each split of `config.evaluate`.

    What evaluate.py would be told by its command is taken from the run's config: device, precision, drawings, cached
    features, and its own packages, which it trusts. Raises ValueError where evaluate.py would refuse such a checkpoint.
    """
    if not config.get("evaluate"):
        return []
    best, evaluation = directory / "checkpoints/best.pt", compose_config("evaluate")
    evaluation.ckpt = str(best)
    evaluation.device, evaluation.precision.name = device, config["precision"].get("name", "auto")
    evaluation.trust = sorted({target.split(".")[0] for target in targets_of(config)} - {*OWN_LIBRARIES})
    evaluation.limit_batches = config["train"]["limit_steps"]
    source = config["data"]["source"]
    evaluation.data.root = source.get("root", source.get("file"))
    evaluation.data.num_workers = config["data"]["num_workers"]
    evaluation.features.dir = config["features"]["dir"]
    check_config(config, best, evaluation.trust)
    make(evaluation.protocol, "protocol", _convert_="all")  # its code is read now, and not after training
    found = [copy.deepcopy(evaluation) for _ in config["evaluate"]]
    for one, split in zip(found, config["evaluate"], strict=True):
        one.split = split
    return found


def evaluate_run(directory: Path, evaluations: Sequence[DictConfig]) -> None:
    """Evaluate the run in `directory` by each of these configs, and write the results into it."""
    for evaluation in evaluations:
        with hydra_config(evaluation, directory) as task:
            session = Session(task)
            # Of one split, since it is the same for all.
            rate = {"encoder_images_per_second": encoding_rate(session)} if session.name == "test" else {}
            write_session(session, rate)
