"""Reads the files of sketch-rnn: steps (dx, dy, pen) of many drawings, in an npz of train, valid and test.

Each of the three is a pickled array of arrays. What a pickle asks for is run by Python's own reader, so it is not used
here: `_unpickled` follows the few instructions that numpy writes, makes nothing but lists, texts, numbers and arrays,
and refuses every other one.
"""

from __future__ import annotations

import io
import pickletools
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from deepdraw.drawings.sketch import Broken, Sketch, hash_strokes, one_line
from deepdraw.drawings.strokes import parse_strokes
from deepdraw.runtime import MB, NO_ARRAY, read_npy_header

SPLITS = {"train.npy": "train", "valid.npy": "val", "test.npy": "test"}
LARGEST = 512 * MB  # unpacked bytes of one split; 70,000 drawings of an official file have some 30 MB
MOST_POINTS = 1 << 20  # of one drawing
DAMAGED = (*NO_ARRAY, zipfile.BadZipFile, zlib.error, struct.error)
FIX = "give train, valid and test as sketch-rnn writes them, arrays (dx, dy, pen), or leave it out"

ARRAY, TYPE, ENCODE = "an array", "a type", "an encoding"
NAMES = {
    "numpy.core.multiarray _reconstruct": ARRAY,
    "numpy._core.multiarray _reconstruct": ARRAY,
    "numpy ndarray": ARRAY,
    "numpy dtype": TYPE,
    "_codecs encode": ENCODE,
}
TYPES = ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "f2", "f4", "f8")
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
NUMBERS_AND_TEXTS = ("BININT", "INT", "LONG1", "SHORT_BIN", "BINSTRING", "BINUNICODE", "BINBYTES")


class _Made:
    """What a pickle builds by name: an array or a type, with the arguments and the state that were written of it."""

    def __init__(self, kind: str, arguments: tuple[Any, ...]) -> None:
        self.kind, self.arguments, self.state = kind, arguments, ()


def read_sketch_rnn(file: BinaryIO, path: Path, word: str) -> Iterator[Sketch | Broken]:
    """The drawings of an npz file of sketch-rnn, each with its split. Raises ValueError, naming the file, for another.

    A drawing begins at its first step; pen 1 ends a stroke. One that is in 0..255 already stays as it is, any other is
    simplified. Its key id is a hash of its strokes.
    """
    number = 0
    try:
        with zipfile.ZipFile(file) as archive:
            names = [member.filename for member in archive.infolist()]
            if not names or len({*names}) < len(names) or not {*names} <= SPLITS.keys():
                raise ValueError(f"it holds {', '.join(names)[:80] or 'nothing'}, not train, valid and test")
            for member in sorted(archive.infolist(), key=lambda member: list(SPLITS).index(member.filename)):
                if member.file_size > LARGEST:
                    raise ValueError(f"{member.filename} has more than {LARGEST // MB:,} MB")
                for steps in _read_member(archive.read(member)):
                    number += 1
                    try:
                        yield _sketch(steps, word, SPLITS[member.filename])
                    except (ValueError, OverflowError) as error:
                        yield Broken(number, one_line(error))
    except DAMAGED as error:
        raise ValueError(f"{path} is no file of sketch-rnn ({one_line(error)}): {FIX}") from error


def _sketch(steps: NDArray[Any], word: str, split: str) -> Sketch:
    if steps.ndim != 2 or steps.shape[1] != 3 or not len(steps) <= MOST_POINTS:
        raise ValueError(f"an array {steps.dtype} {list(steps.shape)[:4]}, not [n, 3] of (dx, dy, pen)")
    points = np.cumsum(steps[:, :2], axis=0, dtype=np.int64 if steps.dtype.kind in "iu" else np.float64)
    if len(points) and not (points.min() >= 0 and points.max() <= 255):
        points = points - points.min(axis=0)
    ends = np.flatnonzero(steps[:-1, 2] > 0) + 1
    strokes = parse_strokes(np.split(points, ends)) if len(points) else []
    return Sketch(word, hash_strokes(strokes), None, strokes, split=split)


