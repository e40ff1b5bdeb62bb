"""The signature of a sweep: `resume` runs without asking only what this user has launched.

A sweep's directory is a program: `resume` runs its code/, with the configs in jobs/, by the settings of its launcher.
It may come from elsewhere, as an archive or a shared directory. Each launch therefore signs what will run, with a key
that is kept in the user's home and goes nowhere else.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from deepdraw.runtime import LARGEST, MB, create_whole, read_bytes

SIGNED = ("launcher", "objective", "task", "code")  # of sweep.json, beside the jobs without their ids
COMPILED = "__pycache__"  # grows while jobs run, and is not signed; `forget_compiled` removes it
CODE = 64 * MB  # bytes of the largest file of a sweep's code


def sign(directory: Path, document: Mapping[str, Any]) -> str:
    """The signature of a sweep, of its directory and what its sweep.json will say; empty without a key or the files."""
    key = _key(create=True)
    if key is None:
        return ""
    try:
        return hmac.new(key, _content(directory, document), hashlib.sha256).hexdigest()
    except (ValueError, OSError):
        return ""


def is_signed(directory: Path, document: Mapping[str, Any]) -> bool:
    """Whether the signature in `document`, what sweep.json says, is this user's and all files are as they were."""
    key = _key(create=False)
    if key is None:
        return False
    try:
        expected = hmac.new(key, _content(directory, document), hashlib.sha256).hexdigest()
    except (ValueError, OSError):
        return False
    return hmac.compare_digest(expected, str(document["signature"]).encode("ascii", "replace").decode())


def forget_compiled(directory: Path) -> None:
    """Remove what Python and numba have compiled of a sweep's code; they would run it in the place of the source."""
    for folder in [*(directory / "code").rglob(COMPILED)]:
        shutil.rmtree(folder)


def _content(directory: Path, document: Mapping[str, Any]) -> bytes:
    """All that tells what the sweep runs: settings, configs and code. ValueError for links among them."""
    jobs = [[job["number"], job["overrides"], job["directory"]] for job in document["jobs"]]
    configs = [_digest(directory / "jobs" / f"{job['number']}.yaml", LARGEST["YAML"]) for job in document["jobs"]]
    code, files = directory / "code", []
    for folder, folders, names in os.walk(code):
        folders[:] = sorted(set(folders) - {COMPILED})
        for name in [*folders, *sorted(names)]:
            path = Path(folder, name)
            if path.is_symlink():
                raise ValueError(f"{path} is a link")
            if name in names:
                files.append([path.relative_to(code).as_posix(), _digest(path, CODE)])
    if code.is_symlink() or (directory / "jobs").is_symlink():
        raise ValueError(f"{directory} has links for folders")
    said = {name: document.get(name) for name in SIGNED}
    return json.dumps([said, jobs, configs, files], sort_keys=True).encode()


def _digest(path: Path, largest: int) -> str:
    return hashlib.sha256(read_bytes(path, largest=largest)).hexdigest()


def _key(*, create: bool) -> bytes | None:
    """This user's key, made when it is first needed; None where there is none and none can be kept."""
    file = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "deepdraw" / "sweep.key"
    with suppress(OSError):
        if create and not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError):
                create_whole(file, secrets.token_bytes(32), mode=0o600)
    try:
        key = read_bytes(file, largest=1024)
    except ValueError:
        return None
    return key if len(key) >= 32 else None
