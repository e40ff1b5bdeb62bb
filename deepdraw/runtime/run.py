"""The run directory: refused to another config, resumed by its own, summed up at the end."""

from __future__ import annotations

import functools
import os
import platform
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import version
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar

from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, MissingMandatoryValue, OmegaConf, open_dict, read_write

from deepdraw.runtime.failures import drop_stdout_that_fails, failure_line, keeps_tracebacks
from deepdraw.runtime.files import check_writable, remove_parts, write_text
from deepdraw.runtime.lock import BEAT, SILENCE, Lock
from deepdraw.runtime.signals import interruptible
from deepdraw.runtime.snapshot import git_commit

if TYPE_CHECKING:
    from torch import nn

# do not change the result, but for rounding
FREE = ("train.log_every", "train.checkpoint_every", "data.num_workers", "features.dir", "logger", "slurm")
FOLDERS = (".hydra", "checkpoints", "evaluations", "plots", "tensorboard", "wandb")  # of a run directory
POLL = 0.2  # seconds between two tries to take a lock
PATIENCE = SILENCE + 2 * BEAT  # seconds after which a dead owner's lock is sure to have been taken over
LIBRARIES = (
    "deepdraw",
    "torch",
    "torchvision",
    "timm",
    "open_clip_torch",
    "hydra-core",
    "numpy",
    "opencv-python-headless",
)

Result = TypeVar("Result")


def one_directory(main: Callable[[], None]) -> Callable[[], None]:
    """Of the processes that torchrun starts, let the first alone have a directory from Hydra."""

    @functools.wraps(main)
    def wrapped() -> None:
        if os.environ.get("RANK", "0") == "0":
            return main()
        with TemporaryDirectory() as aside:
            sys.argv += [f"hydra.run.dir={aside}", f"hydra.sweep.dir={aside}", "hydra.output_subdir=null"]
            return main()

    return wrapped


def run_directory() -> Path:
    """The directory that Hydra chose for this job."""
    return Path(HydraConfig.get().runtime.output_dir)


def _make_new(directory: Path) -> Path:
    """Make a directory that was not there, under this name or one with a number behind it."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    for number in count(1):
        made = directory.with_name(f"{directory.name}_{number}") if number > 1 else directory
        with suppress(FileExistsError):
            made.mkdir()
            return made
    raise AssertionError("numbers do not end")


@contextmanager
def sole_writer(run: Path) -> Iterator[None]:
    """Hold the lock of a run directory, in which one process trains at a time, and remove what killed ones left there.

    Raises ValueError, naming the owner and the fix, where another process has it, and where a folder of the run is a
    link; OSError where the directory cannot be written.
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
    """Wait for the lock on the results of a run, which training and evaluations write by turns, and hold it."""
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
    """Raise ValueError where a folder of a run directory is a link: what is written there would lie elsewhere."""
    for folder in _folders(run):
        if folder.is_symlink():
            raise ValueError(f"{folder} is a link to a place outside of the run: put a folder there, or remove it")


def _folders(run: Path) -> list[Path]:
    """The folders that a run and its evaluations write into, whether they are there or not."""
    evaluations = run / "evaluations"
    of_splits = [path for path in evaluations.iterdir() if not path.is_file()] if evaluations.is_dir() else []
    return [*(run / name for name in FOLDERS), *of_splits]


def _acquire(lock: Lock) -> bool:
    """Take the lock, waiting only where its owner is on another machine and may have died."""
    if lock.acquire():
        return True
    if lock.owner.endswith(f" on {socket.gethostname()}"):
        return False
    print(f"waiting up to {PATIENCE:.0f} s to see whether {lock.owner} still lives")
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        time.sleep(POLL)
        if lock.acquire():
            return True
    return False


