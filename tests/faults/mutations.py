"""Changes to files as damage, and as somebody who knows their form would make them: the same for the same seed."""

from __future__ import annotations

import io
import json
import math
import random
import re
import zipfile
from collections.abc import Callable
from typing import Any

NUMBERS = (
    b"0",
    b"-1",
    b"1e999",
    b"NaN",
    b"99999999999999999999",
    b"1" * 5000,
    b"0x7f",
    b"1.5",
    b"65536",
    b"4294967296",
)
WORDS = (
    b"{",
    b"[" * 300,
    b"]",
    b'"',
    b"null",
    b"true",
    b"\0",
    b"\n",
    b"../../x",
    b"/dev/zero",
    b"\xff",
    b",",
    b":",
    b"&a",
)
BLOCKS = (b"\0" * 8, b"\xff" * 8, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0" * 600, b"PK\x05\x06")
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, -(2**70), 10**400, 0.5, 1e308, math.nan, math.inf),
    *("", "x", "x" * 3000, "../../x", "/dev/zero", "a\nb", "a\0b", "\ud800", "1", "=1+1", "[/red]", "é" * 300),
    *([], {}, [[]], [None], {"a": 1}, {"": {}}, ["x"] * 2000),
)


def damage(chosen: random.Random, content: bytes) -> bytes:
    """Some bits or bytes changed, cut, moved or put in."""
    changed = bytearray(content)
    for _ in range(chosen.choice((1, 1, 1, 2, 5))):
        start = chosen.randrange(len(changed) + 1)
        stop = min(len(changed), start + chosen.choice((1, 4, 40, 600)))
        kind = chosen.randrange(8)
        if kind == 0 and changed:
            bit = chosen.randrange(8 * len(changed))
            changed[bit // 8] ^= 1 << bit % 8
        elif kind == 1:
            del changed[start:]
        elif kind == 2:
            del changed[start:stop]
        elif kind == 3:
            changed[start:start] = changed[chosen.randrange(len(changed) + 1) :][: stop - start]
        elif kind == 4:
            changed[start:start] = chosen.choice((*WORDS, *BLOCKS))
        elif kind == 5:
            block = chosen.choice(BLOCKS)
            changed[start : start + len(block)] = block
        elif kind == 6:
            changed[start:stop] = chosen.randbytes(stop - start)
        elif numbers := list(re.finditer(rb"-?\d+(?:\.\d+)?", changed)):
            place = chosen.choice(numbers)
            changed[place.start() : place.end()] = chosen.choice(NUMBERS)
    return bytes(changed)


def change_json(chosen: random.Random, content: bytes) -> bytes:
    """One or two values of a JSON document of another type, size or name; missing, or too many."""
    document = json.loads(content)
    for _ in range(chosen.choice((1, 1, 2))):
        document = change_value(chosen, document)
    return json.dumps(document).encode()


def change_value(chosen: random.Random, value: Any) -> Any:
    """The same but for one value somewhere within it."""
    if chosen.random() < 0.15 or not isinstance(value, dict | list) or not value:
        return deep(chosen.choice((50, 5000))) if chosen.random() < 0.03 else chosen.choice(VALUES)
    if isinstance(value, list):
        place, changed = chosen.randrange(len(value)), list(value)
        kind = chosen.randrange(6)
        if kind == 0:
            del changed[place]
        elif kind == 1:
            changed.insert(place, changed[place])
        else:
            changed[place] = change_value(chosen, changed[place])
        return changed
    key, kind = chosen.choice(list(value)), chosen.randrange(6)
    if kind == 0:
        return {name: content for name, content in value.items() if name != key}
    if kind == 1:
        return {**value, chosen.choice(("", "x", "é", "a\nb", "x" * 400, f"{key}/")): chosen.choice(VALUES)}
    return {name: change_value(chosen, content) if name == key else content for name, content in value.items()}


def deep(levels: int) -> list[Any]:
    """A list within a list, so many times (json.dumps follows no more than about a thousand)."""
    value: list[Any] = []
    for _ in range(min(levels, 900)):
        value = [value]
    return value


def change_member(chosen: random.Random, content: bytes) -> bytes:
    """A zip archive with one of its members damaged, and checksums that match."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = chosen.choice(list(members))
    kind = chosen.randrange(8)
    if kind == 0:
        del members[name]
    elif kind == 1:
        members[chosen.choice(("x.npy", "../x", name + "x"))] = members[name]
    else:
        members[name] = damage(chosen, members[name])
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED if kind == 2 else zipfile.ZIP_STORED) as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return written.getvalue()


Mutation = Callable[[random.Random, bytes], bytes]
