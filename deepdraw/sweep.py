"""Look after a sweep, from any machine that sees its directory: `python -m deepdraw.sweep status DIR`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from deepdraw.runtime import processes, results, slurm
from deepdraw.runtime.sweeps import JobState, Sweep, read_sweep, states, write_sweep


def status(sweep: Sweep, settings: Sequence[str]) -> int:
    """print a table of the jobs: state, epoch, latest value, images/s, log"""
    jobs = states(sweep)
    results.print_table(sweep, jobs)
    counts = {state: sum(job.state == state for job in jobs) for state in dict.fromkeys(job.state for job in jobs)}
    print(", ".join(f"{number} {state}" for state, number in counts.items()))
    return 0


def collect(sweep: Sweep, settings: Sequence[str]) -> int:
    """print the results, write them to results.csv and results.png; status 1 where a job has no good one"""
    from deepdraw.evaluation.sweep_plot import plot_comparison

    jobs = results.conclude(sweep.directory)
    good = [job for job in jobs if job.is_good and job.metric is not None]
    if good:
        out = sweep.directory / "results.png"
        plot_comparison(sweep.swept, [job.values(sweep.swept) for job in good], _metrics(good), sweep.objective, out)
        print(f"picture: {out}")
    return int(not all(job.is_good for job in jobs))


def resume(sweep: Sweep, settings: Sequence[str]) -> int:
    """run again, in the same directories and from the same code and config, the jobs that have no good result"""
    from omegaconf import OmegaConf

    jobs = states(sweep)
    if alive := [job for job in jobs if job.is_alive]:
        raise ValueError(f"{_list(alive)} of {sweep.directory} still run or wait: let them end, or cancel them first")
    bad = {job.number for job in jobs if not job.is_good}
    again = [job for job in sweep.jobs if job.number in bad]
    if not again:
        print(f"all {len(jobs)} jobs have their result: python -m deepdraw.sweep collect {sweep.directory}")
        return 0
    config = OmegaConf.load(sweep.directory / "jobs" / f"{again[0].number}.yaml")
    changes = OmegaConf.from_dotlist(list(settings))
    if unknown := [str(key) for key in changes if key not in config.hydra.launcher]:
        known = ", ".join(str(key) for key in config.hydra.launcher if key != "_target_")
        raise ValueError(f"{unknown[0]} is no setting of this launcher: choose {known}")
    parameters = OmegaConf.merge(config.hydra.launcher, changes)
    if sweep.launcher == "local":
        from deepdraw.runtime import local

        undisturbed = local.run_jobs(sweep, again, n_jobs=parameters.n_jobs, threads=parameters.threads)
        bad = {job.number for job in results.conclude(sweep.directory) if not job.is_good}
        return 130 if not undisturbed else int(bool(bad))
    plain = OmegaConf.to_container(parameters, resolve=True)
    assert isinstance(plain, dict)
    ids = slurm.submit(sweep.directory, again, {str(key): value for key, value in plain.items()})
    again = [replace(job, ids=[*job.ids, new]) for job, new in zip(again, ids, strict=True)]
    write_sweep(sweep.directory, sweep.launcher, sweep.objective, again)
    print(f"submitted {len(again)} jobs again ({ids[0]} to {ids[-1]})")
    print(f"    python -m deepdraw.sweep status {sweep.directory}")
    return 0


def cancel(sweep: Sweep, settings: Sequence[str]) -> int:
    """end what runs and waits; local jobs save first, and all can be resumed"""
    alive = [job for job in states(sweep) if job.is_alive]
    ids = {job.number: job.ids[-1] for job in sweep.jobs if job.ids}
    if sweep.launcher == "local":
        processes.interrupt(sweep.directory, [job.directory for job in alive])
    else:
        slurm.cancel([ids[job.number] for job in alive if job.number in ids])
    print(f"cancelled {_list(alive)}" if alive else "nothing runs or waits")
    return 0


def _list(jobs: Sequence[JobState]) -> str:
    numbers = ", ".join(str(job.number) for job in jobs[:8])
    return f"job{'s' * (len(jobs) > 1)} {numbers}" + (f" and {len(jobs) - 8} more" if len(jobs) > 8 else "")


def _metrics(jobs: Sequence[JobState]) -> list[float]:
    return [job.metric for job in jobs if job.metric is not None]


COMMANDS = {command.__name__: command for command in (status, collect, resume, cancel)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the commands; bad input gets one line and the exit status 1."""
    parser = argparse.ArgumentParser(prog="python -m deepdraw.sweep", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        about = command.__doc__ or ""
        command_parser = commands.add_parser(name, help=about, description=about)
        command_parser.add_argument("directory", type=Path, metavar="DIR", help="of the sweep, as its launcher said")
        if command is resume:
            command_parser.add_argument(
                "settings", nargs="*", metavar="KEY=VALUE", help="of the launcher, to be changed: mem_gb=64"
            )
    chosen = parser.parse_args(arguments)
    try:
        return COMMANDS[chosen.command](read_sweep(chosen.directory), getattr(chosen, "settings", []))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
