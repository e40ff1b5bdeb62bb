"""Fetches tars from a URL or a pipe once, through webdataset, into the user's cache.

The address names every tar, with braces as in a shell. Each tar lies below the folder that it belongs to:

    root='http://host/drawings/{train/data-{00000..00220},test/data-{00000..00053}}.tar'
    root='pipe:ssh host cat drawings/{train,test}/data-{00000..00009}.tar'
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path

from rich.console import Console
from rich.progress import track

from deepdraw.runtime import cache_folder, whole_file

PLACE = re.compile(r"\b(train|test|quickdraw_zeroshot)/([\w.-]+\.tar)(?![\w.-])")
PLAIN = re.compile(r"https?://[\w.:/%~?&=+@-]+")  # without quotes and spaces: webdataset passes the address to a shell
MOST = 100_000  # tars that one address may name
LONGEST = 10_000  # characters of an address
BRACE = re.compile(r"\\.|[{},]")
RANGE = re.compile(r"(-?\d+)\.\.(-?\d+)(?:\.\.(-?\d+))?")
CHUNK = 1 << 20  # bytes


def is_remote(root: str) -> bool:
    """Whether `root` is an address and not a folder."""
    return root.startswith(("http://", "https://", "pipe:"))


def fetch(root: str) -> Path:
    """The local folder that holds the tars of the address `root`. Missing tars are fetched first.

    A pipe runs a shell command, and so can an unusual address, while a root may come from a stranger's checkpoint. So
    everything but a plain address needs DEEPDRAW_PIPES=1 in the environment. Raises ValueError, naming the fix, if that
    is not set, if an address names none of the folders of `ImageTars`, and if a tar cannot be fetched.
    """
    from webdataset.shardlists import expand_urls

    _check_number(root)
    folder = cache_folder() / "tars" / blake2b(root.encode(), digest_size=8).hexdigest()
    wanted: dict[Path, str] = {}
    for url in expand_urls(root):
        if not PLAIN.fullmatch(url) and os.environ.get("DEEPDRAW_PIPES") != "1":
            raise ValueError(f"{url} would run a shell command: export DEEPDRAW_PIPES=1 to allow it")
        place = PLACE.search(url)
        if not place:
            raise ValueError(f"{url} names no train/*.tar, test/*.tar or quickdraw_zeroshot/*.tar: set data.root so")
        path = folder / place[1] / place[2]
        if path in wanted:
            raise ValueError(f"{url} and {wanted[path]} would be one file: give every tar of a folder its own name")
        wanted[path] = url
    missing = {path: url for path, url in wanted.items() if not path.exists()}
    console = Console(stderr=True)
    for path in track(missing, "fetching tars", console=console, disable=not console.is_terminal):
        with whole_file(path) as file:
            for chunk in _chunks(missing[path], path.name):
                file.write(chunk)
    return folder


def _check_number(root: str) -> None:
    """Raise ValueError if the braces of an address expand to too many addresses."""
    try:
        number = sum(map(_num_expanded, root.split("::"))) if len(root) <= LONGEST else MOST + 1
    except RecursionError:
        number = MOST + 1
    if number > MOST or number * len(root) > 1000 * MOST:
        raise ValueError(f"data.root={root[:80]} ... names more than {MOST:,} tars: write fewer or smaller braces")


def _num_expanded(pattern: str) -> int:
    """The number of addresses that a pattern expands to, without expanding it."""
    number, depth, start = 1, 0, 0
    for match in BRACE.finditer(pattern):
        if match[0] == "{":
            depth, start = depth + 1, match.end() if depth == 0 else start
        elif match[0] == "}":
            depth -= 1
            if depth == 0:
                number *= _num_within(pattern[start : match.start()])
        if depth < 0:
            break
    if depth:
        raise ValueError(f"data.root={pattern[:200]} opens and closes other numbers of braces: correct it")
    return number


def _num_within(braces: str) -> int:
    if numbers := RANGE.fullmatch(braces):
        first, last, step = (int(number or 1) for number in numbers.groups())
        return abs(last - first) // (abs(step) or 1) + 1
    ends, depth = [-1], 0
    for match in BRACE.finditer(braces):
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        if match[0] == "," and depth == 0:
            ends.append(match.start())
    parts = [braces[a + 1 : b] for a, b in pairwise([*ends, len(braces)])]
    return sum(map(_num_expanded, parts))


def _chunks(url: str, name: str) -> Iterator[bytes]:
    """The bytes at an address, in chunks as they arrive."""
    from webdataset.gopen import gopen

    try:
        with gopen(url) as stream:
            while chunk := stream.read(CHUNK):
                yield chunk
    except OSError as error:
        command = url.removeprefix("pipe:") if url.startswith("pipe:") else f"curl -fL '{url}'"
        raise ValueError(f"{url} could not be fetched: see why with `{command} > {name}`") from error
