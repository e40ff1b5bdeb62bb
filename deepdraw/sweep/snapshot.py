"""The code of a sweep: copied when it is submitted, and recognized by its digest."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from deepdraw.config import targets_of
from deepdraw.runtime import COMMIT, PACKAGE, copy_file, git_commit, write_text

LIBRARIES = ("stdlib", "platstdlib", "purelib", "platlib")  # where Python and installed packages lie


def copy_code(task: Path, directory: Path, packages: Sequence[str] = (), configs: Sequence[Path] = ()) -> Path:
    """Copy the code that runs here, `task` (such as train.py) and its conf/ into `directory`: the copy of `task`.

    packages: of the user's own, by name; configs: config directories of the user's own, into `directory`/own_conf.
    """
    write_text(directory / COMMIT, git_commit() or "")  # written first, so that an incomplete copy is recognized
    own_configs = [
        (f"own_conf/{number}/{file.relative_to(config).as_posix()}", file)
        for number, config in enumerate(configs)
        for file in sorted(config.rglob("*.yaml"))
    ]
    for name, file in [*_files(task, packages), *_compiled(), *own_configs]:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        copy_file(file, directory / name)  # with its time, by which numba knows what it has compiled
    return directory / task.name


def copy_packages(packages: Sequence[str], directory: Path) -> None:
    """Add to the copy in `directory` those packages of the user's own, by name, that it does not hold yet."""
    for place in [_find_location(name) for name in packages if _location_in_copy(name, directory) is None]:
        for name, file in _package_files(place):
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            copy_file(file, directory / name)


def own_packages(configs: Iterable[Any]) -> list[str]:
    """The packages and modules of the user's own that the `_target_`s of these plain configs name.

    That is whatever lies neither in deepdraw nor where libraries are installed.
    """
    names = {target.partition(".")[0] for config in configs for target in targets_of(config)}
    return sorted(name for name in names if (place := _find_location(name)) is not None and not _is_library(place))


def digest(task: Path, packages: Sequence[str] = (), copy: Path | None = None) -> str:
    """What changes with any module, option, the task, or the user's own packages.

    copy: the directory of a copy, whose modules count; by default those count that are imported here.
    """
    found = hashlib.sha256()
    for name, file in _files(task, packages, copy):
        content = file.read_bytes()
        found.update(f"{name} {len(content)}\n".encode() + content)
    return found.hexdigest()[:16]


def check_code(task: Path, submitted: str, packages: Sequence[str] = ()) -> None:
    """Raise ValueError where the code is no longer that of digest `submitted`."""
    if digest(task, packages) != submitted:
        places = ", ".join([f"{PACKAGE.parent} or {task.parent}", *packages])
        raise ValueError(
            f"the code in {places} has changed since this job was submitted: "
            "put it back and resume the sweep, or submit with hydra.launcher.snapshot=true, which keeps a copy"
        )


def check_import(code: Path) -> None:
    """Raise ValueError where a job that starts in `code`, the parent of a package, would not import that package."""
    command = [sys.executable, "-c", "import deepdraw.sweep.job as jobs; print(jobs.__file__)"]
    paths = [str(code), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(command, cwd=code, env=environment, capture_output=True, text=True)
    if done.returncode or not Path(done.stdout.strip()).resolve().is_relative_to(code.resolve()):
        reason = (done.stderr.strip().splitlines() or [f"it finds {done.stdout.strip()}"])[-1]
        raise ValueError(
            f"jobs could not import deepdraw from {code} ({reason}): "
            f"put right what `cd {code} && {sys.executable} -c 'import deepdraw.sweep.job'` shows"
        )


def _find_location(name: str) -> Path | None:
    """The folder of a package, or the file of a module, as an import would find it; None where it is neither."""
    try:
        found = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    if found is None:
        return None
    if found.submodule_search_locations:
        return Path(next(iter(found.submodule_search_locations))).resolve()
    return Path(found.origin).resolve() if found.has_location and found.origin else None


def _is_library(place: Path) -> bool:
    """Whether it is deepdraw's own, Python's, or lies where packages are installed."""
    roots = [PACKAGE, PACKAGE.parent / "hydra_plugins", *map(Path, map(sysconfig.get_path, LIBRARIES))]
    installed = {"site-packages", "dist-packages"} & set(place.parts)
    return bool(installed) or any(place.is_relative_to(root.resolve()) for root in roots)


def _location_in_copy(name: str, copy: Path) -> Path | None:
    """The folder or file of a package or module in a copy; None where that does not hold it."""
    return next((place for place in (copy / name, copy / f"{name}.py") if place.exists()), None)


def _files(task: Path, packages: Sequence[str] = (), copy: Path | None = None) -> Iterator[tuple[str, Path]]:
    """Every file that a job may read code or options from, with its path in a copy, always in the same order."""
    yield task.name, task
    root = copy or PACKAGE.parent
    for folder in [root / PACKAGE.name, *sorted((root / "hydra_plugins").glob("deepdraw_*"))]:
        for file in sorted(folder.rglob("*")):
            if file.is_file() and file.parent.name != "__pycache__":
                yield file.relative_to(root).as_posix(), file
    for name in packages:
        yield from _package_files(_location_in_copy(name, copy) if copy else _find_location(name))
    for file in sorted((task.parent / "conf").rglob("*.yaml")):
        yield file.relative_to(task.parent).as_posix(), file


def _package_files(place: Path | None) -> Iterator[tuple[str, Path]]:
    """The files of a package or module at this place, with their paths in a copy; none where it has none."""
    if place is None:
        return
    for file in sorted(place.rglob("*")) if place.is_dir() else [place]:
        if file.is_file() and "__pycache__" not in file.parts:
            yield file.relative_to(place.parent).as_posix(), file


def _compiled() -> Iterator[tuple[str, Path]]:
    """What numba has compiled of the package, as far as it has, so that no job need do it again."""
    for file in sorted(PACKAGE.rglob("__pycache__/*.nb[ci]")):
        yield file.relative_to(PACKAGE.parent).as_posix(), file
