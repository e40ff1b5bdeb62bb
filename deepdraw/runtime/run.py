"""The start and the end of a command of Hydra: its run directory, its summary, its one-line errors."""

from __future__ import annotations

import copy
import functools
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.types import RunMode
from omegaconf import DictConfig, MissingMandatoryValue, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from deepdraw.runtime.code import git_commit, library_versions
from deepdraw.runtime.display import typed
from deepdraw.runtime.failures import drop_stdout_that_fails, failure_line, keeps_tracebacks
from deepdraw.runtime.files import write_text
from deepdraw.runtime.options import one_line_end
from deepdraw.runtime.paths import expand_home
from deepdraw.runtime.rank import find_rank
from deepdraw.runtime.signals import interruptible

if TYPE_CHECKING:
    from torch import nn

# Keys that may differ when a run is resumed: they do not change the result, except for rounding.
MAY_DIFFER = (
    "train.log_every",
    "train.checkpoint_every",
    "data.num_workers",
    "features.dir",
    "metric",
    "logger",
    "evaluate",
    "slurm",
)

Result = TypeVar("Result")


def run_directory_for_rank0_only(main: Callable[[], None]) -> Callable[[], None]:
    """Let Hydra create a run directory only for rank 0 of several processes. Raises ValueError for a sweep of such."""

    @functools.wraps(main)
    def wrapped() -> None:
        rank = find_rank()
        if rank.size > 1 and not {"-m", "--multirun"}.isdisjoint(sys.argv):
            raise ValueError(
                f"-m starts the jobs of a sweep from one process, and this is rank {rank.number} of {rank.size}: start "
                "it without torchrun or srun; hydra/launcher=slurm hydra.launcher.tasks_per_node=2 gives each job ranks"
            )
        if rank.is_first:
            return main()
        from tempfile import TemporaryDirectory  # only ranks need it: the others start faster without

        with TemporaryDirectory() as aside:
            sys.argv += [f"hydra.run.dir={aside}", f"hydra.sweep.dir={aside}", "hydra.output_subdir=null"]
            return main()

    return wrapped


def hydra_run_directory() -> Path:
    """The directory that Hydra chose for this job."""
    return Path(HydraConfig.get().runtime.output_dir)


@contextmanager
def hydra_config(config: DictConfig, directory: Path) -> Iterator[DictConfig]:
    """Yield a config without Hydra's own part, which HydraConfig has meanwhile, as for a run in `directory`."""
    with read_write(config.hydra), open_dict(config.hydra):
        config.hydra.run.dir = str(directory)
        config.hydra.runtime.output_dir = str(directory.absolute())
    task = copy.deepcopy(config)
    with read_write(task), open_dict(task):
        del task["hydra"]
    before = HydraConfig.instance().cfg
    HydraConfig.instance().set_config(config)
    try:
        yield task
    finally:
        HydraConfig.instance().cfg = before


@contextmanager
def one_line_values() -> Iterator[None]:
    """Raise ValueError, in one line, for what Hydra and OmegaConf refuse by exceptions of their own."""
    try:
        yield
    except (InstantiationException, OmegaConfBaseException) as error:
        if (line := _line_for(error)) is None:
            raise
        raise ValueError(line) from error


def open_run(
    directory: Path,
    config: DictConfig,
    saved: Mapping[str, Any] | None,
    write: bool = True,
    *,
    data_may_move: bool = False,
) -> dict[str, Any]:
    """Write `<run>/config.yaml` (if `write`) and return the config resolved to plain values.

    saved: the config of the run that the directory already holds, or None; data_may_move: whether the caller compares
    the drawings themselves, so that they may lie at another place. Raises ValueError, naming the keys and writing
    nothing, if the two configs differ in a key that changes the result. Two ways to write a path are no difference.
    """
    resolved = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    assert isinstance(resolved, dict)
    if saved is not None and (differing := dict(_differences(saved, resolved, data_may_move=data_may_move))):
        keys = "; ".join(f"{key}: {there} there, {here} here" for key, (there, here) in differing.items())
        raise ValueError(
            f"{directory} holds a run of another config ({keys}): {_how_to_go_on(directory, differing)}"
            "repeat its settings to resume it, or choose another hydra.run.dir"
        )
    if write:
        write_config(directory, config)
    return {str(key): value for key, value in resolved.items()}


def write_config(directory: Path, config: DictConfig) -> None:
    """Write `<run>/config.yaml`, resolved, and what Hydra writes of it into `.hydra/`, as whole files."""
    resolved = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    write_text(directory / "config.yaml", OmegaConf.to_yaml(OmegaConf.create(resolved)))
    if HydraConfig.initialized():  # Hydra writes these files too, but does not replace them as whole files
        hydra = OmegaConf.create({"hydra": HydraConfig.get()})
        for name, part in {"config": config, "hydra": hydra, "overrides": hydra.hydra.overrides.task}.items():
            write_text(directory / ".hydra" / f"{name}.yaml", OmegaConf.to_yaml(part))


