"""SLURM, by its commands sbatch, squeue, sacct, scontrol and scancel, and a job that it runs and ends."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepdraw.runtime import Preempted, find_rank, preemptible, sweep_command, write_text
from deepdraw.sweep.reports import Report, readable_report
from deepdraw.sweep.slurm_script import sbatch_executor

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from deepdraw.sweep.record import Job

RESOURCES = ["partition", "account", "qos", "nodes", "tasks_per_node", "gpus_per_node", "cpus_per_task"]
RESOURCES += ["mem_gb", "timeout_min"]
CAUSES = {
    "OUT_OF_MEMORY": r"(?i)memory limit|oom[-_ ]kill|out of memory",
    "TIMEOUT": "DUE TO TIME LIMIT",
    "CANCELLED": r"(JOB|STEP) \S+ ON \S+ CANCELLED AT \S+( \*\*\*)?$",
    "SIGKILL": "task.*: Killed",
}
START_LINE = "Starting with JobEnvironment"  # submitit writes it to the log whenever SLURM starts the job
COMMAND_TIMEOUT = 60  # seconds that a command of SLURM may take


def submit(directory: Path, jobs: Sequence[Job], parameters: Mapping[str, Any]) -> list[str]:
    """Submit jobs of a sweep, as one array or, where SLURM allows none so large, as several; their ids in order.

    parameters: the node `hydra.launcher` of the config. Raises ValueError, in one line, for what sbatch refuses; then,
    as after Ctrl-C, all jobs that were submitted are cancelled.
    """
    from submitit.core.utils import FailedJobError
    from submitit.helpers import clean_env

    executor = sbatch_executor(directory, parameters)
    size = largest_array()
    ids: list[str] = []
    try:
        with clean_env():
            for start in range(0, len(jobs), size):
                numbers = [job.number for job in jobs[start : start + size]]
                submitted = executor.map_array(run_on_slurm, [str(directory)] * len(numbers), numbers)
                ids += [job.job_id for job in submitted]
    except BaseException as error:
        cancel(sorted({number.partition("_")[0] for number in ids}))
        if not isinstance(error, FailedJobError):
            raise
        raise ValueError(
            f"SLURM took {len(ids)} of {len(jobs)} jobs, which are cancelled, and no more ({_reason(str(error))}): "
            f"wait until it takes so many, then `{sweep_command('resume', directory)}`"
        ) from None
    return ids


def check(directory: Path, parameters: Mapping[str, Any]) -> None:
    """Raise ValueError, in one line, where SLURM would refuse these resources, or ranks the GPUs; submits nothing."""
    from submitit.helpers import clean_env

    num_gpus, num_ranks = parameters.get("gpus_per_node"), parameters["tasks_per_node"]
    if num_gpus and num_gpus < num_ranks:
        raise ValueError(
            f"hydra.launcher.tasks_per_node={num_ranks} ranks need a GPU each and there are {num_gpus}: "
            f"set hydra.launcher.gpus_per_node={num_ranks}, or 0 for the CPU"
        )
    script = directory / "logs" / "test_only.sh"
    write_text(script, sbatch_executor(directory, parameters)._make_submission_file_text("true", ""))
    with clean_env():
        done = _ask("sbatch", "--test-only", str(script))
    script.unlink(missing_ok=True)
    if done is None:
        raise ValueError("there is no sbatch here: submit from a login node, or use hydra/launcher=local")
    if done.returncode:
        asked = " ".join(f"{name}={parameters[name]}" for name in RESOURCES if parameters.get(name) is not None)
        raise ValueError(
            f"SLURM refuses these jobs ({_reason(done.stderr)}): change hydra.launcher ({asked}) to what `sinfo` shows"
        )


def run_on_slurm(directory: str, number: int) -> Any:
    """Run a job as `deepdraw.sweep.job.run` does. If SLURM ends it early, it goes on when SLURM runs it again."""
    from deepdraw.sweep.job import run  # slow to import, and `status` does not need it

    rank = find_rank().number
    job_id = own_id()
    with preemptible():
        try:
            return run(Path(directory), number, job_id, rank)
        except Preempted:
            if rank:
                sys.exit(0)  # any other status would end rank 0 before it has asked for its return
            _requeue_or_fail(Path(directory), number, job_id)
            print("if SLURM runs this job again, it goes on from its last checkpoint", flush=True)
            raise


def _requeue_or_fail(directory: Path, number: int, job_id: str) -> None:
    """Have SLURM run this job again. Reports a failure if it saved nothing within its time limit, or SLURM refuses."""
    from deepdraw.sweep.job import load_config, report_failure

    config = load_config(directory / "jobs" / f"{number}.yaml")
    run_directory = Path(config.hydra.runtime.output_dir)
    report = readable_report(run_directory) or Report("RUNNING", job_id)
    if report.state == "FAILED":  # another rank's, for which SLURM ends this one
        sys.exit(1)
    try:
        if at_time_limit(job_id) and not _has_saved(config):
            limit = config.hydra.launcher.timeout_min
            raise ValueError(f"nothing was saved within the time limit: raise hydra.launcher.timeout_min={limit}")
        requeue(job_id)
    except ValueError as error:
        report_failure(run_directory, report, error, Path())
        raise


def _has_saved(config: DictConfig) -> bool:
    """Whether there are a checkpoint or features from after the job's start."""
    from omegaconf import OmegaConf

    run_directory = Path(config.hydra.runtime.output_dir)
    features = OmegaConf.select(config, "features.dir")
    saved = [run_directory / "checkpoints/last.pt", *(Path(features).glob("*/*") if features else ())]
    start = (run_directory / "job.json").stat().st_mtime
    return any(file.exists() and file.stat().st_mtime >= start for file in saved)


