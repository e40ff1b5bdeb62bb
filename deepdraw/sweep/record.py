"""A sweep on disk, `<sweep>/sweep.json`: what was submitted, from which code, and under which ids."""

from __future__ import annotations

import os
import re
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from deepdraw.evaluation import lower_is_better
from deepdraw.runtime import MB, read_json, shown, write_json
from deepdraw.sweep.signature import is_signed, sign

FOLDERS = ("jobs", "code", "logs")  # of a sweep, beside those of the jobs
ID = re.compile(r"[0-9]{1,20}(_[0-9]{1,10})?")  # of a job: SLURM's own, or the time at which a local one was started
LARGEST = 64 * MB  # of a sweep.json; a job takes some hundred bytes
MOST = 10**9  # number that a job may have

Better = Literal["higher", "lower"]


@dataclass
class _Entry:
    """A job as sweep.json has it; directory: from that of the sweep."""

    number: int
    overrides: list[str]
    directory: str
    ids: list[str]


@dataclass
class _Code:
    digest: str = ""
    commit: str | None = None
    packages: list[str] = field(default_factory=list)  # the user's own, by name


@dataclass
class _Document:
    """What a sweep.json says; signature: see `deepdraw.sweep.signature`."""

    launcher: Literal["local", "slurm"]
    objective: str
    jobs: list[_Entry]
    task: str = ""
    command: list[str] = field(default_factory=list)
    submitted: str = ""
    code: _Code = field(default_factory=_Code)
    better: Better | None = None
    signature: str = ""


@dataclass
class Job:
    """One run of a sweep: its overrides, its run directory and the ids under which it was started, the latest last."""

    number: int
    overrides: list[str]
    directory: Path
    ids: list[str] = field(default_factory=list)


@dataclass
class Sweep:
    """What `<sweep>/sweep.json` says.

    objective: the `split/name` by which the jobs are compared; better: which values of it are, where a metric of the
    user's own says so, None where the name tells.
    """

    directory: Path
    launcher: str
    objective: str
    jobs: list[Job]
    task: str = ""
    command: list[str] = field(default_factory=list)
    submitted: str = ""
    code: Mapping[str, Any] = field(default_factory=dict)
    better: Better | None = None

    @property
    def lower_is_better(self) -> bool:
        """Whether the best job is the one with the lowest objective."""
        return lower_is_better(self.objective) if self.better is None else self.better == "lower"

    @property
    def swept(self) -> list[str]:
        """The keys that differ between jobs; all keys where none does."""
        values_of = defaultdict(list)
        for job in self.jobs:
            for key, value in settings(job.overrides).items():
                values_of[key].append(value)
        differing = [key for key, values in values_of.items() if len(values) < len(self.jobs) or len(set(values)) > 1]
        return differing or list(values_of)


def settings(overrides: Sequence[str]) -> dict[str, str]:
    """The values of overrides by their keys."""
    return {key: value for key, _, value in (override.partition("=") for override in overrides)}


def write_sweep(
    directory: Path,
    launcher: str,
    objective: str,
    jobs: Sequence[Job],
    *,
    task: str | None = None,
    code: Mapping[str, Any] | None = None,
    better: Better | None = None,
) -> Sweep:
    """Write `<sweep>/sweep.json` with these jobs, beside those of other numbers and whatever else it says already.

    task: the file whose `main` each job calls; code: what tells its version; better: which values of the objective are,
    None where its name tells. The file is signed as this user's own, with the configs and the code in the directory.
    """
    if os.path.lexists(directory / "sweep.json"):
        saved = _read_document(directory)
    else:
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        saved = _Document(_launcher(launcher), objective, [], command=[*map(shown, sys.argv)], submitted=now)
    new = [_Entry(job.number, job.overrides, os.path.relpath(job.directory, directory), job.ids) for job in jobs]
    merged = {job.number: job for job in [*saved.jobs, *new]}
    document = asdict(
        replace(
            saved,
            launcher=_launcher(launcher),
            objective=objective,
            jobs=[merged[number] for number in sorted(merged)],
            task=saved.task if task is None else task,
            code=saved.code if code is None else _Code(**code),
            better=saved.better if better is None else better,
        )
    )
    write_json(directory / "sweep.json", {**document, "signature": sign(directory, document)})
    return read_sweep(directory)


def _launcher(name: str) -> Literal["local", "slurm"]:
    assert name in ("local", "slurm")
    return name  # type: ignore[return-value]


def is_own(directory: Path) -> bool:
    """Whether this user launched the sweep, and nothing that it runs has been changed since."""
    return is_signed(directory, asdict(_read_document(directory)))


def read_sweep(directory: Path) -> Sweep:
    """The sweep of a directory; ValueError where it holds none, or one that is damaged or leads out of it."""
    document = _read_document(directory)
    directory = directory.absolute()
    jobs = [Job(job.number, job.overrides, directory / job.directory, job.ids) for job in document.jobs]
    others = {name: value for name, value in asdict(document).items() if name not in ("jobs", "signature")}
    return Sweep(directory, jobs=jobs, **others)


def inside(directory: Path, path: Path) -> bool:
    """Whether `path` lies in `directory` and no link leads it out of there."""
    home = os.path.realpath(directory)
    real = os.path.realpath(path)
    return real != home and os.path.commonpath([home, real]) == home


def _read_document(directory: Path) -> _Document:
    """What sweep.json says, of which every id, number and directory is one that a launcher writes."""
    file, fix = directory / "sweep.json", "give the directory of a sweep as a launcher wrote it"
    if not os.path.lexists(file):
        raise ValueError(f"{directory} holds no sweep: give the directory that the launcher printed, with a sweep.json")
    if links := [name for name in ("sweep.json", *FOLDERS) if not inside(directory, directory / name)]:
        raise ValueError(f"{directory / links[0]} is a link out of the directory: {fix}")
    document = read_json(file, _Document, fix=fix, largest=LARGEST)
    numbers = [job.number for job in document.jobs]
    if not numbers or len(set(numbers)) < len(numbers) or not 0 <= min(numbers) <= max(numbers) < MOST:
        raise ValueError(f"{file} has no jobs with numbers of their own: {fix}")
    for job in document.jobs:
        for number in job.ids:
            if not ID.fullmatch(number):
                raise ValueError(f"{file}: {shown(repr(number))} is no id of a job: {fix}")
        try:
            is_inside = inside(directory, directory / job.directory)
            (directory / job.directory / "job.json").exists()
        except (OSError, ValueError) as error:  # such as a name that is too long, or holds a null character
            reason = getattr(error, "strerror", None) or str(error)
            raise ValueError(
                f"{file}: {shown(repr(job.directory), 100)} of job {job.number}: {reason}: {fix}"
            ) from error
        if not is_inside:
            raise ValueError(
                f"{file}: {shown(repr(job.directory))} of job {job.number} leads out of {directory}: {fix}"
            )
    return document
