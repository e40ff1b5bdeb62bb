"""summary.json, evaluations/<split>.json and metrics.json, read and checked."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from deepdraw.data import Recognition, as_recognition
from deepdraw.runtime import read_json, shown, write_json

if TYPE_CHECKING:
    from deepdraw.evaluation.metric import Metric

LONGEST_NAME = 200  # characters of a metric's
LARGEST_NUMBER = 2**53
TRIAL = ".limited"  # ends the name of results on a part of a split, which no report shows
_LOWER_IS_BETTER = re.compile(r"(.*_)?(loss|ece|aurc|stderr)(_scaled)?")
DESCRIPTIONS = "metrics.json"  # in a run directory: how the metrics of conf/metric are shown that were computed there
RECOGNITION = "recognition"  # the key beside the metrics; see deepdraw.data.Recognition
CHECKPOINT, CHECKPOINT_EPOCH, CHECKPOINT_HASH = "checkpoint", "checkpoint_epoch", "checkpoint_sha256"  # beside it
USUAL_OBJECTIVE = "val/top1"  # of a run that was told of none
FIX = "delete it, and train or evaluate the run again"


class Facts(TypedDict, total=False):
    """The facts in a summary beside the metrics. Any of them may be absent."""

    parameters: int
    trainable_parameters: int
    steps: int
    seed: int
    device: str
    recognition: Literal["recognized", "all", "unknown"]
    versions: dict[str, str]
    git_commit: str | None
    trial: str
    date: str
    duration: float
    command: str
    drawings: dict[str, int]
    classes: int
    split_rule: str
    learning_rates: dict[str, float]


@dataclass(frozen=True)
class Scored:
    """The checkpoint that results are of.

    file: its path, in its run directory if results are written there; epoch: of its weights, from 1; sha256: of it.
    """

    file: str
    epoch: int | None
    sha256: str

    def __str__(self) -> str:
        return shown(self.file if self.epoch is None else f"{self.file}, epoch {self.epoch}")

    @property
    def facts(self) -> dict[str, str | int | None]:
        """As they stand beside the metrics."""
        return {CHECKPOINT: self.file, CHECKPOINT_EPOCH: self.epoch, CHECKPOINT_HASH: self.sha256}


@dataclass(frozen=True)
class Description:
    """How a metric is shown; see `Metric`."""

    title: str
    unit: str
    better: Literal["higher", "lower"]


def read_summary(run: Path) -> dict[str, Any]:
    """The content of `summary.json`: facts, and metrics by keys with a slash. Empty if there is no such file.

    Raises ValueError, naming the file and what to do, for one that is damaged or says anything else.
    """
    import msgspec

    path = run / "summary.json"
    if not path.exists():
        return {}
    found = read_json(path, dict[str, Any], fix=FIX)
    try:
        msgspec.convert(found, Facts)
    except msgspec.ValidationError as error:
        raise ValueError(f"{path} is damaged or of another form ({error}): {FIX}") from error
    _check({name: value for name, value in found.items() if "/" in name}, path, FIX)
    return found


def read_metrics(path: Path, fix: str = FIX) -> dict[str, float]:
    """The metrics in an `evaluations/<split>.json`, finite numbers. Nothing where there is no such file.

    Raises ValueError, naming file and `fix`, for one that is damaged or says anything else.
    """
    if not path.exists():
        return {}
    metrics = read_json(path, dict[str, Any], fix=fix)
    for key in (RECOGNITION, CHECKPOINT, CHECKPOINT_EPOCH, CHECKPOINT_HASH):
        metrics.pop(key, None)
    _check(metrics, path, fix)
    return metrics


def read_recognition(path: Path) -> Recognition:
    """Whether a `summary.json` or `evaluations/<split>.json` is of recognized drawings, or all; else unknown."""
    if not path.exists():
        return "unknown"
    return as_recognition(read_json(path, dict[str, Any], fix=FIX).get(RECOGNITION))


def read_checkpoint(path: Path) -> Scored | None:
    """The checkpoint that an `evaluations/<split>.json` is of; None where there is no such file or it does not say it.

    Raises ValueError, naming the file and what to do, for one that is damaged.
    """
    if not path.exists():
        return None
    found = read_json(path, dict[str, Any], fix=FIX)
    file, epoch, sha256 = (found.get(key) for key in (CHECKPOINT, CHECKPOINT_EPOCH, CHECKPOINT_HASH))
    if not isinstance(file, str) or not isinstance(sha256, str):
        return None
    return Scored(file, epoch if isinstance(epoch, int) else None, sha256)


def lower_is_better(metric: str, described: Mapping[str, Description] | None = None) -> bool:
    """Whether lower values are better: of one of the metrics `described` as it says, else of losses and errors.

    metric: its name, with or without a protocol and a split, such as text_loss or val/loss.
    """
    name = metric.rpartition("/")[2]
    own = find_description(name, described or {})
    return own.better == "lower" if own else bool(_LOWER_IS_BETTER.fullmatch(name))


def find_description(name: str, described: Mapping[str, Description]) -> Description | None:
    """Of a metric of conf/metric, which a protocol's name may precede; None for a built-in one."""
    own = [key for key in described if name == key or name.endswith(f"_{key}")]
    return described[max(own, key=len)] if own else None


def describe_metrics(metrics: Iterable[Metric]) -> dict[str, Description]:
    """How these metrics are shown, by name."""
    return {metric.name: Description(metric.title, metric.unit, metric.better) for metric in metrics}


def write_descriptions(run: Path, metrics: Iterable[Metric]) -> None:
    """Add how these metrics are shown to what the run directory says of others."""
    if new := describe_metrics(metrics):
        both = {**read_descriptions(run), **new}
        write_json(run / DESCRIPTIONS, {name: asdict(description) for name, description in both.items()})


def read_descriptions(run: Path) -> Mapping[str, Description]:
    """How the metrics of conf/metric are shown, by name. Raises ValueError for a file that is damaged."""
    path = run / DESCRIPTIONS
    if not path.exists():
        return {}
    found = read_json(path, dict[str, Description], fix=FIX)
    for name, description in found.items():
        for text in (name, description.title, description.unit):
            if len(text) > 200 or not text.isprintable():
                raise ValueError(f"{path} describes a metric by what cannot be shown: {FIX}")
    return found


def _check(metrics: dict[str, Any], path: Path, fix: str) -> None:
    for name, value in metrics.items():
        if len(name) > LONGEST_NAME or not name.isprintable():
            raise ValueError(f"{path} has a metric of a name that cannot be shown: {fix}")
        if not _is_number(value):
            raise ValueError(f"{path} has {name} = {value!r:.80}: {fix}")


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return -LARGEST_NUMBER <= value <= LARGEST_NUMBER if isinstance(value, int) else math.isfinite(value)
