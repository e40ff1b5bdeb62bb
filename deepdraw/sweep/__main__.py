"""Look after a sweep, from any machine that sees its directory: status, collect, resume or cancel DIR."""

from __future__ import annotations

if __name__ == "__main__":
    import deepdraw.runtime.startup  # noqa: F401  # Ctrl-C ends the imports below without a traceback, too

import argparse
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from deepdraw.runtime import (
    as_called,
    did_you_mean,
    failure_line,
    read_yaml,
    run_main,
    shown,
    sweep_command,
    sweep_end,
)
from deepdraw.sweep.backends import BACKENDS, states
from deepdraw.sweep.job_state import JobState
from deepdraw.sweep.record import Job, Sweep, is_own, read_sweep
from deepdraw.sweep.reports import readable_report
from deepdraw.sweep.signature import forget_compiled
from deepdraw.sweep.table import print_table, report_results
from deepdraw.sweep.unrecorded import LAUNCHER, read_unrecorded, resume_line


def status(sweep: Sweep, chosen: argparse.Namespace) -> int:
    """print a table of the jobs: state, epoch, latest value, images/s, log"""
    jobs = states(sweep)
    print_table(sweep, jobs)
    counts = {state: sum(job.state == state for job in jobs) for state in dict.fromkeys(job.state for job in jobs)}
    print(", ".join(f"{number} {state}" for state, number in counts.items()))
    return 0


def collect(sweep: Sweep, chosen: argparse.Namespace) -> int:
    """print the results, write them to results.csv and results.png; exit status 1 if a job has no result"""
    from deepdraw.sweep.plot import plot_comparison

    jobs = states(sweep)
    report_results(sweep, jobs)
    good = [job for job in jobs if job.is_good and job.metric is not None]
    if good:
        out = sweep.directory / "results.png"
        settings = [job.values(sweep.swept) for job in good]
        metrics = [job.metric for job in good if job.metric is not None]
        plot_comparison(sweep.swept, settings, metrics, sweep.objective, out, is_lower_better=sweep.lower_is_better)
        print(f"picture: {out}")
    return int(not all(job.is_good for job in jobs))


def resume(sweep: Sweep, chosen: argparse.Namespace) -> int:
    """run again, in the same directories and from the same code and config, the jobs that have no good result"""
    if sweep.launcher == LAUNCHER:
        raise ValueError(f"{sweep.directory} is of one of Hydra's own launchers: {resume_line(sweep.directory)}")
    jobs = states(sweep)
    if alive := [job for job in jobs if job.is_alive]:
        raise ValueError(f"{_list(alive)} of {sweep.directory} still run or wait: let them end, or cancel them first")
    bad = {job.number for job in jobs if not job.is_good}
    again = [job for job in sweep.jobs if job.number in bad]
    if not again:
        print(f"all {len(jobs)} jobs have their result: {sweep_command('collect', sweep.directory)}")
        return 0
    code = sweep.directory / "code"
    if not chosen.trust and not is_own(sweep.directory):
        raise ValueError(
            f"{sweep.directory} was not launched by you, or has been changed since, and resuming it runs {sweep.task} "
            f"and what else lies in {code} and {code.with_name('jobs')}: look through them, then give --trust"
        )
    parameters = _parameters(sweep, again[0], chosen.settings)
    print(shown(f"running {sweep.task}, by the code in {code if code.is_dir() else 'this deepdraw'}"), flush=True)
    forget_compiled(sweep.directory)
    progress = BACKENDS[sweep.launcher].submit(sweep, again, parameters)
    if progress == "submitted":
        return 0
    sweep = read_sweep(sweep.directory)
    ended = states(sweep)
    report_results(sweep, ended)
    return int(not all(job.is_good for job in ended)) if progress == "ended" else 130