def open_run(
    directory: Path, config: DictConfig, former: Mapping[str, Any] | None, write: bool = True
) -> dict[str, Any]:
    """Write `<run>/config.yaml`, unless another rank does, and return the config resolved to plain values.

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
    if write:
        write_text(directory / "config.yaml", OmegaConf.to_yaml(OmegaConf.create(resolved)))
        if HydraConfig.initialized():  # what Hydra itself would write, but in place
            hydra = OmegaConf.create({"hydra": HydraConfig.get()})
            for name, part in {"config": config, "hydra": hydra, "overrides": hydra.hydra.overrides.task}.items():
                write_text(directory / ".hydra" / f"{name}.yaml", OmegaConf.to_yaml(part))
    return {str(key): value for key, value in resolved.items()}


def _differences(former: Any, now: Any, path: str = "") -> Iterator[str]:
    if any(path == key or path.startswith(f"{key}.") for key in FREE):
        return
    if isinstance(former, Mapping) and isinstance(now, Mapping):
        for key in [*former, *(key for key in now if key not in former)]:
            yield from _differences(former.get(key), now.get(key), f"{path}.{key}" if path else str(key))
    elif former != now:
        yield f"{path}: {former} there, {now} here"


def describe_run(config: DictConfig, model: nn.Module) -> dict[str, Any]:
    """What the summary says beside the metrics: sizes, seed, device, versions and git commit."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "trainable_parameters": sum(parameter.numel() for parameter in trained),
        "seed": config.seed,
        "device": str(next(model.parameters()).device),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}},
        "git_commit": git_commit(),
    }


def one_line_errors(main: Callable[[DictConfig], Result]) -> Callable[[DictConfig], Result]:
    """Show bad input and what the machine refuses as one line; HYDRA_FULL_ERROR=1 and sweeps keep the traceback."""
    return ends_in_one_line(lambda *_: f"stopped; {_way_back()} goes on from its last checkpoint")(main)


def ends_in_one_line(interrupted: Callable[[DictConfig, float], str]) -> Callable[..., Callable[[DictConfig], Any]]:
    """As `one_line_errors`; after Ctrl-C `interrupted` says, of the config and the time of the start, what is left."""

    def decorate(main: Callable[[DictConfig], Any]) -> Callable[[DictConfig], Any]:
        @functools.wraps(main)
        def wrapped(config: DictConfig) -> Any:
            start = time.time()
            try:
                with interruptible():
                    result = main(config)
                    sys.stdout.flush()
                    return result
            except KeyboardInterrupt:
                print(interrupted(config, start))
                sys.exit(130)
            except (Exception, SystemExit) as error:
                line = _line_for(error)
                sweeping = HydraConfig.get().mode == RunMode.MULTIRUN
                if sweeping or keeps_tracebacks() or line is None:
                    raise
                drop_stdout_that_fails()
                sys.exit(f"error: {line}")

        return wrapped

    return decorate


def evaluation_left(config: DictConfig, since: float) -> str:
    """What an evaluation that was interrupted has written since then, a time in seconds."""
    run = Path(config.ckpt).parent.parent
    files = [*(run / "evaluations").rglob("*"), run / "report.html"]
    written = [str(file) for file in files if file.is_file() and file.stat().st_mtime >= since]
    return f"interrupted: {', '.join(sorted(written)) or 'nothing'} was written; the same command starts anew"


def _way_back() -> str:
    """What to type for a run that was stopped, alone or as a job of a sweep."""
    hydra = HydraConfig.get()
    if hydra.mode == RunMode.MULTIRUN and (Path(hydra.sweep.dir) / "sweep.json").exists():
        return f"`python -m deepdraw.sweep resume {hydra.sweep.dir}`"
    return f"the same command with hydra.run.dir={run_directory()}"


def _line_for(error: BaseException | None) -> str | None:
    """What to say of bad input or of the machine; None where the fault is the code's."""
    if isinstance(error, InstantiationException):
        error = error.__cause__
    if isinstance(error, MissingMandatoryValue):
        return f"{error.full_key} is missing: give {error.full_key}=..."
    return failure_line(error)


class WritableDirectory(Callback):
    """Refuses, in one line, a directory that cannot be written, before Hydra fails there with a traceback."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Try the directory of a run."""
        _check(Path(config.hydra.run.dir))

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Try the directory of a sweep."""
        _check(Path(config.hydra.sweep.dir))


class NewDirectory(WritableDirectory):
    """Gives each run a directory of its own, too, where the default one is named after the time.

    Of two runs that start in the same second the second gets `<directory>_2`. A directory that was asked for by
    `hydra.run.dir=` is left as it is: a run may go on there.
    """

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Make the directory before Hydra does, and tell Hydra its name."""
        run = config.hydra.run
        asked_for = any(override.startswith("hydra.run.dir=") for override in config.hydra.overrides.hydra)
        if not asked_for and "${now:" in OmegaConf.to_container(run, resolve=False)["dir"]:  # type: ignore[call-overload,index]
            with suppress(OSError), read_write(config), open_dict(config):
                run.dir = str(_make_new(Path(run.dir)))
        super().on_run_start(config)


def _check(directory: Path) -> None:
    try:
        check_writable(directory)
    except OSError as error:
        sys.exit(f"error: {failure_line(error)}")
