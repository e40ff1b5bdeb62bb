"""What lives of a local sweep: the process that launched it, which holds `<sweep>/local.lock`, and its jobs."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deepdraw.runtime.lock import Lock
from deepdraw.runtime.tails import read_json

JOB = "deepdraw.runtime.jobs"  # the module that a job's command line names


def here() -> str:
    """This machine."""
    return socket.gethostname()


def owner(directory: Path) -> Lock:
    """The lock of the process that runs the jobs of a local sweep."""
    return Lock(directory / "local.lock")


def queue_states(directory: Path, ids: Sequence[str], reports: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """RUNNING or PENDING for each of `ids` that runs, or waits for one that does, by the jobs' own reports."""
    running = {report["id"]: "RUNNING" for report in reports if is_running(report)}
    waits = owner(directory).is_taken
    return {**{number: "PENDING" for number in ids if waits}, **running}


def is_running(report: Mapping[str, Any]) -> bool:
    """Whether the process lives that wrote this report; one of another machine is taken at its word."""
    if report.get("state") != "RUNNING":
        return False
    if report["host"] != here():
        return True
    try:
        os.kill(int(report["pid"]), 0)
    except (ProcessLookupError, PermissionError):  # there is none, or another user's, of a number given anew
        return False
    try:
        return JOB.encode() in Path(f"/proc/{report['pid']}/cmdline").read_bytes()
    except FileNotFoundError:  # not Linux
        return True


def interrupt(directory: Path, runs: Sequence[Path]) -> None:
    """Let the launching process and the jobs of these run directories save and end.

    Raises ValueError where they are on another machine.
    """
    lock = owner(directory)
    processes = [read_json(run / "job.json") for run in runs]
    if lock.is_taken:  # it sends SIGINT to its jobs, and starts no more
        processes = [read_json(lock.path)]
    elsewhere = {process["host"] for process in processes if process.get("host", here()) != here()}
    if elsewhere:
        raise ValueError(f"the jobs run on {', '.join(elsewhere)}: cancel them there")
    for process in processes:
        os.kill(int(process["pid"]), signal.SIGTERM if lock.is_taken else signal.SIGINT)
