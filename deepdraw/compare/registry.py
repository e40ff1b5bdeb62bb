"""All runs and sweeps below a directory, and the best of them (`python -m deepdraw.compare ls|best DIR`)."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deepdraw.evaluation import RECOGNITION, USUAL_OBJECTIVE, lower_is_better, read_descriptions, read_summary
from deepdraw.report import facts, metric_text, title
from deepdraw.runtime import cell, find_below, read_yaml, shown, typed

_NAMED = ("encoder", "weights", "frozen", "head")


@dataclass
class Options:
    """What `ls` and `best` accept beside a directory, as key=value."""

    metric: str | None = field(
        default=None,
        metadata={"help": "what orders the runs, as val/top1 or val/loss; default: what each was told by objective="},
    )


@dataclass(frozen=True)
class Entry:
    """A run below a directory.

    name: its path from there; objective: the key that it is compared by; value: of it, None for a run that is not
    finished or did not measure it; summary: empty for one that is not finished; told: facts of its header; data: what
    must be equal in two runs that are ranked together.
    """

    directory: Path
    name: str
    objective: str
    value: float | None
    summary: dict[str, Any]
    told: dict[str, str]
    data: tuple[str, ...]
    is_lower_better: bool

    @property
    def place(self) -> tuple[bool, float]:
        """The sort key: the best first, those without a value last."""
        if self.value is None:
            return True, 0.0
        return False, self.value if self.is_lower_better else -self.value


def list_runs(root: Path, options: Options) -> None:
    """Print a line for each run below `root`: the newest first, those that are not finished last."""
    entries = sorted(
        read_entries(root, options.metric), key=lambda entry: str(entry.summary.get("date", "")), reverse=True
    )
    entries.sort(key=lambda entry: not entry.summary)
    _print(f"{len(entries)} runs below {root}", entries)


def show_best(root: Path, options: Options) -> None:
    """Print the runs below `root`, best first, apart for each set of drawings, and how to test the best of each.

    They are ordered by what was measured on validation; the test split chooses nothing.
    """
    groups: dict[tuple[str, ...], list[Entry]] = {}
    for entry in read_entries(root, options.metric):
        if entry.value is not None:
            groups.setdefault((*entry.data, entry.objective), []).append(entry)
    if not groups:
        raise ValueError(f"no run below {root} has finished with {options.metric or 'its objective'} measured")
    for (*data, objective), entries in groups.items():
        entries.sort(key=lambda entry: entry.place)
        _print(f"by {objective}, on {', '.join(word for word in data if word)}", entries)
        score = typed("python", "evaluate.py", f"ckpt={entries[0].directory / 'checkpoints/best.pt'}", "split=test")
        print(f"best: {shown(entries[0].name)}; {score} scores it\n")


def read_entries(root: Path, metric: str | None) -> list[Entry]:
    """The runs below `root`, by path; one that cannot be read is named and left out. Raises ValueError without any."""
    entries = []
    for directory in find_all_runs(root):
        try:
            entries.append(_read_entry(directory, root, metric))
        except ValueError as error:
            print(f"left out: {shown(error)}")
    if not entries:
        raise ValueError(f"there is no run below {root}: give a directory that holds runs or sweeps")
    return entries


def find_all_runs(root: Path) -> Iterator[Path]:
    """The run directories in `root` and below it, by path; neither links nor hidden folders are followed."""
    if not root.is_dir():
        raise ValueError(f"{root} is no directory: give one that holds runs or sweeps")

    def is_run(files: Sequence[str], folders: Sequence[str]) -> bool:
        return "config.yaml" in files and ("summary.json" in files or bool({"checkpoints", "evaluations"} & {*folders}))

    yield from find_below(root, is_run)


def _read_entry(directory: Path, root: Path, metric: str | None) -> Entry:
    config = read_yaml(directory / "config.yaml", fix="delete it, or train the run again")
    summary = read_summary(directory)
    objective = metric or str(config.get("objective", USUAL_OBJECTIVE))
    told = facts(summary, config)
    drawings = (
        f"{told[name]} {unit}".strip() for name, unit in (("classes", "classes"), ("drawings", "")) if name in told
    )
    data = (told.get("data", ""), *drawings, told.get("split rule", ""), str(summary.get(RECOGNITION, "")))
    return Entry(
        directory=directory,
        name=directory.relative_to(root).as_posix(),
        objective=objective,
        value=summary.get(objective),
        summary=summary,
        told=told,
        data=data,
        is_lower_better=lower_is_better(objective, read_descriptions(directory)),
    )


def _print(heading: str, entries: list[Entry]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table()
    table.add_column("run", overflow="fold")
    for name in ("objective", "test top-1"):
        table.add_column(name, justify="right")
    for name in (*_NAMED, "finished"):
        table.add_column(name)
    for entry in entries:
        value = (
            ""
            if entry.value is None
            else f"{title(entry.objective.rpartition('/')[2])} {metric_text(entry.objective, entry.value)}"
        )
        tested = entry.summary.get("test/top1")
        results = [value, "" if tested is None else metric_text("top1", tested)]
        finished = entry.told.get("finished", "")[:16] if entry.summary else "not finished"
        words = [entry.name, *results, *(entry.told.get(name, "") for name in _NAMED), finished]
        table.add_row(*map(cell, words))
    console = Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 400)
    console.print(cell(heading), style="bold", soft_wrap=True)
    console.print(table)
