"""The one place that reads files that may be damaged or come from a stranger. It checks type, size and form.

Every reader either returns what its docstring promises or raises one ValueError that names the file and the fix.
"""

from __future__ import annotations

import codecs
import errno
import gzip
import math
import os
import stat
import struct
import sys
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, cast

if TYPE_CHECKING:
    from numpy.typing import NDArray

Form = TypeVar("Form")

MB = 1 << 20
# The most bytes of a file of each kind. Larger files are refused before they are read.
LARGEST = {
    "JSON": 256 * MB,  # an index.json of 345 categories has 0.3 MB
    "YAML": 1 * MB,
    "CSV": 1024 * MB,
    "text": 16 * MB,
    "SVG": 1 * MB,
    "image": 256 * MB,
    "drawing": 4 * MB,  # a line of ndjson or a record of a .bin file; a usual drawing has a thousandth of it
    "label": 4096,  # a .cls member of a tar
    "npz": 8192 * MB,  # predictions of 50 million drawings have 1.4 GB
}
MACHINE_ERRORS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO)  # not caused by the file itself
# The exceptions that numpy and zipfile raise for bytes that are no array or no archive of arrays.
NO_ARRAY = (OSError, EOFError, LookupError, MemoryError, RuntimeError, SyntaxError, TypeError, ValueError)
MAX_YAML_DEPTH = 100  # levels of nested mappings and lists in a YAML file
NPY_START = b"\x93NUMPY\x01\x00"  # the first bytes of an npy file
MAX_HEADER_BYTES = 10_000  # bytes of the header of an npy file, which holds shape and dtype


