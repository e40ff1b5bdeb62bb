"""Finished runs as they lie on disk: their results on a split, and the settings that tell them apart."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deepdraw.data import Recognition, as_recognition
from deepdraw.evaluation import (
    RECOGNITION,
    TRIAL,
    read_descriptions,
    read_metrics,
    read_recognition,
    read_summary,
)
from deepdraw.report import Described
from deepdraw.runtime import MAY_DIFFER, find_below, read_yaml, shown, typed

_HYDRA_KEYS = ("_partial_", "_convert_", "_recursive_")


@dataclass(frozen=True)
class Run:
    """A run and its metrics on a split.

    settings: its config by dotted keys; metrics: without the split's prefix, and the number of trainable_parameters;
    described: by name, how those of conf/metric are shown; typed: the keys that the command gave, None where no record
    tells; recognition: whether its drawings are those that the game of Quick, Draw! recognized.
    """

    directory: Path
    split: str
    settings: dict[str, Any]
    metrics: dict[str, float]
    described: Described = field(default_factory=dict)
    typed: frozenset[str] | None = None
    recognition: Recognition = "unknown"

    @property
    def predictions_file(self) -> Path:
        """Where training, of split test, and evaluate.py keep the run's prediction for every drawing."""
        return self.directory / "evaluations" / f"{self.split}.predictions.npz"


def find_runs(directory: Path) -> tuple[list[Path], list[Path]]:
    """`directory` itself if it is a run, else those below it: the finished ones, and those without any results.

    Raises ValueError where there is no run.
    """
    if (directory / "config.yaml").is_file():
        return [directory], []
    runs = list(find_below(directory, lambda files, folders: "config.yaml" in files))
    if not runs:
        raise ValueError(f"{directory} is neither a run nor a sweep: give a directory with a config.yaml, or one above")
    finished = [run for run in runs if (run / "summary.json").exists() or (run / "evaluations").exists()]
    return finished, [run for run in runs if run not in finished]


def read_run(directory: Path, split: str) -> Run:
    """The settings and metrics of a run: of evaluations/<split>.json and, for other metrics, of summary.json.

    Raises ValueError where this is no run, it has no results of the split, or one of them is no finite number.
    """
    again = command(directory, split)
    try:
        config = read_yaml(directory / "config.yaml", fix="give the directory of a run")
    except ValueError as error:
        raise ValueError(f"{directory} has no config.yaml that can be read: {error}") from error
    summary = read_summary(directory)
    file = directory / "evaluations" / f"{split}.json"
    results = summary | read_metrics(file, f"delete it, or {again}")
    metrics = {key.removeprefix(f"{split}/"): x for key, x in results.items() if key.startswith(f"{split}/")}
    if not metrics:
        there = sorted({key.rpartition("/")[0] for key in results if "/" in key} | _evaluated(directory))
        others = f", only of {', '.join(there)}" if there else ""
        raise ValueError(f"{directory} has no results of split {split}{others}: {again}")
    size = {"trainable_parameters": summary["trainable_parameters"]} if "trainable_parameters" in summary else {}
    recognition = read_recognition(file) if file.exists() else as_recognition(summary.get(RECOGNITION))
    record = _record(directory)
    words = _typed(record)
    settings = dict(_flat(config)) | _options(record, config) | {"recognized or all": recognition}
    settings |= {key: value for key, value in (words or {}).items() if key not in settings and key not in MAY_DIFFER}
    typed = None if words is None else frozenset(words)
    return Run(directory, split, settings, metrics | size, read_descriptions(directory), typed, recognition)


def command(directory: Path, split: str) -> str:
    """The command that evaluates the run on `split`."""
    return typed("python", "evaluate.py", f"ckpt={directory / 'checkpoints' / 'best.pt'}", f"split={split}")


def short_names(directories: Sequence[Path]) -> list[str]:
    """Names that tell these directories apart: their paths below the deepest directory that holds all."""
    paths = [directory.resolve() for directory in directories]
    above = os.path.commonpath([path.parent for path in paths])
    return [path.relative_to(above).as_posix() for path in paths]


def differing(settings: Sequence[Mapping[str, Any]]) -> dict[str, list[str | None]]:
    """The keys whose values are not the same everywhere, each with its values as text; None: a run has no such key.

    A group goes by the option that was chosen of it; where no record tells, by the last word of its `_target_`, or by
    all of it where two would read the same.
    """
    columns = {}
    for key in dict.fromkeys(key for setting in settings for key in setting):
        values = [setting.get(key) for setting in settings]
        texts = [_text(setting[key]) if key in setting else None for setting in settings]
        if any(isinstance(value, _Target) for value in values):
            words = [text and text.rpartition(".")[2] for text in texts]
            texts = words if len(set(words)) == len(set(texts)) else texts
        if len(set(texts)) > 1:
            columns[key] = texts
    return columns


def without_consequences(
    columns: Mapping[str, list[str | None]], typed: Sequence[frozenset[str] | None]
) -> dict[str, list[str | None]]:
    """The columns of settings without those that follow from what was typed, as backbone.name does from backbone.

    typed: for each run the keys that were given, or None. Of the keys that no command gave, one is left out where runs
    that are alike in the given ones are alike in it, too. Nothing is left out where a run has no record.
    """
    given = frozenset[str]().union(*(keys for keys in typed if keys is not None))
    if None in typed:
        return dict(columns)
    kept = {key: texts for key, texts in columns.items() if key in given or key == "recognized or all"}
    alike = list(zip(*kept.values(), strict=True)) or [()] * len(typed)
    return {
        key: texts
        for key, texts in columns.items()
        if key in kept or len(set(zip(alike, texts, strict=True))) > len(set(alike))
    }


def _typed(record: Mapping[str, Any]) -> dict[str, str] | None:
    """The settings of the command by key, as they were typed; None where Hydra's record does not tell."""
    try:
        words = [word for word in record["overrides"]["task"] if isinstance(word, str) and word == shown(word)]
    except (KeyError, TypeError):
        return None
    pairs = [word.partition("=") for word in words]
    return {key.lstrip("+~"): value for key, _, value in pairs}


def _evaluated(directory: Path) -> set[str]:
    return {path.stem for path in (directory / "evaluations").glob("*.json") if not path.stem.endswith(TRIAL)}


def _record(directory: Path) -> Mapping[str, Any]:
    """What Hydra kept of the command; empty where its record is not there or is damaged."""
    try:
        record = read_yaml(directory / ".hydra" / "hydra.yaml", fix="train the run again").get("hydra")
    except ValueError:
        return {}
    return record if isinstance(record, Mapping) else {}


def _options(record: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, str]:
    """The option that the command chose of each group, such as freeze: all; none where Hydra's record does not tell."""
    try:
        choices = record["runtime"]["choices"].items()
    except (KeyError, TypeError, AttributeError):
        return {}
    chosen = {key: option for key, option in choices if key in config and key not in MAY_DIFFER}
    return {key: option for key, option in chosen.items() if isinstance(option, str) and option.isprintable()}


class _Target(str):
    """The `_target_` of a group."""


def _flat(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of what changes the result; a group's own key holds its `_target_`."""
    if any(path == key or path.startswith(f"{key}.") for key in MAY_DIFFER):
        return
    if not isinstance(node, Mapping) or not node:
        yield path, node
        return
    for key, value in node.items():
        if key == "_target_":
            yield path, _Target(value)
        elif key not in _HYDRA_KEYS:
            yield from _flat(value, f"{path}.{key}" if path else str(key))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
