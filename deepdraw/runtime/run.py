"""The run directory: refused to another config, resumed by its own, summed up at the end."""

from __future__ import annotations

import functools
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

FREE = ("train.log_every", "train.checkpoint_every", "data.num_workers", "logger")  # do not change the result
LIBRARIES = ("torch", "torchvision", "timm", "open_clip_torch", "hydra-core", "numpy", "opencv-python-headless")

Result = TypeVar("Result")


def run_directory() -> Path:
    """The directory that Hydra chose for this job."""
    return Path(HydraConfig.get().runtime.output_dir)


def open_run(directory: Path, config: DictConfig, former: Mapping[str, Any] | None) -> dict[str, Any]:
    """Write `<run>/config.yaml` and return the config resolved to plain values.

    former: the config of the run that the directory holds already, if it holds one. Raises ValueError, naming the keys
    and touching nothing, where the two differ in what changes the result.
    """
    resolved = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    assert isinstance(resolved, dict)
    if former is not None and (differing := list(_differences(former, resolved))):
        raise ValueError(
            f"{directory} holds a run of another config ({'; '.join(differing)}): "
            "repeat its settings to resume it, or choose another hydra.run.dir"
        )
    (directory / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(resolved)))
    return {str(key): value for key, value in resolved.items()}


def _differences(former: Any, now: Any, path: str = "") -> Iterator[str]:
    if any(path == key or path.startswith(f"{key}.") for key in FREE):
        return
    if isinstance(former, Mapping) and isinstance(now, Mapping):
        for key in [*former, *(key for key in now if key not in former)]:
            yield from _differences(former.get(key), now.get(key), f"{path}.{key}" if path else str(key))
    elif former != now:
        yield f"{path}: {former} there, {now} here"


def describe_environment() -> dict[str, Any]:
    """What the summary says of code and machine: versions, git commit, host's processor."""
    return {
        "versions": {"python": platform.python_version(), **{name: version(name) for name in ("deepdraw", *LIBRARIES)}},
        "git_commit": _git_commit(),
    }


def _git_commit() -> str | None:
    """The commit of the code that runs, with `-dirty` where files differ from it; None outside a clone."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def one_line_errors(main: Callable[[DictConfig], Result]) -> Callable[[DictConfig], Result]:
    """Show bad input as the one line that names the fix; HYDRA_FULL_ERROR=1 and sweeps keep the traceback."""

    @functools.wraps(main)
    def wrapped(config: DictConfig) -> Result:
        try:
            return main(config)
        except (ValueError, InstantiationException, FloatingPointError) as error:
            cause = error.__cause__ if isinstance(error, InstantiationException) else error
            sweeping = HydraConfig.get().mode == RunMode.MULTIRUN
            if sweeping or os.environ.get("HYDRA_FULL_ERROR") or not isinstance(cause, ValueError | FloatingPointError):
                raise
            sys.exit(f"error: {cause}")
        except KeyboardInterrupt:
            print(f"stopped; the same command with hydra.run.dir={run_directory()} goes on from its last checkpoint")
            sys.exit(130)

    return wrapped
