"""`hydra/launcher=slurm`: a sweep on a SLURM cluster of which nothing is lost."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.types import HydraContext, TaskFunction
from hydra_plugins.hydra_submitit_launcher.config import SlurmQueueConf
from hydra_plugins.hydra_submitit_launcher.submitit_launcher import SlurmLauncher as SubmititLauncher
from omegaconf import DictConfig


@dataclass
class SlurmConf(SlurmQueueConf):
    """What conf/hydra/launcher/slurm.yaml explains, beside what submitit's launcher knows."""

    _target_: str = "hydra_plugins.deepdraw_slurm.SlurmLauncher"
    objective: str = "val/top1"
    snapshot: bool = True
    wait: bool = True


ConfigStore.instance().store(group="hydra/launcher", name="deepdraw_slurm", node=SlurmConf, provider="deepdraw")


class SlurmLauncher(SubmititLauncher):
    """Writes and submits the sweep and waits for it. Imports what that needs late, as Hydra imports every launcher."""

    def __init__(self, objective: str, snapshot: bool, wait: bool, **parameters: Any) -> None:
        super().__init__(**parameters)
        self.options: dict[str, Any] = {"launcher": "slurm", "objective": objective, "snapshot": snapshot}
        self.wait = wait

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take a directory before the sweeper writes into it."""
        from deepdraw.sweep import open_sweep

        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)
        try:
            self.options["claimed"] = open_sweep(config, hydra_context)
        except ValueError as error:
            sys.exit(f"error: {error}")

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Submit a batch of jobs; those of a sweeper that asks for several batches share one directory."""
        from deepdraw.sweep import launch_jobs

        assert self.config is not None and self.hydra_context is not None and self.task_function is not None
        batch = (self.config, self.hydra_context, self.task_function, job_overrides, initial_job_idx)
        return launch_jobs(batch, self.options, {**self.params, "wait": self.wait})
