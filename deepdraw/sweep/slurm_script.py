"""The sbatch scripts of a sweep's jobs, as submitit writes them."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepdraw.runtime import PACKAGE

if TYPE_CHECKING:
    from submitit.slurm.slurm import SlurmExecutor

# Parameters that sbatch does not know.
NOT_FOR_SBATCH = {"_target_", "objective", "snapshot", "wait", "submitit_folder", "max_num_timeout"}


def sbatch_executor(directory: Path, parameters: Mapping[str, Any]) -> SlurmExecutor:
    """Makes sbatch scripts of the parameters. Jobs import the sweep's copy of the code before any other."""
    from submitit.slurm.slurm import SlurmExecutor

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
