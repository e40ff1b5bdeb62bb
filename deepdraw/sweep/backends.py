"""What runs the jobs of a sweep, SLURM or this machine: which jobs are queued, why one ended, how they are cancelled.

Jobs are submitted by `launch_slurm` and `launch_local`, which need the record of the sweep.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from deepdraw.sweep import processes, slurm
from deepdraw.sweep.reports import Report


class Queue(NamedTuple):
    """Jobs by their ids.

    queued: the state of each that runs or waits; None where there is nobody to ask. accounted: state and exit code of
    each that the accounting knows, such as ("FAILED", "1:0").
    """

    queued: Mapping[str, str] | None
    accounted: Mapping[str, tuple[str, str]]


class Backend(Protocol):
    """What runs the jobs of the sweeps of a launcher."""

    def queue(self, directory: Path, ids: Sequence[str], reports: Mapping[int, Report]) -> Queue:
        """Where the jobs with these ids are; reports: what jobs wrote of themselves, by their numbers."""
        ...

    def cause(self, log: Sequence[str]) -> str:
        """The cause of a job's end by the last lines of its log, such as OUT_OF_MEMORY; empty if they do not tell."""
        ...

    def cancel(self, directory: Path, ids: Sequence[str], reports: Mapping[int, Report]) -> str:
        """End the jobs with these ids and reports; returns what else there is to do, if anything."""
        ...


class Slurm:
    """SLURM, by squeue, sacct and scancel."""

    def queue(self, directory: Path, ids: Sequence[str], reports: Mapping[int, Report]) -> Queue:
        return Queue(slurm.queue_states(ids), slurm.account_states(ids))

    def cause(self, log: Sequence[str]) -> str:
        return slurm.cause_in(log)

    def cancel(self, directory: Path, ids: Sequence[str], reports: Mapping[int, Report]) -> str:
        slurm.cancel(ids)
        return ""


class Local:
    """Processes of this machine."""

    def queue(self, directory: Path, ids: Sequence[str], reports: Mapping[int, Report]) -> Queue:
        return Queue(processes.queue_states(directory, ids, reports), {})

    def cause(self, log: Sequence[str]) -> str:
        return ""

    def cancel(self, directory: Path, ids: Sequence[str], reports: Mapping[int, Report]) -> str:
        return processes.interrupt(directory, reports)


BACKENDS: Mapping[str, Backend] = {"slurm": Slurm(), "local": Local()}  # by launcher
