"""The report that each job of a sweep writes, `<job>/job.json`: its state, and how it ended."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from deepdraw.runtime import MB, read_json, write_json

LARGEST = 16 * MB  # of which a traceback may take most
LONGEST = 1 * MB  # characters that are kept of an error or traceback
FIX = "cancel the sweep and resume it, which writes a new one"


@dataclass(frozen=True)
class Report:
    """The state of the attempt `id` of a job, on `host` as process `pid`; objective: what its sweep compares."""

    state: Literal["RUNNING", "COMPLETED", "FAILED", "STOPPED"]
    id: str
    host: str = ""
    pid: int = 0
    started: str = ""
    ended: str = ""
    objective: float | None = None
    cause: str = ""
    error: str = ""
    traceback: str = ""


def write_report(directory: Path, report: Report) -> None:
    """Write the report of the job with this run directory; what is empty is left out."""
    said = {key: _plain(value) for key, value in asdict(report).items() if value not in ("", None)}
    write_json(directory / "job.json", said)


def _plain(value: Any) -> Any:
    """A value as JSON can say it: a path in a message may hold bytes that are no text; of a long text, its end."""
    return value.encode("utf-8", "backslashreplace").decode()[-LONGEST:] if isinstance(value, str) else value


def read_report(directory: Path) -> Report | None:
    """The report of the job with this run directory, None where it wrote none; ValueError where it is damaged."""
    file = directory / "job.json"
    if file.is_symlink():
        raise ValueError(f"{file} is a link: {FIX}")
    if not file.exists():
        return None
    return read_json(file, Report, fix=FIX, largest=LARGEST)


def readable_report(directory: Path) -> Report | None:
    """The report, None where there is none or it is damaged: for callers that write a new one."""
    with suppress(ValueError):
        return read_report(directory)
    return None
