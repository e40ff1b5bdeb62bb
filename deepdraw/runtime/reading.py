"""The one place that reads files which may be damaged or a stranger's: of a regular file, of a size, of a form.

Every reader either returns what it says it does or raises one ValueError that names the file and what to do.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

Form = TypeVar("Form")

MB = 1 << 20
# Bytes that a file of each kind may have; what is larger is refused before it is read.
LARGEST = {
    "JSON": 256 * MB,  # an index.json of 345 categories has 0.3 MB
    "YAML": 4 * MB,
    "CSV": 1024 * MB,
    "text": 16 * MB,
    "SVG": 1 * MB,
    "image": 256 * MB,
}


@contextmanager
def open_regular(path: Path, *, largest: int | None = None, fix: str = "correct the path") -> Iterator[BinaryIO]:
    """A regular file, open for reading bytes: no pipe, device or folder is ever waited for or read.

    largest: bytes that it may have. Raises ValueError, naming the file, for another kind of file, a larger one, or one
    that is not there or cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise ValueError(f"{path} cannot be read ({reason}): {fix}") from error
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{path} is no regular file: {fix}")
        if largest is not None and status.st_size > largest:
            raise ValueError(f"{path} has {status.st_size:,} bytes, more than the {largest:,} that it may have: {fix}")
        yield file


def read_bytes(path: Path, *, largest: int, fix: str = "correct the path") -> bytes:
    """The bytes of a regular file. Raises ValueError as `open_regular` does."""
    with open_regular(path, largest=largest, fix=fix) as file:
        try:
            content = file.read(largest + 1)
        except OSError as error:
            raise ValueError(f"{path} cannot be read ({error.strerror}): {fix}") from error
    if len(content) > largest:  # it has grown
        raise ValueError(f"{path} has more than the {largest:,} bytes that it may have: {fix}")
    return content


def read_text(path: Path, *, largest: int = LARGEST["text"], fix: str = "correct the path") -> str:
    """The text of a regular UTF-8 file, without a byte order mark. Raises ValueError as `open_regular` does."""
    try:
        return read_bytes(path, largest=largest, fix=fix).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no UTF-8 text (byte {error.start}): {fix}") from error


def read_json(path: Path, form: type[Form], *, fix: str, largest: int = LARGEST["JSON"]) -> Form:
    """What a JSON file says, as `form`: a dataclass, TypedDict or annotation that msgspec understands.

    Raises ValueError, naming file, place and `fix`, where the file is not there, is no JSON, or of another form.
    """
    import msgspec

    content = read_bytes(path, largest=largest, fix=fix)
    try:
        return msgspec.json.decode(content, type=form)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ValueError(f"{path} is damaged or of another form ({reason}): {fix}") from error


def read_yaml(path: Path, *, fix: str, largest: int = LARGEST["YAML"]) -> dict[str, Any]:
    """The mapping in a YAML file of plain values. Raises ValueError, naming file and `fix`, for anything else.

    Aliases are refused: a small file could stand for a tree of any size.
    """
    import yaml

    text = read_text(path, largest=largest, fix=fix)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        if any(isinstance(event, yaml.events.AliasEvent) for event in yaml.parse(text, Loader=loader)):
            raise ValueError(f"{path} has aliases, which are not followed: {fix}")
        found = yaml.load(text, Loader=loader)
    except (yaml.YAMLError, RecursionError, OverflowError) as error:
        raise ValueError(f"{path} is no YAML that can be read ({' '.join(str(error).split())[:200]}): {fix}") from error
    except ValueError as error:  # such as a date that there is not
        if str(path) in str(error):
            raise
        raise ValueError(f"{path} holds a value that cannot be read ({error}): {fix}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds no mapping: {fix}")
    return found
