"""The processes of a sweep on this machine: the launcher, which holds `<sweep>/local.lock`, and the jobs."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from deepdraw.runtime import Lock, shown, write_text
from deepdraw.sweep.reports import Report

JOB = "deepdraw.sweep.job"  # the module that a job's command line names


def this_host() -> str:
    """The name of this machine."""
    return socket.gethostname()


def launcher_lock(directory: Path) -> Lock:
    """The lock of the process that runs the jobs of a local sweep."""
    return Lock(directory / "local.lock")


def stop_request(directory: Path) -> Path:
    """The file that asks the launcher to stop, as Ctrl-C would. The launcher looks for it; no process id is trusted."""
    return directory / "cancel"


def job_command(directory: Path, number: int, job_id: str) -> list[str]:
    """The command line of a job, by which its process is recognized."""
    return [sys.executable, "-m", JOB, os.path.realpath(directory), str(number), job_id]


def queue_states(directory: Path, ids: Sequence[str], reports: Mapping[int, Report]) -> dict[str, str]:
    """RUNNING or PENDING for each of `ids` that runs, or waits for one that does, by the jobs' own reports."""
    running = {report.id: "RUNNING" for number, report in reports.items() if is_running(directory, number, report)}
    waits = launcher_lock(directory).is_taken
    return {**{number: "PENDING" for number in ids if waits}, **running}


def is_running(directory: Path, number: int, report: Report) -> bool:
    """Whether the job `number` that wrote this report still runs. A job of another machine is believed."""
    if report.state != "RUNNING" or not report.host:
        return False
    return report.host != this_host() or _is_job(directory, number, report)


def interrupt(directory: Path, reports: Mapping[int, Report]) -> str:
    """Let the launcher and the jobs with these reports save and end. Returns what else the user may have to do.

    A process is sent a signal only where it is this user's and its command line is that of the job. Raises ValueError,
    and sends none, where jobs run on another machine.
    """
    lock = launcher_lock(directory)
    if lock.is_taken:  # it lets its jobs save, and starts no more
        write_text(stop_request(directory), "")
        return f"by way of {lock.owner}; if that is gone, remove {shown(lock.path)} and cancel again"
    running = {number: report for number, report in reports.items() if is_running(directory, number, report)}
    if elsewhere := sorted({report.host for report in running.values()} - {this_host()}):
        raise ValueError(f"the jobs run on {', '.join(map(shown, elsewhere))}: cancel them there")
    for number, report in running.items():
        if _is_job(directory, number, report):
            with suppress(ProcessLookupError):
                os.kill(report.pid, signal.SIGINT)
    return ""


def has_default_handler(pid: int, number: signal.Signals) -> bool:
    """Whether this signal would end the process; False where the system does not tell (no Linux, no such process)."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    masks = dict(re.findall(r"^Sig(Ign|Cgt):\s*([0-9a-f]+)$", status, re.MULTILINE))
    return len(masks) == 2 and not any(int(mask, 16) >> (number - 1) & 1 for mask in masks.values())


def _is_job(directory: Path, number: int, report: Report) -> bool:
    """Whether the process of this report is the job `number` of the sweep, run by this user."""
    command = " ".join(job_command(directory, number, report.id)[1:])
    return report.pid > 1 and _command_line(report.pid).endswith(f" {command}")


def _command_line(pid: int) -> str:
    """The command line of a process of this user; empty where there is none of this number."""
    process = Path(f"/proc/{pid}")
    try:
        if Path("/proc/self/cmdline").exists():
            own = process.stat().st_uid == os.geteuid()
            return os.fsdecode((process / "cmdline").read_bytes().strip(b"\0").replace(b"\0", b" ")) if own else ""
        done = subprocess.run(["ps", "-ww", "-o", "uid=,command=", "-p", str(pid)], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    uid, _, command = os.fsdecode(done.stdout).strip().partition(" ")
    return command.strip() if uid == str(os.geteuid()) else ""
