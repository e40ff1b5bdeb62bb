"""The claim of a launcher to a directory for a new sweep."""

from __future__ import annotations

import os
from pathlib import Path

from deepdraw.runtime import Lock, sweep_command
from deepdraw.sweep.record import FOLDERS


def claim(directory: Path) -> Lock:
    """Take a directory for a new sweep; the caller releases the lock once sweep.json is written, or after a failure.

    Raises ValueError where it holds a sweep, even one that another process is just starting there, and where nothing
    can be written. A process that dies before it has written sweep.json leaves the directory free.
    """
    lock = Lock(directory / "claim.lock")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if not lock.acquire():
            raise _taken_error(directory, f" that {lock.owner} is starting (if it is gone, remove {lock.path})")
    except OSError as error:
        raise ValueError(
            f"nothing can be written in {directory} ({error.strerror}): "
            "choose as hydra.sweep.dir a directory that this machine and those that run the jobs can write"
        ) from None
    if os.path.lexists(directory / "sweep.json"):
        lock.release()
        raise _taken_error(directory)
    if links := [name for name in (*FOLDERS, "multirun.yaml") if (directory / name).is_symlink()]:
        lock.release()
        raise ValueError(f"{directory / links[0]} is a link: remove it, or choose another hydra.sweep.dir")
    return lock


def _taken_error(directory: Path, how: str = "") -> ValueError:
    resume = sweep_command("resume", directory)
    return ValueError(
        f"{directory} holds a sweep{how}: `{resume}` goes on with it; for a new one choose another hydra.sweep.dir"
    )