def _differences(saved: Any, now: Any, path: str = "", *, data_may_move: bool) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """The keys that change the result and differ, with the value of each there and here."""
    if any(path == key or path.startswith(f"{key}.") for key in (*MAY_DIFFER, "device")):
        return
    if isinstance(saved, Mapping) and isinstance(now, Mapping):
        for key in [*saved, *(key for key in now if key not in saved)]:
            below = f"{path}.{key}" if path else str(key)
            yield from _differences(saved.get(key), now.get(key), below, data_may_move=data_may_move)
    elif saved != now and not _is_same_place(path, saved, now, data_may_move=data_may_move):
        yield path, (saved, now)


def _is_same_place(path: str, saved: Any, now: Any, *, data_may_move: bool) -> bool:
    """Whether two texts name one place, or two at which the drawings of a run may lie."""
    if not (isinstance(saved, str) and isinstance(now, str)):
        return False
    *groups, name = path.split(".")
    if data_may_move and groups[:1] == ["data"] and (name in ("root", "file") or (os.sep in saved and os.sep in now)):
        return True
    there, here = (Path(expand_home(place)) for place in (saved, now))
    with suppress(OSError, ValueError):  # such as a text that is too long for a path
        return there.exists() and here.exists() and there.samefile(here)
    return False


def _how_to_go_on(directory: Path, differing: Mapping[str, tuple[Any, Any]]) -> str:
    """How a run is trained for longer, where nothing else is asked for: it is no continuation of the shorter one."""
    there, here = differing.get("train.epochs", (None, None))
    if len(differing) > 1 or not (isinstance(there, int) and isinstance(here, int) and here > there):
        return ""
    word = typed(f"backbone.pretrained={directory}")
    return (
        "learning rates are planned over all epochs, so a longer training is another run; "
        f"{word} with another hydra.run.dir starts one from its weights; "
    )


def describe_run(config: Mapping[str, Any], model: nn.Module) -> dict[str, Any]:
    """The part of the summary that is known before training: sizes, seed, device, versions, git commit and command."""
    import platform  # slow to import, and --help does not need it

    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "trainable_parameters": sum(parameter.numel() for parameter in trained),
        "seed": config["seed"],
        "device": str(next(model.parameters()).device),
        "versions": {"python": platform.python_version(), **library_versions()},
        "git_commit": git_commit(),
        **({"command": command("train.py")} if HydraConfig.initialized() else {}),
    }


def one_line_errors(main: Callable[[DictConfig], Result]) -> Callable[[DictConfig], Result]:
    """Show errors of the input and the machine as one line. HYDRA_FULL_ERROR=1 and sweeps keep the traceback."""
    return ends_in_one_line(lambda *_: f"stopped; {_resume_command()} goes on from its last checkpoint")(main)


def ends_in_one_line(interrupted: Callable[[DictConfig, float], str]) -> Callable[..., Callable[[DictConfig], Any]]:
    """Like `one_line_errors`. After Ctrl-C, print the text that `interrupted` makes of config and start time."""

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
    """The files that an interrupted evaluation has written since a time in seconds, in one line."""
    from deepdraw.runtime.hub import is_on_hub
    from deepdraw.runtime.run_directory import best_checkpoint  # evaluate.py --help does not need it

    files: list[Path] = []
    if config.get("out") is not None or not is_on_hub(config.ckpt):  # of those on the hub nothing is written elsewhere
        run = best_checkpoint(config.ckpt).parent.parent if config.get("out") is None else Path(config.out)
        files = [*(run / "evaluations").rglob("*"), run / "report.html"]
    written = [str(file) for file in files if file.is_file() and file.stat().st_mtime >= since]
    return f"interrupted: {', '.join(sorted(written)) or 'nothing'} was written; the same command starts anew"


def resume_command(directory: Path, *more: str) -> str:
    """The command that goes on with the run in a directory, quoted for the shell; more: words to add."""
    return f"{command('train.py')} {typed(f'hydra.run.dir={directory}', *more)}"


def sweep_command(name: str, directory: str | Path) -> str:
    """The command `name` (status, collect, resume or cancel) of the sweep in a directory, quoted for the shell."""
    return typed("python", "-m", "deepdraw.sweep", name, directory)


def sweep_end(directory: str | Path) -> AbstractContextManager[None]:
    """`one_line_end` for what looks after a sweep: Ctrl-C ends it with the commands that come back to the jobs."""
    back = f"`{sweep_command('status', directory)}` shows where the jobs are, `collect` reads them, `cancel` ends them"
    return one_line_end(f"interrupted: {back}")


def command(script: str) -> str:
    """The command that runs a script with the settings of this job, quoted for the shell."""
    words = HydraConfig.get().overrides.task if HydraConfig.initialized() else []
    return typed("python", script, *words)


def _resume_command() -> str:
    """The command that resumes a stopped run, or the sweep that it is a job of."""
    hydra = HydraConfig.get()
    if hydra.mode == RunMode.MULTIRUN and (Path(hydra.sweep.dir) / "sweep.json").exists():
        return f"`{sweep_command('resume', hydra.sweep.dir)}`"
    return f"the same command with {typed(f'hydra.run.dir={hydra_run_directory()}')}"


def _line_for(error: BaseException | None) -> str | None:
    """The one-line message for an error of the input or the machine; None for a bug in deepdraw."""
    if isinstance(error, InstantiationException):
        error = error.__cause__
    if isinstance(error, MissingMandatoryValue):
        return f"{error.full_key} is missing: give {error.full_key}=..."
    return failure_line(error)
