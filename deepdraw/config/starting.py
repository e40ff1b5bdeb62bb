"""The first thing that a run does: check its config, before its directory is made and before torch is imported."""

from __future__ import annotations

import copy
import re
import sys
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.utils import get_object
from omegaconf import DictConfig, open_dict, read_write
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from deepdraw.config.compose_errors import command_of
from deepdraw.config.declared import declared
from deepdraw.config.experiments import check_experiments, say_what_was_left_out
from deepdraw.config.making import check_before_imports
from deepdraw.config.splits import check_split
from deepdraw.config.suggestions import suggest_key
from deepdraw.config.values import taken
from deepdraw.runtime import existing_checkpoint, existing_file, failure_line, keeps_tracebacks, shown

INTERPOLATIONS = (  # what OmegaConf says of a `${...}` that it cannot resolve, and the fix
    (r"Interpolation key '(?P<name>[^']*)' not found", "`--cfg job` shows the keys that there are"),
    (r"Environment variable '(?P<name>[^']*)' not found", "set it, or give the value itself"),
    (r"Unsupported interpolation type (?P<name>\S+)", "write ${KEY}, or ${oc.env:NAME} for an environment variable"),
)


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
            check_command(config, command := command_of(sys.argv[0]))
            if command == "train":
                check_place(config.data.source)
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
        if command != "train":
            existing_checkpoint(task.ckpt)
        if command == "evaluate" and task.classes is not None:
            existing_file(task.classes, "classes=")
        if command == "evaluate" and not task.trust:  # a data source of another package has splits of its own
            check_split("split", task.split)
    except MissingMandatoryValue as error:
        raise ValueError(f"{error.full_key} is missing: give {_example(str(error.full_key))}") from None
    except OmegaConfBaseException as error:
        raise ValueError(_interpolation_line(error, command) or failure_line(error)) from None
    finally:
        shared.cfg = before
    say_what_was_left_out()


def check_place(source: DictConfig) -> None:
    """Raise ValueError, in one line, where there is nothing at the place that a data source of deepdraw is to open.

    It is asked where the command runs: a sweep is submitted where its data may not be.
    """
    if declared(source._target_) is None:
        return
    if (check := getattr(get_object(source._target_), "check_place", None)) is not None:
        check(**{name: source[name] for name in taken(check, [*source])})


def _interpolation_line(error: OmegaConfBaseException, command: str) -> str:
    """What is wrong in a `${...}`; an empty text for any other error."""
    message = str(error).splitlines()[0]
    for pattern, fix in INTERPOLATIONS:
        if found := re.search(pattern, message):
            meant = suggest_key(found["name"], command).partition("=")[0] if "key" in pattern else ""
            hint = f"did you mean ${{{meant}}}?" if meant else fix
            return shown(f"{error.full_key}: {found[0]}: {hint}")
    return ""


def _example(key: str) -> str:
    return "ckpt=RUN, a run directory of train.py or a checkpoint in it" if key == "ckpt" else f"{key}=..."
