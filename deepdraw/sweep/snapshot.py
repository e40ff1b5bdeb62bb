"""The code of a sweep: copied when it is submitted, and known again by its digest."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from deepdraw.runtime import COMMIT, PACKAGE, copy_file, git_commit, write_text


def copy_code(task: Path, directory: Path) -> Path:
    """Copy the code that runs here, `task` (such as train.py) and its conf/ into `directory`: the copy of `task`."""
    write_text(directory / COMMIT, git_commit() or "")  # the first file, by which a copy is known that was not ended
    for name, file in [*_files(task), *_compiled()]:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        copy_file(file, directory / name)  # with its time, by which numba knows what it has compiled
    return directory / task.name


def digest(task: Path) -> str:
    """What changes with any module, option or the task."""
    found = hashlib.sha256()
    for name, file in _files(task):
        content = file.read_bytes()
        found.update(f"{name} {len(content)}\n".encode() + content)
    return found.hexdigest()[:16]


def check_code(task: Path, submitted: str) -> None:
    """Raise ValueError where the code is no longer that of digest `submitted`."""
    if digest(task) != submitted:
        raise ValueError(
            f"the code in {PACKAGE.parent} or {task.parent} has changed since this job was submitted: "
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


def _files(task: Path) -> Iterator[tuple[str, Path]]:
    """Every file that a job may read code or options from, with its path in a copy, in an order of its own."""
    yield task.name, task
    plugins = sorted((PACKAGE.parent / "hydra_plugins").glob("deepdraw_*"))
    for folder, root in [(PACKAGE, PACKAGE.parent), *((plugin, PACKAGE.parent) for plugin in plugins)]:
        for file in sorted(folder.rglob("*")):
            if file.is_file() and file.parent.name != "__pycache__":
                yield file.relative_to(root).as_posix(), file
    for file in sorted((task.parent / "conf").rglob("*.yaml")):
        yield file.relative_to(task.parent).as_posix(), file


def _compiled() -> Iterator[tuple[str, Path]]:
    """What numba has compiled of the package, as far as it has, so that no job need do it again."""
    for file in sorted(PACKAGE.rglob("__pycache__/*.nb[ci]")):
        yield file.relative_to(PACKAGE.parent).as_posix(), file
