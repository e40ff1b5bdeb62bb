"""The run directory: new by default, written by one process at a time, and never through a link."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from deepdraw.runtime.failures import failure_line
from deepdraw.runtime.files import check_writable
from deepdraw.runtime.hub import fetch_checkpoint, is_on_hub
from deepdraw.runtime.lock import DEAD_AFTER, HEARTBEAT, Lock
from deepdraw.runtime.parts import remove_parts
from deepdraw.runtime.paths import check_local, expand_home, possible_folder, suggest_path

FOLDERS = (".hydra", "checkpoints", "evaluations", "plots", "tensorboard", "wandb")  # of a run directory
OF_SWEEPS = ("code", "jobs", "logs")  # what a sweep keeps beside its runs
MOST_FOLDERS = 100_000  # that are looked into
POLL = 0.2  # seconds between two tries to take a lock
TAKEOVER_WAIT = DEAD_AFTER + 2 * HEARTBEAT  # seconds to wait for the lock of an owner that may be dead


@contextmanager
def sole_writer(run: Path) -> Iterator[None]:
    """Hold the lock of a run directory, in which one process trains at a time, and remove parts of killed processes.

    Raises ValueError, naming the owner and the fix, if another process holds the lock or a folder of the run is a link;
    OSError if the directory cannot be written.
    """
    check_writable(run)
    check_folders(run)
    lock = Lock(run / ".lock")
    if not _acquire(lock):
        raise ValueError(f"{lock.owner} is training in {run}: wait until it ends, or choose another hydra.run.dir")
    with lock:
        for folder in (run, *_folders(run)):
            remove_parts(folder)
        yield


@contextmanager
def results_writer(run: Path) -> Iterator[None]:
    """Wait for the lock on the results of a run and hold it. Training and evaluations write them one at a time."""
    lock, said = Lock(run / "evaluations" / ".lock"), False
    lock.path.parent.mkdir(parents=True, exist_ok=True)
    while not lock.acquire():
        if not said:
            print(f"waiting for {lock.owner}, which is writing the results of {run}")
        said = True
        time.sleep(POLL)
    with lock:
        yield


def check_folders(run: Path) -> None:
    """Raise ValueError if a folder of a run directory is a link: files written there would end up elsewhere."""
    for folder in _folders(run):
        if folder.is_symlink():
            raise ValueError(f"{folder} is a link to a place outside of the run: put a folder there, or remove it")


def _folders(run: Path) -> list[Path]:
    """The folders that a run and its evaluations write into. They need not exist."""
    evaluations = run / "evaluations"
    split_folders = [path for path in evaluations.iterdir() if not path.is_file()] if evaluations.is_dir() else []
    return [*(run / name for name in FOLDERS), *split_folders]


def _acquire(lock: Lock) -> bool:
    """Take the lock. Wait only if its owner is on another machine and may have died."""
    if lock.acquire():
        return True
    if lock.owner_runs_here:
        return False
    print(f"waiting up to {TAKEOVER_WAIT:.0f} s to see whether {lock.owner} still lives")
    end = time.monotonic() + TAKEOVER_WAIT
    while time.monotonic() < end:
        time.sleep(POLL)
        if lock.acquire():
            return True
    return False


class WritableDirectory(Callback):
    """Refuses an unwritable directory in one line, before Hydra fails there with a traceback."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Try to write in the directory of the run."""
        _check(Path(config.hydra.run.dir))

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Try to write in the directory of the sweep, after `~` in its path is expanded."""
        sweep = config.hydra.sweep
        try:
            possible_folder(sweep.dir, "hydra.sweep.dir=")
        except ValueError as error:
            sys.exit(f"error: {failure_line(error)}")
        if sweep.dir.startswith("~"):
            with read_write(config):
                sweep.dir = expand_home(sweep.dir)
        _check(Path(sweep.dir))


class NewDirectory(WritableDirectory):
    """Also gives each run its own directory if the default name, which is the time, is taken.

    If two runs start in the same second, the second one gets `<directory>_2`. A directory that was chosen by
    `hydra.run.dir=` is used as it is, because a run may be resumed there.
    """

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Make the directory before Hydra does, and tell Hydra its name."""
        try:
            with suppress(OSError), read_write(config), open_dict(config):
                config.hydra.run.dir = str(choose_directory(config))
        except ValueError as error:
            sys.exit(f"error: {failure_line(error)}")
        super().on_run_start(config)


