"""`hydra/launcher=local`: a sweep on this machine, its jobs as many processes at once as there are GPUs."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class LocalConf:
    """What conf/hydra/launcher/local.yaml explains."""

    _target_: str = "hydra_plugins.deepdraw_local.LocalLauncher"
    n_jobs: int | None = None
    threads: int | None = None
    objective: str = "val/top1"
    snapshot: bool = True


ConfigStore.instance().store(group="hydra/launcher", name="deepdraw_local", node=LocalConf, provider="deepdraw")


class LocalLauncher(Launcher):
    """Writes the sweep and runs its jobs. Imports what that needs late, as Hydra imports every launcher."""

    def __init__(self, n_jobs: int | None, threads: int | None, objective: str, snapshot: bool) -> None:
        self.options: dict[str, Any] = {"launcher": "local", "objective": objective, "snapshot": snapshot}
        self.parameters = {"n_jobs": n_jobs, "threads": threads}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take a directory before the sweeper writes into it."""
        from deepdraw.sweep import open_sweep

        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config
        try:
            self.options["claimed"] = open_sweep(config, hydra_context)
        except ValueError as error:
            sys.exit(f"error: {error}")

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run a batch of jobs; those of a sweeper that asks for several batches share one directory."""
        from deepdraw.sweep import launch_jobs

        batch = (self.config, self.hydra_context, self.task_function, job_overrides, initial_job_idx)
        return launch_jobs(batch, self.options, self.parameters)