def largest_array() -> int:
    """The number of jobs that one array may have; 1 where SLURM is set up without arrays."""
    done = _ask("scontrol", "show", "config")
    settings = (line.partition("=") for line in (done.stdout.splitlines() if done else []))
    sizes = [int(value) for name, _, value in settings if name.strip() == "MaxArraySize"]
    return max(1, sizes[0]) if sizes else 1000


def queue_states(ids: Sequence[str]) -> dict[str, str] | None:
    """State (PENDING, RUNNING, COMPLETING, ...) of each of these jobs that is in the queue; None where none answers."""
    if not ids:
        return {}
    done = _ask("squeue", "--noheader", "--array", f"--jobs={_array_ids(ids)}", "--format=%i|%T")
    if done is None or (done.returncode and "Invalid job id" not in done.stderr):
        return None
    wanted = set(ids)
    return {number: state for number, _, state in map(_split_cell, done.stdout.splitlines()) if number in wanted}


def account_states(ids: Sequence[str]) -> dict[str, tuple[str, str]]:
    """State and exit code ("status:signal") of each job by SLURM's accounting; {} where there is none."""
    if not ids:
        return {}
    done = _ask("sacct", "--noheader", "--parsable2", f"--jobs={_array_ids(ids)}", "--format=JobID,State,ExitCode")
    if done is None or done.returncode:
        return {}
    wanted, found = set(ids), {}
    for number, state, code in (line.split("|") for line in done.stdout.splitlines()):
        job, _, step = number.partition(".")
        if job in wanted and not step:
            found[job] = state, code
        elif job in found and found[job][0] == "FAILED":  # for which srun's exit status stands, not what killed a task
            found[job] = state if state == "OUT_OF_MEMORY" else "FAILED", max(code, found[job][1], key=_signal)
    return found


def cause_in(log: Sequence[str]) -> str:
    """The cause of a job's end by the lines that SLURM wrote at the end of its log, for clusters without accounting.

    The first line that names a cause counts: later lines tell of its consequences, lines before the latest start of
    an earlier attempt.
    """
    starts = [place for place, line in enumerate(log) if START_LINE in line]
    for line in log[starts[-1] if starts else 0 :]:
        if line.startswith(("slurmstepd", "srun: error:")):
            for cause, pattern in CAUSES.items():
                if re.search(pattern, line):
                    return cause
    return ""


def at_time_limit(number: str) -> bool:
    """Whether SLURM is ending this job because its time is over."""
    done = _ask("squeue", "--noheader", f"--jobs={number}", "--states=all", "--format=%r")
    return done is not None and "TimeLimit" in done.stdout.split()


def requeue(number: str) -> None:
    """Have SLURM run this job again, which runs or is at its time limit; nothing where SLURM ends or requeues it.

    Raises ValueError where it does not. SLURM may have been faster (submitit's issue 1617).
    """
    state = (queue_states([number]) or {}).get(number)
    if state not in (None, "RUNNING") and not at_time_limit(number):
        return
    done = _ask("scontrol", "requeue", number)
    if (done is None or done.returncode) and (queue_states([number]) or {}).get(number) in (None, "RUNNING"):
        answer = "there is no scontrol" if done is None else " ".join(done.stderr.split())
        raise ValueError(f"SLURM does not run job {number} again ({answer}): resume the sweep, which goes on from here")


def cancel(ids: Sequence[str]) -> None:
    """End these jobs."""
    if ids:
        _ask("scancel", *ids)


def own_id() -> str:
    """The id of the job that this process belongs to."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ["SLURM_JOB_ID"]


def _reason(errors: str) -> str:
    """The reason that sbatch gave, in one line."""
    return " ".join(errors.replace("sbatch: error:", "").replace("allocation failure:", "").split())


def _signal(exit_code: str) -> int:
    """The signal of an exit code such as "0:9"."""
    return int(exit_code.partition(":")[2] or 0)


def _array_ids(ids: Sequence[str]) -> str:
    return ",".join(sorted({number.partition("_")[0] for number in ids}))


def _split_cell(line: str) -> tuple[str, str, str]:
    return line.partition("|")


def _ask(*command: str) -> subprocess.CompletedProcess[str] | None:
    """The answer of a command; None where there is no such command, or no answer."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_TIMEOUT)
    except (OSError, subprocess.TimeoutExpired):
        return None