_made: dict[Path, Path] = {}  # run directories that this process made, and the highest folder that was made for each
UNUSED = ("config.yaml", "metrics.json", "plots/data.png")  # what a run writes before its first step


def _remember(directory: Path) -> None:
    """Remember what has to be made for a directory that is not there yet."""
    folder = directory.absolute()
    if missing := [one for one in (folder, *folder.parents) if not one.exists()]:
        _made[folder] = missing[-1]


@contextmanager
def removed_unless_used(run: Path) -> Iterator[None]:
    """Remove a run directory that was made for this run, if the block fails before the first step: nothing is lost."""
    _remember(run)
    try:
        yield
    except BaseException:
        folder = run.absolute()
        if (highest := _made.pop(folder, None)) and not _is_used(folder):
            shutil.rmtree(folder, ignore_errors=True)
            for parent in folder.parents:
                if parent == highest.parent or any(parent.iterdir()):
                    break
                parent.rmdir()
        raise


def _is_used(run: Path) -> bool:
    """Whether a run directory holds more than is written before the first step."""
    files = [path.relative_to(run).as_posix() for path in run.rglob("*") if not path.is_dir() or path.is_symlink()]
    return any(not (name in UNUSED or name.startswith((".hydra/", ".lock"))) for name in files)


def choose_directory(config: DictConfig) -> Path:
    """The directory of the run of a config with Hydra's own part: as `NewDirectory` says. May raise OSError."""
    run = config.hydra.run
    asked_for = any(override.startswith("hydra.run.dir=") for override in config.hydra.overrides.hydra)
    _remember(possible_folder(run.dir, "hydra.run.dir="))
    if asked_for or "${now:" not in OmegaConf.to_container(run, resolve=False)["dir"]:  # type: ignore[call-overload,index]
        return possible_folder(run.dir, "hydra.run.dir=")
    return _make_new(possible_folder(run.dir, "hydra.run.dir="))


def find_below(root: Path, is_run: Callable[[Sequence[str], Sequence[str]], bool]) -> Iterator[Path]:
    """The folders in `root` and below it, by path, that are runs by the names of their files and folders.

    Neither links nor hidden folders are followed, nor what a sweep keeps beside its runs, nor the inside of a run.
    Raises ValueError, in one line, where there are too many folders to look into.
    """
    for number, (folder, folders, files) in enumerate(os.walk(root)):
        if number == MOST_FOLDERS:
            raise ValueError(f"{root} has more than {MOST_FOLDERS:,} folders: give the one that holds the runs")
        if is_run(files, folders):
            folders.clear()
            yield Path(folder)
        beside = OF_SWEEPS if "sweep.json" in files else ()
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in beside)


def best_checkpoint(run_or_checkpoint: str | os.PathLike[str], key: str = "ckpt=") -> Path:
    """The checkpoint that is meant: the `best.pt` of a run where its directory is given, else the file itself.

    Of a repository, hf-hub:OWNER/NAME, it is the copy on this machine, which is fetched where there is none. key: of
    the option that named it, for messages.
    """
    if is_on_hub(run_or_checkpoint):
        return fetch_checkpoint(os.fspath(run_or_checkpoint), key)
    check_local(run_or_checkpoint, key)
    path = Path(expand_home(os.fspath(run_or_checkpoint)))
    return path / "checkpoints" / "best.pt" if path.is_dir() else path


def existing_checkpoint(run_or_checkpoint: str | os.PathLike[str]) -> Path:
    """The checkpoint that is meant, as `best_checkpoint`. Raises ValueError, in one line, where there is none."""
    given, path = os.fspath(run_or_checkpoint), best_checkpoint(run_or_checkpoint)
    if not given:
        raise ValueError("ckpt= names no checkpoint: give ckpt=RUN, a run directory of train.py or a checkpoint in it")
    if not path.is_file():
        fix = suggest_path(path) or "correct the path, or put the run's own file back"
        raise ValueError(f"there is no checkpoint {path}: {fix}")
    return path


def _make_new(directory: Path) -> Path:
    """Create a new directory with this name, or with a number appended if the name is taken."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    for number in count(1):
        made = directory.with_name(f"{directory.name}_{number}") if number > 1 else directory
        with suppress(FileExistsError):
            made.mkdir()
            _made.setdefault(made.absolute(), made.absolute())
            return made
    raise AssertionError("numbers do not end")


def _check(directory: Path) -> None:
    try:
        check_writable(directory)
    except OSError as error:
        sys.exit(f"error: {failure_line(error)}")