def _read_member(content: bytes) -> Iterator[NDArray[Any]]:
    """The arrays in a member of the npz, as numpy writes an array of objects, or one array [N, n, 3]."""
    file = io.BytesIO(content)
    shape, is_fortran, dtype = read_npy_header(file, with_objects=True)
    if not dtype.hasobject:
        if is_fortran or dtype.kind not in "iuf" or len(shape) != 3 or shape[2] != 3:
            raise ValueError(f"an array {dtype} {list(shape)[:4]}")
        yield from np.frombuffer(content, dtype, offset=file.tell()).reshape(shape)
        return
    try:
        found = _unpickled(file)
    except (AttributeError, LookupError, TypeError) as error:
        raise ValueError(f"its pickle is damaged ({error})") from error
    if not isinstance(found, _Made) or not found.state or not isinstance(found.state[-1], list):
        raise ValueError("its pickle holds no array of arrays")
    if shape != (len(found.state[-1]),):
        raise ValueError(f"an array {list(shape)[:4]} with {len(found.state[-1]):,} drawings")
    yield from map(_array, found.state[-1])


def _array(made: Any) -> NDArray[Any]:
    """A numeric array from what a pickle says of it."""
    if not isinstance(made, _Made) or made.kind != ARRAY or len(made.state) != 5:
        raise ValueError("its pickle holds something else than arrays")
    _, shape, kind, is_fortran, content = made.state
    if not isinstance(kind, _Made) or kind.kind != TYPE or not isinstance(shape, tuple):
        raise ValueError("its pickle holds an array without a type")
    order = kind.state[1] if len(kind.state) > 1 else "|"
    name = kind.arguments[0] if kind.arguments else None
    if not isinstance(name, str) or name not in TYPES or order not in ("<", ">", "|", "="):
        raise ValueError(f"its pickle holds an array of {name!r:.20}")
    content = content.encode("latin1") if isinstance(content, str) else content
    if not isinstance(content, bytes) or not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError("its pickle holds an array without numbers")
    dtype = np.dtype(name).newbyteorder(order)
    if not content:
        return np.empty((0, 3), dtype)
    return np.frombuffer(content, dtype).reshape(shape, order="F" if is_fortran else "C")


def _unpickled(file: BinaryIO) -> Any:
    """What a pickle holds, made of lists, tuples, texts, numbers and `_Made`. Raises ValueError for anything else."""
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}
    for opcode, argument, _ in pickletools.genops(file):
        name = opcode.name
        if name == "STOP":
            return stack[-1]
        if name in CONSTANTS:
            stack.append(CONSTANTS[name])
        elif name.startswith(NUMBERS_AND_TEXTS):
            stack.append(argument)
        elif name == "MEMOIZE" or name.endswith("PUT"):
            memo[len(memo) if name == "MEMOIZE" else int(argument or 0)] = stack[-1]
        elif name.endswith("GET"):
            stack.append(memo[int(argument or 0)])
        elif name == "MARK":
            marks.append(len(stack))
        elif name in ("TUPLE", "LIST", "APPENDS"):
            start = marks.pop()
            items = stack[start:]
            del stack[start:]
            if name == "APPENDS":
                stack[-1].extend(items)
            else:
                stack.append(tuple(items) if name == "TUPLE" else items)
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            stack[-int(name[-1]) :] = [tuple(stack[-int(name[-1]) :])]
        elif name == "EMPTY_LIST":
            stack.append([])
        elif name == "APPEND":
            last = stack.pop()
            stack[-1].append(last)
        elif name in ("GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD"):
            _make(name, argument, stack)
        elif name not in ("PROTO", "FRAME"):
            raise ValueError(f"its pickle asks for {name}, which is not followed")
    raise ValueError("its pickle is cut short")


def _make(name: str, argument: Any, stack: list[Any]) -> None:
    """Follow an instruction that names a function, calls it, or sets the state of what was made."""
    if name == "GLOBAL":
        stack.append(_named(argument))
        return
    last, first = stack.pop(), stack.pop()
    if name == "STACK_GLOBAL":
        stack.append(_named(f"{first} {last}"))
    elif not isinstance(last, tuple):
        raise ValueError("its pickle calls a function without arguments")
    elif name == "BUILD":
        if not isinstance(first, _Made):
            raise ValueError("its pickle sets the state of what is no array")
        first.state = last
        stack.append(first)
    elif first == ENCODE:
        stack.append(last[0])  # bytes, written as text: `_array` encodes it
    else:
        stack.append(_Made(first, last))


def _named(name: str) -> str:
    if name not in NAMES:
        raise ValueError(f"its pickle names {name:.80}, which is not followed")
    return NAMES[name]
