"""What a command has left in its working directory, without the times that no two runs share."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

TIMES = re.compile(r"images_per_second|_time$|^speed$|seconds|memory|^date$|^duration$")


def outcome(folder: Path) -> dict[str, str]:
    """A hash of each file's content, by its path in `folder`; folders have none."""
    return {
        path.relative_to(folder).as_posix(): "" if path.is_dir() else _digest(path, folder)
        for path in sorted(folder.rglob("*"))
    }


def differences(expected: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """A few words on every file that one of two outcomes lacks, or that differs."""
    missing = [f"{name} is missing" for name in expected.keys() - found.keys()]
    left = [f"{name} is left over" for name in found.keys() - expected.keys()]
    other = [f"{name} differs" for name in expected.keys() & found.keys() if expected[name] != found[name]]
    return sorted(missing + left + other)


def _digest(path: Path, folder: Path) -> str:
    if path.is_symlink():
        return f"link to {path.readlink()}"
    try:
        return sha256(_content(path, folder)).hexdigest()
    except Exception as error:  # a damaged file has no content to compare, only a name for what is wrong with it
        return f"{type(error).__name__}: {error}"


def _content(path: Path, folder: Path) -> bytes:
    """The bytes of a file; of those formats that may hold a time, what else they hold."""
    if path.suffix == ".pt":
        import torch

        return _plain(torch.load(path, weights_only=True))
    if path.suffix == ".npz":
        import numpy as np

        with np.load(path) as file:
            return _plain({name: file[name] for name in file.files})
    if path.suffix == ".json":
        return _plain(json.loads(path.read_text()))
    if path.suffix == ".csv":
        rows = csv.DictReader(io.StringIO(path.read_text()))
        return _plain([list(rows.fieldnames or []), *rows])
    if path.suffix == ".html":
        return re.sub("<tr>.*images/s.*</tr>|<dt>(finished|duration)</dt>.*", "", path.read_text()).encode()
    if path.suffix == ".yaml":
        return path.read_bytes().replace(str(folder.resolve()).encode(), b"FOLDER")
    return path.read_bytes()


def _plain(value: Any) -> bytes:
    """Every bit of nested values and arrays, but for times."""
    if isinstance(value, Mapping):
        kept = [(key, each) for key, each in value.items() if not TIMES.search(str(key))]
        return b"{" + b",".join(repr(key).encode() + b":" + _plain(each) for key, each in kept) + b"}"
    if isinstance(value, list | tuple):
        kept_items = [each for each in value if not (isinstance(each, str) and TIMES.search(each))]
        return b"[" + b",".join(map(_plain, kept_items)) + b"]"
    if hasattr(value, "numpy"):
        value = value.numpy()
    if hasattr(value, "tobytes"):
        return f"{value.dtype}{value.shape}".encode() + value.tobytes()
    return repr(value).encode()
