"""Reads the XML of an SVG file, which a stranger may have written, and refuses what could grow without bound."""

from __future__ import annotations

import re
import zlib
from xml.etree import ElementTree
from xml.parsers import expat

from deepdraw.drawings.svg_style import tag_of
from deepdraw.runtime import LARGEST

MOST_NUMBERS = 100_000  # numbers and commands in the paths and lines of all shapes: 50,000 points
MOST_CLOSED = 1 << 24  # characters between the beginnings and the ends of closed parts of paths
LONGEST_NUMBER = 64  # digits
LONGEST_ENTITY = 10_000  # characters

NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
COMMAND = re.compile(r"[A-Za-z]")
LONG_NUMBER = re.compile(rf"\d{{{LONGEST_NUMBER + 1}}}")
GZIP = b"\x1f\x8b"


def read_tree(encoded: bytes) -> ElementTree.Element:
    """The elements of an SVG file, which may be a gzip (.svgz).

    Raises ValueError for another root element, for entities that could grow without bound or are outside the file, and
    if a limit of this file is exceeded; expat.ExpatError or ElementTree.ParseError for broken XML.
    """
    encoded = _unpacked(encoded) if encoded.startswith(GZIP) else encoded
    _check_entities(encoded)
    root = ElementTree.fromstring(encoded)
    if tag_of(root) != "svg":
        raise ValueError(f"is no SVG file: its root is <{tag_of(root)[:40]}>, not <svg>")
    num_numbers = num_closed = 0
    for element in root.iter():
        path, points = element.get("d", ""), element.get("points", "")
        num_numbers += sum(1 for _ in NUMBER.finditer(path + " " + points)) + sum(1 for _ in COMMAND.finditer(path))
        num_closed += sum((part.count("z") + part.count("Z")) * len(part) for part in re.split("[mM]", path))
        check("numbers in its shapes", num_numbers, MOST_NUMBERS)
        check("characters in closed parts of paths", num_closed, MOST_CLOSED)
        if any(LONG_NUMBER.search(text) for text in (path, points, element.get("transform", ""))):
            raise ValueError(f"has a number of more than {LONGEST_NUMBER} digits: simplify it")
    return root


def check(what: str, number: int, most: int) -> None:
    """Raise ValueError if there are more than `most` of something."""
    if number > most:
        raise ValueError(f"has more than {most:,} {what}: simplify it")


def _unpacked(encoded: bytes) -> bytes:
    unpacking = zlib.decompressobj(wbits=31)
    try:
        content = unpacking.decompress(encoded, LARGEST["SVG"] + 1)
    except zlib.error as error:
        raise ValueError(f"is a gzip that is damaged ({error}): save it anew as SVG") from error
    if len(content) > LARGEST["SVG"]:
        raise ValueError(f"has more than {LARGEST['SVG']:,} bytes when unpacked: simplify it")
    if not unpacking.eof:
        raise ValueError("is a gzip that is cut short: save it anew as SVG")
    return content


def _check_entities(encoded: bytes) -> None:
    """Refuse entities that hold entities or are outside the file, and those that would make the file large."""
    longest = 0

    def declared(name: str, is_parameter: bool, value: str | None, *_: object) -> None:
        nonlocal longest
        if is_parameter or value is None:
            raise ValueError("declares entities outside of it, which are not followed: save it as plain SVG")
        if "&" in value:
            raise ValueError("declares entities that hold entities, which are not followed: save it as plain SVG")
        longest = max(longest, len(value))
        # Each is referred to by at least one "&"; in UTF-16 too, it has this byte.
        if longest > LONGEST_ENTITY or longest * encoded.count(b"&") > LARGEST["SVG"]:
            raise ValueError("declares entities that make it too large: save it as plain SVG")

    parser = expat.ParserCreate()
    parser.EntityDeclHandler = declared
    parser.Parse(encoded, True)
