"""What runs the jobs of a sweep, SLURM or this machine: it starts them, knows where they are, and ends them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Protocol

from deepdraw.runtime import sweep_command
from deepdraw.sweep import launch_local, processes, slurm
from deepdraw.sweep.estimate import estimate
from deepdraw.sweep.job_state import JobState, Queue, job_states
from deepdraw.sweep.record import Job, Sweep, write_sweep
from deepdraw.sweep.reports import Report
from deepdraw.sweep.unrecorded import LAUNCHER, unrecorded_states

Progress = Literal["submitted", "ended", "stopped"]  # of jobs: they run without this process; all ended; by Ctrl-C


class Backend(Protocol):
    """What runs the jobs of the sweeps of a launcher. parameters: the node `hydra.launcher` of the config."""

    def parameter_types(self) -> type[Any]:
        """The dataclass that says of which types the parameters are."""
        ...

    def check(self, directory: Path, parameters: Mapping[str, Any]) -> None:
        """Raise ValueError, in one line, where jobs with these parameters cannot run. Submits nothing."""
        ...

    def submit(self, sweep: Sweep, jobs: Sequence[Job], parameters: Mapping[str, Any]) -> Progress:
        """Start these jobs, write their new ids into sweep.json, and print where they are.

        Raises ValueError, in one line, where they cannot be started.
        """
        ...

    def queue(self, directory: Path, ids: Sequence[str], reports: Mapping[int, Report]) -> Queue:
        """Where the jobs with these ids are; reports: those that jobs wrote, by their numbers."""
        ...

    def cause(self, log: Sequence[str]) -> str:
        """The cause of a job's end by the last lines of its log, such as OUT_OF_MEMORY; empty if they do not tell."""
        ...

    def cancel(self, directory: Path, ids: Sequence[str], reports: Mapping[int, Report]) -> str:
        """End the jobs with these ids and reports; returns what else there is to do, if anything."""
        ...


class Slurm:
    """SLURM, by sbatch, squeue, sacct and scancel."""

    def parameter_types(self) -> type[Any]:
        from hydra_plugins.deepdraw_slurm import SlurmConf

        return SlurmConf

    def check(self, directory: Path, parameters: Mapping[str, Any]) -> None:
        slurm.check(directory, parameters)

    def submit(self, sweep: Sweep, jobs: Sequence[Job], parameters: Mapping[str, Any]) -> Progress:
        if cost := estimate(sweep.directory, jobs, parameters, Path.cwd()):
            print(cost, flush=True)
        ids = slurm.submit(sweep.directory, jobs, parameters)
        jobs = [replace(job, ids=[*job.ids, new]) for job, new in zip(jobs, ids, strict=True)]
        write_sweep(sweep.directory, sweep.launcher, sweep.objective, jobs)
        arrays = ", ".join(dict.fromkeys(number.partition("_")[0] for number in ids))
        print(f"submitted {len(jobs)} jobs as {arrays}; {sweep.objective} is compared")
        print(f"logs in {sweep.directory / 'logs'}")
        print(f"where they are: {sweep_command('status', sweep.directory)}", flush=True)
        return "submitted"

    def queue(self, directory: Path, ids: Sequence[str], reports: Mapping[int, Report]) -> Queue:
        return Queue(slurm.queue_states(ids), slurm.account_states(ids))

    def cause(self, log: Sequence[str]) -> str:
        return slurm.cause_in(log)

    def cancel(self, directory: Path, ids: Sequence[str], reports: Mapping[int, Report]) -> str:
        slurm.cancel(ids)
        return ""


class Local:
    """Processes of this machine, which `submit` starts, as many at once as there is room for, and waits for."""

    def parameter_types(self) -> type[Any]:
        from hydra_plugins.deepdraw_local import LocalConf

        return LocalConf

    def check(self, directory: Path, parameters: Mapping[str, Any]) -> None:
        for name in ("n_jobs", "threads"):
            if (value := parameters.get(name)) is not None and value < 1:
                raise ValueError(f"{name}={value} is no number of them: choose 1 or more, or null")

    def submit(self, sweep: Sweep, jobs: Sequence[Job], parameters: Mapping[str, Any]) -> Progress:
        self.check(sweep.directory, parameters)
        limits = {name: parameters.get(name) for name in ("n_jobs", "threads")}
        return "ended" if launch_local.run_jobs(sweep, jobs, **limits) else "stopped"

    def queue(self, directory: Path, ids: Sequence[str], reports: Mapping[int, Report]) -> Queue:
        return Queue(processes.queue_states(directory, ids, reports), {})

    def cause(self, log: Sequence[str]) -> str:
        return ""

    def cancel(self, directory: Path, ids: Sequence[str], reports: Mapping[int, Report]) -> str:
        return processes.interrupt(directory, reports)


BACKENDS: Mapping[str, Backend] = {"slurm": Slurm(), "local": Local()}  # by launcher


def states(sweep: Sweep) -> list[JobState]:
    """The state of each job, by its own report and by one call of squeue and one of sacct.

    It needs neither the process that launched the sweep nor SLURM: where that does not answer, the
    reports are believed.
    """
    if sweep.launcher == LAUNCHER:
        return unrecorded_states(sweep)
    backend = BACKENDS[sweep.launcher]
    return job_states(sweep, backend.queue, backend.cause)