@contextmanager
def open_regular(path: Path, *, largest: int | None = None, fix: str = "correct the path") -> Iterator[BinaryIO]:
    """Open a regular file for reading bytes. Pipes, devices and folders are refused without waiting for them.

    largest: the most bytes that it may have. Raises ValueError, naming the file, for another kind of file, a larger
    one, or one that is missing or cannot be read; OSError for errors of the machine, such as too many open files.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        if getattr(error, "errno", None) in MACHINE_ERRORS:
            raise
        reason = getattr(error, "strerror", None) or str(error)
        raise ValueError(f"{path} cannot be read ({reason}): {fix}") from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise ValueError(f"{path} is no regular file: {fix}")
    with open(descriptor, "rb") as file:
        if largest is not None and status.st_size > largest:
            raise ValueError(f"{path} has {status.st_size:,} bytes, more than the {largest:,} that it may have: {fix}")
        yield file


@contextmanager
def open_unpacked(path: Path, *, fix: str = "fetch it anew or leave it out") -> Iterator[BinaryIO]:
    """Open a regular file for reading bytes; a gzip, whatever its name, is unpacked while it is read.

    Raises ValueError, naming the file, as `open_regular` does, and for a gzip that is damaged or cut short.
    """
    with open_regular(path, fix=fix) as file:
        if not _is_gzip(file.read(10)):
            file.seek(0)
            yield file
            return
        file.seek(0)
        try:
            with gzip.GzipFile(fileobj=file) as unpacked:
                yield cast("BinaryIO", unpacked)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"{path} is a gzip that is damaged or cut short: {fix}") from error


def _is_gzip(start: bytes) -> bool:
    """Whether these first 10 bytes of a file begin a gzip. No drawing of a .bin file begins so."""
    return start.startswith(b"\x1f\x8b\x08") and len(start) > 8 and not start[3] & 0xE0 and start[8] in (0, 2, 4)


def read_bytes(path: Path, *, largest: int, fix: str = "correct the path") -> bytes:
    """The bytes of a regular file. Raises ValueError as `open_regular` does."""
    with open_regular(path, largest=largest, fix=fix) as file:
        try:
            content = file.read(largest + 1)
        except OSError as error:
            if error.errno in MACHINE_ERRORS:
                raise OSError(error.errno, error.strerror, str(path)) from error
            raise ValueError(f"{path} cannot be read ({error.strerror}): {fix}") from error
    if len(content) > largest:  # it has grown since it was opened
        raise ValueError(f"{path} has more than the {largest:,} bytes that it may have: {fix}")
    return content


def read_text(path: Path, *, largest: int = LARGEST["text"], fix: str = "correct the path") -> str:
    """The text of a regular UTF-8 file, without a byte order mark. Raises ValueError as `open_regular` does."""
    try:
        return read_bytes(path, largest=largest, fix=fix).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no UTF-8 text (byte {error.start}): {fix}") from error


def read_json(path: Path, form: type[Form], *, fix: str, largest: int = LARGEST["JSON"]) -> Form:
    """The content of a JSON file as `form`: a dataclass, TypedDict or annotation that msgspec understands.

    Raises ValueError, naming file, place and `fix`, if the file is missing, is no JSON, or has another form.
    """
    return parse_json(read_bytes(path, largest=largest, fix=fix), form, path=path, fix=fix)


def parse_json(content: bytes, form: type[Form], *, path: Path, fix: str) -> Form:
    """The JSON in these bytes of the file `path`, with or without a byte order mark, as `form`.

    Raises ValueError as `read_json` does.
    """
    import msgspec

    try:
        return msgspec.json.decode(content.removeprefix(codecs.BOM_UTF8), type=form)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ValueError(f"{path} is damaged or of another form ({reason}): {fix}") from error


def read_yaml(path: Path, *, fix: str, largest: int = LARGEST["YAML"]) -> dict[str, Any]:
    """The mapping of plain values in a YAML file. Raises ValueError, naming file and `fix`, for anything else.

    Aliases are refused, because a small file with aliases can expand to any size.
    """
    import yaml

    text = read_text(path, largest=largest, fix=fix)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        _check_events(yaml.parse(text, Loader=loader))
        found = yaml.load(text, Loader=loader)
        if not isinstance(found, dict) or not _is_plain(found):
            raise ValueError("it holds other than a mapping of plain values")
    except (yaml.YAMLError, AttributeError, LookupError, RecursionError, OverflowError, ValueError) as error:
        raise ValueError(f"{path} is no YAML that can be read ({' '.join(str(error).split())[:200]}): {fix}") from error
    return found


def _check_events(events: Iterator[Any]) -> None:
    """Raise ValueError for aliases and for deep nesting: a small file could expand to any size."""
    depth = 0
    for event in events:
        if type(event).__name__ == "AliasEvent":
            raise ValueError("it has aliases, which are not followed")
        depth += type(event).__name__.endswith("StartEvent") - type(event).__name__.endswith("EndEvent")
        if depth > MAX_YAML_DEPTH:
            raise ValueError("it nests too deep")


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) for key in value) and all(map(_is_plain, value.values()))
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, str | bool | float) or (isinstance(value, int) and abs(value) < 2**64)


def read_npz(
    path: Path, columns: Mapping[str, tuple[Any, int]], *, what: str, fix: str, optional: frozenset[str] = frozenset()
) -> dict[str, NDArray[Any]]:
    """The arrays of an npz file written by `numpy.savez`, by name. Pickles are not read.

    columns: name -> (dtype, number of dimensions); the dtype `str` stands for texts of any length. The file must hold
    exactly these arrays; those in `optional` may be missing. what: what the file should be, for messages.

    Raises ValueError, naming file and `fix`, if the file is missing, damaged (see `deepdraw.runtime.seals`), or holds
    anything else. The arrays need no more memory than the file has bytes.
    """
    import zipfile

    from deepdraw.runtime.seals import check_seal

    with open_regular(path, largest=LARGEST["npz"], fix=fix) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
                _check_members(archive.infolist(), {*columns}, optional)
                if not check_seal(file):
                    raise ValueError("its checksum does not match")
                return {
                    name: _read_array(archive, members[name], *column)
                    for name, column in columns.items()
                    if name in members
                }
        except (*NO_ARRAY, zipfile.BadZipFile, struct.error) as error:
            raise ValueError(f"{path} is no {what} ({' '.join(str(error).split())[:200]}): {fix}") from error


def _check_members(members: list[Any], names: set[str], optional: frozenset[str]) -> None:
    """Raise ValueError unless these are the expected members, each once and not compressed."""
    found = [member.filename for member in members]
    wanted = {f"{name}.npy" for name in names}
    if len(set(found)) < len(found) or not {*found} <= wanted:
        raise ValueError(f"it has members other than {', '.join(sorted(wanted))}")
    if missing := sorted(names - optional - {name.removesuffix(".npy") for name in found}):
        raise ValueError(f"it has no {', '.join(missing)}")
    if any(member.compress_type or member.flag_bits & 1 for member in members):
        raise ValueError("its members are compressed")


def _read_array(archive: Any, member: Any, dtype: Any, dims: int) -> NDArray[Any]:
    """Read an array. Raises ValueError if its dtype, dimensions or size differ from the expected ones."""
    import numpy as np

    with archive.open(member) as file:
        shape, is_fortran, found = read_npy_header(file)
        name = member.filename
        if found != (np.dtype((np.str_, found.itemsize // 4)) if dtype is str else np.dtype(dtype)):
            raise ValueError(f"{name} holds {found}, not {np.dtype(dtype)}")
        if len(shape) != dims or (is_fortran and dims > 1):
            raise ValueError(f"{name} has the shape {list(shape)[:8]}, not {dims} dimensions")
        num_bytes = math.prod(shape) * found.itemsize
        if num_bytes != member.file_size - file.tell():
            raise ValueError(f"{name} has {member.file_size:,} bytes, which do not match its shape {list(shape)}")
        content = file.read(num_bytes)
        if len(content) < num_bytes:
            raise ValueError(f"{name} is cut short")
    array = np.frombuffer(bytearray(content), np.uint32 if dtype is str else found)
    if dtype is str:
        if (array > sys.maxunicode).any() or ((array >= 0xD800) & (array < 0xE000)).any():
            raise ValueError(f"{name} holds invalid characters")
        array = array.view(found) if found.itemsize else np.zeros(shape, found)
    return array.reshape(shape)


def read_npy_header(file: Any, *, with_objects: bool = False) -> tuple[tuple[int, ...], bool, Any]:
    """Read the header of an npy file: shape, whether it is in Fortran order, and dtype.

    Raises ValueError for a header that numpy does not write and, unless `with_objects` is set, for an array of objects,
    or another exception of `NO_ARRAY`.
    """
    import ast

    import numpy as np

    start = file.read(len(NPY_START) + 2)
    length = int.from_bytes(start[len(NPY_START) :], "little")
    if not start.startswith(NPY_START) or length > MAX_HEADER_BYTES:
        raise ValueError("it holds something else than arrays")
    header = ast.literal_eval(file.read(length).decode("latin1"))
    if not isinstance(header, dict) or header.keys() != {"descr", "fortran_order", "shape"}:
        raise ValueError("an array has no such header as numpy writes")
    shape, dtype = header["shape"], np.lib.format.descr_to_dtype(header["descr"])
    if not isinstance(shape, tuple) or not all(type(size) is int and 0 <= size < 2**48 for size in shape):
        raise ValueError("an array has no such shape as numpy writes")
    if dtype.hasobject and not with_objects:
        raise ValueError("an array holds objects")
    return shape, bool(header["fortran_order"]), dtype
