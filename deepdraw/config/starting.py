"""The first thing that a run does: check its config, before its directory is made and before torch is imported."""

from __future__ import annotations

import copy
import sys
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, open_dict, read_write
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from deepdraw.config.compose_errors import command_of
from deepdraw.config.experiments import check_experiments, say_what_was_left_out
from deepdraw.config.making import check_before_imports
from deepdraw.runtime import existing_checkpoint, failure_line, keeps_tracebacks


class CheckedConfig(Callback):
    """Refuses a config that train.py or evaluate.py would refuse, in one line and in a second."""

    @classmethod
    def is_asked_for(cls, config: DictConfig) -> bool:
        """Whether a composed config names this callback: those of other programs, launched by a sweep, do not."""
        callbacks = (config.hydra.get("callbacks") or {}).values()
        return any(str(one.get("_target_")) == f"deepdraw.config.{cls.__name__}" for one in callbacks)

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check the config of a single run. The launchers of sweeps check each job's when they submit it."""
        if keeps_tracebacks():
            return  # the command itself raises, and Hydra catches what a callback raises
        try:
            check_command(config, command_of(sys.argv[0]))
        except (ValueError, OSError) as error:
            sys.exit(f"error: {failure_line(error)}")


def check_command(config: DictConfig, command: str) -> None:
    """Raise ValueError, in one line, for what is wrong in a composed config, as far as it shows without torch.

    config: with Hydra's own part, as Hydra composes it.
    """
    task = copy.deepcopy(config)
    with read_write(task), open_dict(task):
        del task["hydra"]
    shared: Any = HydraConfig.instance()
    before, shared.cfg = shared.cfg, config  # for what is interpolated from it
    try:
        check_experiments(config)
        check_before_imports(command, task)
        if command == "evaluate":
            existing_checkpoint(task.ckpt)
    except MissingMandatoryValue as error:
        raise ValueError(f"{error.full_key} is missing: give {_example(str(error.full_key))}") from None
    except OmegaConfBaseException as error:
        raise ValueError(failure_line(error)) from None
    finally:
        shared.cfg = before
    say_what_was_left_out()


def _example(key: str) -> str:
    return "ckpt=RUN, a run directory of train.py or a checkpoint in it" if key == "ckpt" else f"{key}=..."
