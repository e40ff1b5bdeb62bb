"""A job of a sweep: the config composed at submission, run by the code of that time, its state in `job.json`."""

from __future__ import annotations

import importlib.util
import inspect
import math
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import hydra
from hydra._internal.callbacks import Callbacks
from hydra.conf import HydraConf
from hydra.core.utils import JobRuntime, run_job, setup_globals
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from deepdraw.evaluation import read_summary
from deepdraw.runtime import Preempted, interruptible, nearest_names, read_yaml
from deepdraw.sweep.record import read_sweep
from deepdraw.sweep.reports import Report, readable_report, write_report
from deepdraw.sweep.snapshot import check_code


def run(directory: Path, number: int, job_id: str, rank: int = 0) -> Any:
    """Run job `number` of the sweep in `directory` and return what its main returns, or raise what it raises.

    Rank 0 alone writes; a rank that fails first says so in `job.json`, where no later failure takes its place.
    """
    sweep = read_sweep(directory)
    (job,) = (job for job in sweep.jobs if job.number == number)
    task = Path(sweep.task)
    report = Report("RUNNING", job_id, socket.gethostname(), os.getpid(), started=_now())
    try:
        with interruptible():  # an import that Ctrl-C breaks is no failure of the job
            if rank == 0:
                write_report(job.directory, report)
            config = load_config(directory / "jobs" / f"{number}.yaml")
            os.chdir(config.hydra.runtime.cwd)
            check_code(task, sweep.code["digest"], sweep.code["packages"])
            if rank:
                config.hydra.output_subdir = None
            result = _run_main(_load_main(task), config)
    except Preempted:
        raise
    except BaseException as error:
        report_failure(job.directory, report, error, task)
        raise
    now = readable_report(job.directory) or report
    if rank == 0 and now.state == "RUNNING":  # no other rank has failed
        objective, missing = find_objective(job.directory, sweep.objective, result)
        ended = replace(report, state="COMPLETED", objective=objective, error=missing, ended=_now())
        write_report(job.directory, ended)
    return result


def find_objective(directory: Path, name: str, returned: Any) -> tuple[float | None, str]:
    """The metric `name` of a run's summary.json, or of a script that writes none what its main returned.

    None where that is no finite number; with it, in one line, what to choose where the run did not measure it.
    """
    metrics = {key: value for key, value in read_summary(directory).items() if "/" in key}
    value = metrics.get(name) if metrics else returned
    if metrics and value is None:
        near = nearest_names(name, metrics, 3) or [key for key in metrics if key.startswith("val/")][:3]
        return None, f"the run measured no {name}: choose hydra.launcher.objective={' or '.join(near)}"
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        return None, ""
    return float(value), ""


def load_config(file: Path) -> DictConfig:
    """A config that was composed and written at submission, its hydra node typed as Hydra asks."""
    typed = OmegaConf.create({"hydra": OmegaConf.structured(HydraConf)})
    with open_dict(typed.hydra):  # Hydra's own options have more keys than it
        config = OmegaConf.merge(typed, OmegaConf.create(read_yaml(file, fix="submit the sweep again")))
    assert isinstance(config, DictConfig)
    config.hydra.mode = RunMode.MULTIRUN
    OmegaConf.set_struct(config, True)
    return config


def _load_main(task: Path) -> Callable[[DictConfig], Any]:
    """The `main` of a script as it was given to `hydra.main`, without the decorators above that."""
    specification = importlib.util.spec_from_file_location(task.stem, task)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    main = module.main
    while Path(inspect.getfile(main.__code__)) != Path(hydra.main.__code__.co_filename):
        main = main.__wrapped__
    return main.__wrapped__  # type: ignore[no-any-return]


def _run_main(main: Callable[[DictConfig], Any], config: DictConfig) -> Any:
    setup_globals()
    JobRuntime.instance().set("name", config.hydra.job.name)
    context = HydraContext(config_loader=None, callbacks=Callbacks(config))  # type: ignore[arg-type]  # composed already
    done = run_job(main, config, "hydra.sweep.dir", "hydra.sweep.subdir", context)
    return done.return_value


def report_failure(directory: Path, report: Report, error: BaseException, task: Path) -> None:
    """Write that a job failed, or was stopped by Ctrl-C; nothing where this attempt has a failure already.

    task: the script, from whose own lines on the traceback is kept.
    """
    saved = readable_report(directory)
    if saved and saved.id == report.id and saved.state == "FAILED":
        return
    stopped = isinstance(error, KeyboardInterrupt) or (isinstance(error, SystemExit) and error.code == 130)
    frames = error.__traceback__
    while frames and frames.tb_frame.f_code.co_filename != str(task):  # Hydra's and submitit's own
        frames = frames.tb_next
    lines = traceback.format_exception(type(error), error, frames or error.__traceback__)
    said = traceback.format_exception_only(type(error), error)[-1].strip()
    ended = replace(report, state="STOPPED" if stopped else "FAILED", ended=_now(), error=said)
    write_report(directory, replace(ended, traceback="".join(lines)))


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")


if __name__ == "__main__":  # of hydra/launcher=local: SWEEP NUMBER ID
    signal.signal(signal.SIGINT, signal.default_int_handler)
    run(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