def _parameters(sweep: Sweep, job: Job, settings: Sequence[str]) -> Mapping[str, Any]:
    """The parameters of the launcher as the job's config has them, changed by settings such as mem_gb=64."""
    from omegaconf import DictConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    file = sweep.directory / "jobs" / f"{job.number}.yaml"
    config = OmegaConf.create(read_yaml(file, fix="submit the sweep again"))
    launcher = OmegaConf.select(config, "hydra.launcher")
    if not isinstance(launcher, DictConfig):
        raise ValueError(f"{file} has no hydra.launcher: submit the sweep again")
    try:
        if bare := [setting for setting in settings if "=" not in setting]:
            raise ValueError(f"{bare[0]} has no value: write {bare[0]}=...")
        changes = OmegaConf.from_dotlist(list(settings))
        if unknown := [str(key) for key in changes if key not in launcher]:
            known = ", ".join(str(key) for key in launcher if key != "_target_")
            raise ValueError(f"{unknown[0]} is no setting of this launcher: choose {known}")
        merged = OmegaConf.merge(launcher, changes)
        types = BACKENDS[sweep.launcher].parameter_types()
        OmegaConf.merge(OmegaConf.structured(types), merged)  # raises for a value of another type
        plain = OmegaConf.to_container(merged, resolve=True)
    except OmegaConfBaseException as error:
        raise ValueError(f"{error.full_key or file}: {str(error).splitlines()[0]}") from error
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def cancel(sweep: Sweep, chosen: argparse.Namespace) -> int:
    """end what runs and waits; local jobs save first, and all can be resumed"""
    if sweep.launcher == LAUNCHER:
        raise ValueError(f"{sweep.directory} is of one of Hydra's own launchers: press Ctrl-C where it runs")
    alive = [job for job in states(sweep) if job.is_alive]
    latest = {job.number: job.ids[-1] for job in sweep.jobs if job.ids}
    ids = [latest[job.number] for job in alive if job.number in latest]
    reports = {job.number: report for job in alive if (report := readable_report(job.directory))}
    advice = BACKENDS[sweep.launcher].cancel(sweep.directory, ids, reports)
    print(": ".join(filter(None, [f"cancelled {_list(alive)}", advice])) if alive else "nothing runs or waits")
    return 0


def _list(jobs: Sequence[JobState]) -> str:
    numbers = ", ".join(str(job.number) for job in jobs[:8])
    return f"job{'s' * (len(jobs) > 1)} {numbers}" + (f" and {len(jobs) - 8} more" if len(jobs) > 8 else "")


COMMANDS = {command.__name__: command for command in (status, collect, resume, cancel)}


class _Parser(argparse.ArgumentParser):
    """Refuses bad words in one line that shows how the command is written."""

    def error(self, message: str) -> NoReturn:
        if found := re.search(r"invalid choice: '(?P<word>[^']*)'", message):
            hint = did_you_mean(found["word"], COMMANDS)
            choose = hint or f"choose {', '.join(COMMANDS)}"
            message = f"there is no command {found['word']!r}: {choose}"
        usage = " ".join(self.format_usage().split()).replace(" [-h]", "")
        self.exit(2, shown(f"error: {message} ({usage})") + "\n")


def parser() -> argparse.ArgumentParser:
    """The parser of the command line: COMMAND DIR, and for resume [KEY=VALUE ...] [--trust]."""
    parser = _Parser(prog=as_called("python -m deepdraw.sweep"), description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        meaning = command.__doc__ or ""
        command_parser = commands.add_parser(name, help=meaning, description=meaning)
        command_parser.add_argument("directory", type=Path, metavar="DIR", help="of the sweep, as its launcher printed")
        if command is resume:
            command_parser.add_argument(
                "settings", nargs="*", metavar="KEY=VALUE", help="changed parameters of the launcher, as mem_gb=64"
            )
            command_parser.add_argument(
                "--trust", action="store_true", help="run the sweep though it was not launched by you, or was changed"
            )
    return parser


def run(chosen: argparse.Namespace) -> int:
    """Run the chosen command. Returns its exit status; for bad input 1, after one line."""
    with sweep_end(chosen.directory):
        try:
            return COMMANDS[chosen.command](_find_sweep(chosen.directory), chosen)
        except (ValueError, OSError) as error:
            print(f"error: {failure_line(error)}", file=sys.stderr)
            return 1


def _find_sweep(directory: Path) -> Sweep:
    """The sweep of a directory, as sweep.json records it, or of one of Hydra's own launchers."""
    if not os.path.lexists(directory / "sweep.json") and (found := read_unrecorded(directory)) is not None:
        return found
    return read_sweep(directory)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the commands; bad input gets one line and the exit status 1."""
    return run_main(parser().parse_args, run, arguments, interrupted="interrupted")


if __name__ == "__main__":
    sys.exit(main())
