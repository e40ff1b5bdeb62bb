"""The command that puts runs side by side (`python -m deepdraw.compare RUN RUN`)."""

from __future__ import annotations

if __name__ == "__main__":
    import deepdraw.runtime.startup  # noqa: F401  # Ctrl-C ends the imports below without a traceback, too

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deepdraw.config import EVALUATED, check_split
from deepdraw.runtime import fold_name, is_on_hub, run_command, shown, suggest_path, typed

USAGE = "python -m deepdraw.compare RUN RUN ... | SWEEP | ls [DIR] | best [DIR] | leaderboard DIR [key=value ...]"
UNCHANGED = "interrupted; nothing was written that is not whole"


@dataclass
class Options:
    """What the command accepts beside run directories, each as key=value."""

    split: str = field(default="test", metadata={"help": "what the runs were evaluated on"})
    metric: str | None = field(
        default=None,
        metadata={
            "help": "what puts them in order, as top5, loss or text_top1; default: of a sweep its objective, else the "
            "harmonic mean where all have one, else top-1"
        },
    )
    out: str | None = field(
        default=None,
        metadata={"help": "directory to write comparison.md, comparison.csv and comparison.html into; default: none"},
    )


def run(directories: Sequence[Path], options: Options) -> None:
    """Print the table of the runs in `directories`, and write it if asked to. Raises ValueError for bad input.

    Of one sweep whose runs were evaluated on unseen classes, the leaderboard follows.
    """
    _check(directories, options.split)
    from deepdraw.compare.comparison import compare  # heavy imports wait until --help has answered
    from deepdraw.compare.forms import print_runs, to_csv, to_html, to_markdown
    from deepdraw.compare.leaderboard import Options as Leaderboard
    from deepdraw.compare.leaderboard import show_leaderboard
    from deepdraw.compare.order import read_objective
    from deepdraw.compare.runs import find_runs
    from deepdraw.runtime import check_writable, write_text

    if options.out is not None:
        check_writable(Path(options.out))
    finished, unfinished = [], []
    for directory in directories:
        runs, others = find_runs(directory)
        finished += runs
        unfinished += others
    if unfinished:
        print(f"left out, as they have no results yet: {', '.join(map(shown, unfinished))}")
    is_whole_sweep = len(directories) == 1 and options.metric is None
    objective = read_objective(directories[0]) if is_whole_sweep else None
    comparison = compare(finished, options.split, options.metric, objective)
    print_runs(comparison)
    if len(directories) == 1 and options.split == "test" and any(map(_has_unseen, finished)):
        show_leaderboard(directories[0], Leaderboard())
    if options.out is not None:
        for ending, form in (("md", to_markdown), ("csv", to_csv), ("html", to_html)):
            write_text(Path(options.out) / f"comparison.{ending}", form(comparison))
        print(f"written to {shown(Path(options.out) / 'comparison.{md,csv,html}')}")


def _check(directories: Sequence[Path], split: str) -> None:
    """Refuse in one line, before torch is imported, paths that are no directories and a misspelt split."""
    for directory in directories:
        if is_on_hub(directory):
            again = typed("python", "evaluate.py", f"ckpt={directory}", f"split={split}", "out=DIR")
            raise ValueError(shown(f"{directory} is a checkpoint without results: run `{again}`, and compare DIR"))
        if not directory.is_dir():
            fix = suggest_path(directory) or "give a directory with a config.yaml, or one above"
            raise ValueError(shown(f"{directory} is neither a run nor a sweep: {fix}"))
    if fold_name(split) in EVALUATED:  # another name may be that of a folder
        check_split("split", split)


def _has_unseen(run: Path) -> bool:
    """Whether a run was evaluated on unseen classes, which a leaderboard shows beside test."""
    return any((run / f"evaluations/{split}.json").is_file() for split in ("zeroshot", "generalized"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; bad input ends it with one line."""
    paths: list[str] = []
    options: list[str] = []
    for argument in sys.argv[1:] if arguments is None else arguments:
        is_option = argument in ("-h", "--help") or ("=" in argument and not Path(argument).is_dir())
        (options if is_option else paths).append(argument)  # a sweep's directories may be called lr=0.1
    if paths and paths[0] in ("ls", "best"):  # a directory of this name is given as ./ls
        return _registry(paths[0], paths[1:], options)
    if paths and paths[0] == "leaderboard":
        return _leaderboard(paths[1:], options)
    return run_command(
        Options, USAGE, lambda chosen: run([Path(path) for path in paths], chosen), options, interrupted=UNCHANGED
    )


def _leaderboard(paths: Sequence[str], options: Sequence[str]) -> int:
    """Rank the encoders of a sweep."""
    from deepdraw.compare import leaderboard

    def show(chosen: leaderboard.Options) -> None:
        if len(paths) != 1:
            raise ValueError(f"leaderboard takes one directory, and not {len(paths)}: give that of the sweep")
        leaderboard.show_leaderboard(Path(paths[0]), chosen)

    line = "python -m deepdraw.compare leaderboard DIR [out=DIR]"
    return run_command(leaderboard.Options, line, show, options, interrupted=UNCHANGED)


def _registry(what: str, paths: Sequence[str], options: Sequence[str]) -> int:
    """List all runs below a directory, or the best of them."""
    from deepdraw.compare import registry

    def show(chosen: registry.Options) -> None:
        if len(paths) > 1:
            raise ValueError(f"{what} takes one directory, and not {len(paths)}: give the one above them")
        (registry.list_runs if what == "ls" else registry.show_best)(Path(*paths), chosen)

    line = f"python -m deepdraw.compare {what} [DIR] [key=value ...]"
    return run_command(registry.Options, line, show, options, interrupted=UNCHANGED)


if __name__ == "__main__":
    sys.exit(main())
