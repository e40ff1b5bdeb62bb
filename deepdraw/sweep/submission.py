"""A sweep as it is submitted: a directory of its own, its jobs' configs and the code they run."""

from __future__ import annotations

import atexit
import inspect
import shutil
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus, setup_globals
from hydra.errors import CompactHydraException
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, read_write

from deepdraw.evaluation import describe_metrics, find_description, lower_is_better, make_metrics
from deepdraw.runtime import COMMIT, PACKAGE, Lock, git_commit
from deepdraw.sweep.claim import claim
from deepdraw.sweep.composing import QuickLoader, write_config
from deepdraw.sweep.job_state import JobState
from deepdraw.sweep.record import Better, Job, Sweep, inside, read_sweep, write_sweep
from deepdraw.sweep.snapshot import check_import, copy_code, copy_packages, digest, own_packages

OWN_CONFIGS = ("command-line", "hydra.searchpath in command-line", "hydra.searchpath in main")  # as Hydra calls them


def open_sweep(config: DictConfig, context: HydraContext) -> Lock:
    """Before the sweeper starts: make `hydra.sweep.dir` a directory that no other sweep has, and composing quick.

    Returns the claim to the directory, for `write_jobs`; this process gives it back at its end at the latest.

    Raises ValueError for a sweeper that searches for the worst objective, and for a directory that the command names
    and that holds a sweep; one that the clock named gets a number after it where another began in the same second.
    """
    check_direction(config)
    context.config_loader = QuickLoader(context.config_loader)  # type: ignore[arg-type, assignment]
    wanted = Path(config.hydra.sweep.dir).absolute()
    named = any(override.startswith("hydra.sweep.dir=") for override in config.hydra.overrides.hydra)
    for directory in chain([wanted], (wanted.with_name(f"{wanted.name}_{number}") for number in count(2))):
        try:
            claimed = claim(directory)
            break
        except ValueError:
            if named:
                raise
    atexit.register(claimed.release)
    with read_write(config):
        config.hydra.sweep.dir = str(directory)
    return claimed


def write_jobs(
    config: DictConfig,
    context: HydraContext,
    task_function: Callable[[DictConfig], Any],
    job_overrides: Sequence[Sequence[str]],
    first: int,
    *,
    claimed: Lock,
    launcher: str,
    objective: str,
    snapshot: bool,
) -> tuple[Sweep, list[Job]]:
    """Write the configs of a batch of jobs, numbered from `first`, the code not yet copied, and sweep.json.

    claimed: to the directory, which is released when there is a sweep.json. Raises ValueError where the jobs could not
    import the code, or would write elsewhere.
    """
    setup_globals()
    directory = Path(config.hydra.sweep.dir)
    configs = [context.config_loader.load_sweep_config(config, list(overrides)) for overrides in job_overrides]
    jobs = []
    for number, (overrides, composed) in enumerate(zip(job_overrides, configs, strict=True), first):
        job = Job(number, list(overrides), write_config(directory, composed, number))
        if not inside(directory, job.directory):
            raise ValueError(f"{job.directory} is not in {directory}: choose a hydra.sweep.subdir that is")
        jobs.append(job)
    task = Path(inspect.getfile(inspect.unwrap(task_function))).absolute()
    plain = [{key: part for key, part in _plain(composed).items() if key != "hydra"} for composed in configs]
    task, code = _keep_code(
        directory, task, own_packages(plain), _own_configs(config), is_first=not first, snapshot=snapshot
    )
    by_metric = {str(part.get("metric")): composed for part, composed in zip(plain, configs, strict=True)}
    better = find_better(objective, by_metric.values())
    sweep = write_sweep(directory, launcher, objective, jobs, task=str(task), code=code, better=better)
    claimed.release()
    return sweep, jobs


def _keep_code(
    directory: Path, task: Path, packages: Sequence[str], configs: Sequence[Path], *, is_first: bool, snapshot: bool
) -> tuple[Path, dict[str, Any]]:
    """Copy what the jobs of a batch run and no earlier batch copied. Returns the task that they run, and its version.

    packages, configs: the user's own. Without `snapshot` nothing is copied.
    """
    if not is_first:
        packages = sorted({*packages, *read_sweep(directory).code["packages"]})
    copy = directory / "code" if snapshot else None
    if copy:
        if is_first:
            _remove_unfinished_copy(copy)
            copy_code(task, copy, packages, configs)
        else:
            copy_packages(packages, copy)
        task = copy / task.name
    if is_first:
        check_import(copy or PACKAGE.parent)
    return task, {"commit": git_commit(), "digest": digest(task, packages, copy), "packages": packages}


def _plain(config: DictConfig) -> dict[Any, Any]:
    plain = OmegaConf.to_container(config)
    assert isinstance(plain, dict)
    return plain


def _own_configs(config: DictConfig) -> list[Path]:
    """The directories that `--config-dir` and `hydra.searchpath` name."""
    sources = [(source.provider, source.schema, source.path) for source in config.hydra.runtime.config_sources]
    own = [path for provider, schema, path in sources if schema == "file" and provider in OWN_CONFIGS]
    return [Path(path) for path in own]


def _remove_unfinished_copy(code: Path) -> None:
    """Remove the copy that a launcher left which was killed before it had written sweep.json."""
    if code.is_dir() and any(code.iterdir()):
        if not (code / COMMIT).is_file():
            raise ValueError(f"{code} is there and no copy of a sweep's: choose another hydra.sweep.dir")
        shutil.rmtree(code)


class JobFailed(CompactHydraException):
    """A job that has no result; Hydra shows its line alone and exits with status 1."""


def job_returns(jobs: Sequence[JobState]) -> list[JobReturn]:
    """The results of jobs that have ended, in the form in which Hydra gives them to a sweeper."""
    return [
        JobReturn(
            overrides=job.overrides,
            status=JobStatus.COMPLETED if job.is_good else JobStatus.FAILED,
            _return_value=job.metric if job.is_good else JobFailed(f"job {job.number} has no result"),
        )
        for job in jobs
    ]


def find_better(objective: str, configs: Iterable[DictConfig]) -> Better | None:
    """Which values of the objective are better, where it is one of the configs' own metrics; None for a built-in one.

    Raises ValueError for a metric that cannot be made.
    """
    described = {name: each for config in configs for name, each in describe_metrics(make_metrics(config)).items()}
    own = find_description(objective.rpartition("/")[2], described)
    return own.better if own else None


def better_direction(config: DictConfig) -> str:
    """The direction in which the objective of a sweep gets better: `minimize` or `maximize`."""
    objective = config.hydra.launcher.get("objective", "val/top1")
    better = find_better(objective, [config])
    is_lower = lower_is_better(objective) if better is None else better == "lower"
    return "minimize" if is_lower else "maximize"


def check_direction(config: DictConfig) -> None:
    """Raise ValueError where a sweeper such as Optuna's would search for the worst value of the objective."""
    direction, wanted = config.hydra.sweeper.get("direction"), better_direction(config)
    name = getattr(direction, "name", direction)
    if name in ("minimize", "maximize") and name != wanted:
        raise ValueError(
            f"hydra.sweeper.direction={name} would search for the worst {config.hydra.launcher.objective}: "
            f"set hydra.sweeper.direction={wanted}"
        )
