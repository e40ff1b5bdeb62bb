"""`hydra/sweeper=optuna`: Optuna chooses the jobs of a sweep, batch by batch, by the results of the jobs before."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, RangeSweep
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.distributions import BaseDistribution


def _default_sampler() -> dict[str, Any]:
    return {"_target_": "optuna.samplers.TPESampler", "seed": None}


@dataclass
class OptunaConf:
    """What conf/sweep/optuna.yaml explains; storage and study_name are those of `optuna.create_study`."""

    _target_: str = "hydra_plugins.deepdraw_optuna.OptunaSweeper"
    direction: str | None = None
    n_trials: int = 20
    n_jobs: int = 2
    max_failure_rate: float = 0.0
    sampler: dict[str, Any] = field(default_factory=_default_sampler)
    storage: str | None = None
    study_name: str | None = None
    params: dict[str, Any] | None = None


if find_spec("optuna"):  # an extra of deepdraw
    ConfigStore.instance().store(group="hydra/sweeper", name="optuna", node=OptunaConf, provider="deepdraw")


class OptunaSweeper(Sweeper):
    """Asks an Optuna study for `n_jobs` trials at a time and tells it what the jobs returned.

    n_trials: completed jobs in all, those that `storage` holds of an earlier search included; max_failure_rate: the
    fraction of a batch that may fail before the search ends; params: what to choose, as overrides of a sweep.
    """

    def __init__(self, sampler: Any, params: DictConfig | None, **options: Any) -> None:
        self.sampler, self.params, self.options = sampler, params, options

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Make the launcher, which takes the directory of the sweep."""
        self.hydra_context, self.config = hydra_context, config
        _check(self.options)
        self.launcher = Plugins.instance().instantiate_launcher(
            config=config, hydra_context=hydra_context, task_function=task_function
        )

    def sweep(self, arguments: list[str]) -> None:
        """Search, and write the best trial to optimization_results.yaml."""
        words = [f"{key}={value}" for key, value in (self.params or {}).items()]
        fixed, space = search_space([*words, *arguments])
        if not space:
            sys.exit("error: Optuna has nothing to choose: give an interval, such as optimizer.lr=interval(1e-5,1e-2)")
        study = self._study()
        first, left = 0, self.options["n_trials"] - len(_completed(study))
        while left > 0:
            trials = [study.ask(space) for _ in range(min(self.options["n_jobs"], left))]
            batch = [[*fixed, *(f"{key}={value}" for key, value in trial.params.items())] for trial in trials]
            returned = self.launcher.launch(batch, initial_job_idx=first)
            self._tell(study, trials, returned)
            first, left = first + len(trials), left - len(trials)
        self._report(study)

    def _study(self) -> "Study":
        import optuna

        from deepdraw.sweep import better_direction

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(
            storage=self.options["storage"],
            study_name=self.options["study_name"],
            sampler=self.sampler,
            direction=self.options["direction"] or better_direction(self.config),
            load_if_exists=True,
        )
        for trial in study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.RUNNING]):
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)  # of a search that was killed
        return study

    def _tell(self, study: "Study", trials: Sequence["Trial"], returned: Sequence[JobReturn]) -> None:
        """Tell the study the results of a batch. Raises the error of a failed job if too many failed."""
        from optuna.trial import TrialState

        failed = []
        for trial, job in zip(trials, returned, strict=True):
            value = job.return_value if job.status == JobStatus.COMPLETED else None
            if isinstance(value, int | float) and isfinite(value):
                study.tell(trial, value)
            else:
                study.tell(trial, state=TrialState.FAIL)
                failed.append(job)
        if len(failed) > self.options["max_failure_rate"] * len(trials):
            for job in failed:
                _ = job.return_value  # raises what the job raised
            sys.exit(f"error: {len(failed)} of {len(trials)} jobs returned no finite number")

    def _report(self, study: "Study") -> None:
        import yaml

        from deepdraw.runtime import write_text

        if not _completed(study):
            sys.exit("error: no job has a result")
        best = {"name": "optuna", "best_params": study.best_params, "best_value": study.best_value}
        path = Path(self.config.hydra.sweep.dir) / "optimization_results.yaml"
        write_text(path, yaml.safe_dump(best))
        print(f"best of {len(_completed(study))} jobs: {study.best_value:.4g} with {study.best_params}, see {path}")


def _completed(study: "Study") -> Sequence[Any]:
    from optuna.trial import TrialState

    return study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])


def _check(options: dict[str, Any]) -> None:
    """Leave with one line if an option can have no meaning."""
    for name in ("n_trials", "n_jobs"):
        if options[name] < 1:
            sys.exit(f"error: hydra.sweeper.{name}={options[name]} must be at least 1")
    if not 0 <= options["max_failure_rate"] <= 1:
        sys.exit(f"error: hydra.sweeper.max_failure_rate={options['max_failure_rate']} must be from 0 to 1")
    if options["direction"] not in (None, "minimize", "maximize"):
        sys.exit(f"error: hydra.sweeper.direction={options['direction']} must be minimize or maximize")


def search_space(words: Sequence[str]) -> tuple[list[str], dict[str, "BaseDistribution"]]:
    """Fixed overrides, and what Optuna chooses by key. The last override of a key counts."""
    last = {override.get_key_element(): override for override in OverridesParser.create().parse_overrides(list(words))}
    space = {key: _distribution(override) for key, override in last.items() if override.is_sweep_override()}
    return [str(override.input_line) for key, override in last.items() if key not in space], space


def _distribution(override: Override) -> "BaseDistribution":
    """The values of `a,b`, `range(...)` or `interval(...)`, which `tag(log, ...)` searches by orders of magnitude."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    value: Any = override.value()
    if override.is_interval_sweep():
        whole = isinstance(value.start, int) and isinstance(value.end, int)  # of int(interval(...))
        return (IntDistribution if whole else FloatDistribution)(value.start, value.end, log="log" in value.tags)
    if isinstance(value, RangeSweep) and not value.shuffle:
        numbers = sorted(override.sweep_iterator())  # type: ignore[type-var]
        if len(numbers) > 1:
            whole = all(isinstance(number, int) for number in numbers)
            return (IntDistribution if whole else FloatDistribution)(numbers[0], numbers[-1], step=abs(value.step))
    return CategoricalDistribution(list(override.sweep_string_iterator()))
