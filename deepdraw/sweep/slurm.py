"""SLURM, by its commands sbatch, squeue, sacct, scontrol and scancel."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepdraw.runtime import write_text

if TYPE_CHECKING:
    from submitit.slurm.slurm import SlurmExecutor

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
# Parameters that sbatch does not know.
NOT_FOR_SBATCH = {"_target_", "objective", "snapshot", "wait", "submitit_folder", "max_num_timeout"}


def submit(directory: Path, jobs: Sequence[Job], parameters: Mapping[str, Any]) -> list[str]:
    """Submit jobs of a sweep, as one array or, where SLURM allows none so large, as several; their ids in order.

    parameters: the node `hydra.launcher` of the config. Raises ValueError, in one line, for what sbatch refuses; then,
    as after Ctrl-C, all jobs that were submitted are cancelled.
    """
    from submitit.core.utils import FailedJobError
    from submitit.helpers import clean_env

    from deepdraw.sweep.job import run_on_slurm

    executor = _executor(directory, parameters)
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
            f"wait until it takes so many, then `python -m deepdraw.sweep resume {directory}`"
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
    write_text(script, _executor(directory, parameters)._make_submission_file_text("true", ""))
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


def _executor(directory: Path, parameters: Mapping[str, Any]) -> SlurmExecutor:
    """Makes sbatch scripts of the parameters. Jobs import the sweep's copy of the code before any other."""
    from submitit.slurm.slurm import SlurmExecutor

    from deepdraw.runtime import PACKAGE

    copied = directory / "code"
    code = shlex.quote(str(copied if copied.is_dir() else PACKAGE.parent))
    chosen = {name: value for name, value in parameters.items() if name not in NOT_FOR_SBATCH and value is not None}
    chosen["setup"] = [
        "export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK",  # which srun has not inherited since SLURM 22.05
        *chosen.get("setup", []),
        f"export PYTHONPATH={code}${{PYTHONPATH:+:$PYTHONPATH}}",
        f"cd {code}",  # from which `python -m` imports first
    ]
    chosen["signal_delay_s"] = min(chosen["signal_delay_s"], chosen["timeout_min"] * 15)
    chosen["additional_parameters"] = {"requeue": True, **chosen.get("additional_parameters", {})}
    chosen["srun_args"] = ["--kill-on-bad-exit=1"]  # a rank that failed would be waited for by the others
    python = f"{shlex.quote(sys.executable)} -m deepdraw.sweep.block_sigusr2"
    executor = SlurmExecutor(folder=directory / "logs", python=python)
    executor.update_parameters(**executor._convert_parameters(chosen))
    return executor


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
