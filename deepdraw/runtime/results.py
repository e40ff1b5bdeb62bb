"""Where results are written: into the directory of their own run, or a new one, and over nothing else's files."""

from __future__ import annotations

import errno
from pathlib import Path

from deepdraw.runtime.files import check_writable
from deepdraw.runtime.paths import possible_folder
from deepdraw.runtime.reading import read_yaml
from deepdraw.runtime.run_directory import check_folders

WRITTEN = ("config.yaml", "metrics.csv", "metrics.json", "report.html", "summary.json")  # what a run writes by name
OF_RUNS = {"backbone", "data", "head"}  # in the config.yaml of every run
OF_EVALUATIONS = {"config.yaml", "evaluations", "metrics.json", "report.html"}  # what an evaluation writes into `out`
REFUSED = (errno.EROFS, errno.EACCES, errno.EPERM)


def is_run_directory(directory: Path) -> bool:
    """Whether a directory holds the config.yaml of a run."""
    config = directory / "config.yaml"
    if not config.is_file():
        return False
    try:
        return read_yaml(config, fix="").keys() >= OF_RUNS
    except ValueError:
        return False


def check_no_others_files(run: Path) -> None:
    """Raise ValueError where training in a directory would replace files that are no run's."""
    others = [name for name in WRITTEN if (run / name).exists()]
    if others and not (run / "checkpoints").is_dir() and not is_run_directory(run):
        raise ValueError(
            f"{run} holds {others[0]}, which no run of deepdraw wrote, and training would replace it: "
            "choose another hydra.run.dir"
        )


def results_directory(checkpoint: Path, out: str | None) -> Path:
    """The directory that the results of a checkpoint are written into: `out`, or the run that it lies in.

    It is made and tried, before any work. Raises ValueError, in one line that says to give `out`, where the checkpoint
    lies in no run, the directory cannot be written, or `out` holds anything but results of an evaluation.
    """
    run = checkpoint.parent.parent
    directory = run if out is None else possible_folder(out, "out=")
    lies_in_run = checkpoint.parent.name == "checkpoints" and is_run_directory(run)
    if out is None and not lies_in_run:
        raise ValueError(f"{checkpoint} lies in no run directory: say by out=DIR where its results are written")
    is_its_run = lies_in_run and directory.resolve() == run.resolve()
    if not is_its_run and (other := _other_file(directory)) is not None:
        raise ValueError(f"out={directory} holds {other}, which no evaluation wrote: choose a new or empty directory")
    check_folders(directory)
    for folder in (directory, directory / "evaluations"):
        try:
            check_writable(folder)
        except OSError as error:
            if error.errno not in REFUSED:
                raise
            fix = "give out=DIR, a directory that you may write, for the results"
            raise ValueError(f"{folder}: {error.strerror}: {fix}") from error
    return directory


def _other_file(directory: Path) -> str | None:
    """The name of a file in a directory that no evaluation wrote; None where there is none."""
    names = sorted(path.name for path in directory.iterdir()) if directory.is_dir() else []
    others = [name for name in names if name not in OF_EVALUATIONS]
    if others or not names or "evaluations" in names:
        return others[0] if others else None
    return names[0]  # such as a report.html of something else
