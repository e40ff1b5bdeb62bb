"""The files and folders that a user names: with `~`, and one line that says why there is none."""

from __future__ import annotations

import os
import re
from pathlib import Path

from deepdraw.runtime.names import nearest_names

ADDRESS = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]+):/")  # s3://bucket, which Path shortens to s3:/bucket


def expand_home(text: str) -> str:
    """A path with `~` or `~user` at its beginning replaced by the home folder. Every other text stays as it is."""
    return os.path.expanduser(text) if text.startswith("~") else text


def cache_folder() -> Path:
    """Where this user's downloads and indexes are kept between runs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "deepdraw"


def local_text(text: str, key: str) -> str:
    """The value of an option with `~` expanded. Raises ValueError for an address of a store, such as s3://..."""
    check_local(text, f"{key}=")
    return expand_home(text)


def check_local(given: str | os.PathLike[str], key: str = "") -> None:
    """Raise ValueError, in one line, if a path is the address of a store, such as s3://... or gs://..."""
    text = os.fspath(given)
    if (address := ADDRESS.match(text)) and not os.path.exists(text):
        raise ValueError(
            f"{key}{text} is an address ({address['scheme']}) and does not exist here: "
            "give a path of this machine, and copy from or to the address yourself"
        )


def existing_folder(given: str | os.PathLike[str], key: str = "") -> Path:
    """The folder at a path that a user gave. key: of the option that named it, as `source=`, for the message.

    Raises ValueError, in one line, where it is missing (with the nearest name beside it), a file, or an address.
    """
    check_local(given, key)
    path = Path(expand_home(os.fspath(given)))
    if path.is_dir():
        return path
    if path.exists():
        raise ValueError(f"{key}{path} is a file and no folder: give the folder that holds it")
    raise ValueError(f"{key}{path} is no folder: {suggest_path(path) or 'check the path'}")


def possible_folder(given: str | os.PathLike[str], key: str = "") -> Path:
    """The path of a folder that need not exist yet. Raises ValueError for an address and for a file at its place."""
    check_local(given, key)
    path = Path(expand_home(os.fspath(given)))
    return existing_folder(path, key) if path.is_file() else path


def existing_file(given: str | os.PathLike[str], key: str = "") -> Path:
    """The file at a path that a user gave, with the same errors as `existing_folder`."""
    check_local(given, key)
    path = Path(expand_home(os.fspath(given)))
    if path.is_dir():
        raise ValueError(f"{key}{path} is a folder and no file: give a file in it")
    if not path.exists():
        raise ValueError(f"{key}{path} does not exist: {suggest_path(path) or 'correct the path'}")
    return path


def existing_path(given: str | os.PathLike[str], key: str = "") -> Path:
    """The file or folder at a path that a user gave, with the same errors as `existing_folder`."""
    check_local(given, key)
    path = Path(expand_home(os.fspath(given)))
    return path if path.is_dir() else existing_file(path, key)


def suggest_path(path: Path) -> str:
    """What may be meant by a path at which there is nothing; an empty text where nothing beside it is near."""
    if path.is_symlink():
        return f"it is a link to {os.readlink(path)}, where nothing is; mend it"
    try:
        siblings = os.listdir(path.parent)
    except (OSError, ValueError):  # ValueError: a null character in the name
        return ""
    near = nearest_names(path.name, siblings)
    return f"did you mean {path.parent / near[0]}?" if near else ""
