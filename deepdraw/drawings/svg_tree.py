"""Reduces the XML tree of an SVG file, which a stranger may have written, to one that is quick to draw.

The time of svgelements grows with the square of nested, repeated and inherited attributes and of style sheets. So
everything that does not affect an outline is removed, style sheets are resolved here, and the rest is limited.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.etree import ElementTree
from xml.parsers import expat

MOST_ELEMENTS = 10_000
MOST_NESTED = 100  # groups within groups
MOST_NUMBERS = 100_000  # numbers and commands in the paths and lines of all shapes: 50,000 points
MOST_CLOSED = 1 << 24  # characters between the beginnings and the ends of closed parts of paths
MOST_TRANSFORMS = 1 << 20  # characters of all transforms, those inherited from groups included
LONGEST = 1000  # characters of an attribute, except `d`, `points` and `style`
LONGEST_NUMBER = 64  # digits

SHAPES = {"path", "line", "polyline", "polygon", "rect", "circle", "ellipse"}
# Elements that are never painted, are painted only where another element refers to them, or are no outlines.
UNPAINTED = {"clipPath", "defs", "marker", "mask", "pattern", "symbol"}
UNPAINTED |= {"desc", "image", "metadata", "script", "style", "text", "title"}
PROPERTIES = {"color", "display", "fill", "fill-opacity", "opacity", "stroke", "stroke-opacity", "stroke-width"}
PROPERTIES |= {"visibility"}  # properties that a style may set
GEOMETRY = {"path": {"d"}, "polyline": {"points"}, "polygon": {"points"}}  # attributes of any length
PLACES = {"cx", "cy", "height", "r", "rx", "ry", "width", "x", "x1", "x2", "y", "y1", "y2"}
KEPT = {"preserveAspectRatio", "transform", "viewBox", *PROPERTIES, *PLACES}

NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
COMMAND = re.compile(r"[A-Za-z]")
LONG_NUMBER = re.compile(rf"\d{{{LONGEST_NUMBER + 1}}}")

Rules = dict[str, dict[str, str]]  # selector -> what it sets


def read_tree(encoded: bytes) -> ElementTree.Element:
    """The groups and shapes of an SVG file, with the attributes that affect their outline and color.

    Raises ValueError for another root element, for entities and <use> (which could grow without bound), and if a limit
    of this file is exceeded; expat.ExpatError for broken XML.
    """
    parser = expat.ParserCreate()
    parser.EntityDeclHandler = _refuse_entity
    parser.Parse(encoded, True)
    root = ElementTree.fromstring(encoded)
    if _tag(root) != "svg":
        raise ValueError(f"is no SVG file: its root is <{_tag(root)[:40]}>, not <svg>")
    rules = _rules("\n".join(style.text or "" for style in root.iter() if _tag(style) == "style"))
    _reduce(root, rules)
    return root


def _reduce(root: ElementTree.Element, rules: Rules) -> None:
    """Remove everything that does not affect an outline, and check the limits for the rest."""
    num_elements = num_numbers = num_transforms = num_closed = 0
    waiting = [(root, 0, 0)]
    while waiting:
        element, depth, inherited = waiting.pop()
        tag = _tag(element)
        attributes = _attributes(element, tag, rules)
        element.attrib.clear()
        element.attrib.update(attributes)
        element.text = element.tail = None
        inherited += len(attributes.get("transform", "")) + (LONGEST // 10 if tag == "svg" else 0)  # of its viewBox
        num_elements, num_transforms = num_elements + 1, num_transforms + inherited
        num_numbers += _num_numbers(attributes)
        num_closed += sum(
            (part.count("z") + part.count("Z")) * len(part) for part in re.split("[mM]", attributes.get("d", ""))
        )
        _check("elements", num_elements, MOST_ELEMENTS)
        _check("groups within groups", depth, MOST_NESTED)
        _check("numbers in its shapes", num_numbers, MOST_NUMBERS)
        _check("characters in closed parts of paths", num_closed, MOST_CLOSED)
        _check("characters of transforms in groups", num_transforms, MOST_TRANSFORMS)
        element[:] = [child for child in element if _is_painted(child)] if tag not in SHAPES else []
        waiting += [(child, depth + 1, inherited) for child in element]


def _is_painted(element: ElementTree.Element) -> bool:
    tag = _tag(element)
    if tag == "use":
        raise ValueError("has a <use>, which is not followed: save it with clones unlinked")
    return tag not in UNPAINTED and not (tag == "path" and not element.get("d"))


def _num_numbers(attributes: Mapping[str, str]) -> int:
    """The number of numbers and commands in a path or a line."""
    written = attributes.get("d", "") + attributes.get("points", "")
    return sum(1 for _ in NUMBER.finditer(written)) + sum(1 for _ in COMMAND.finditer(written))


def _check(what: str, number: int, most: int) -> None:
    if number > most:
        raise ValueError(f"has more than {most:,} {what}: simplify it")


def _attributes(element: ElementTree.Element, tag: str, rules: Rules) -> dict[str, str]:
    """The attributes that affect an element's outline and color: its own, and those of style sheet and style."""
    own = element.attrib
    attributes = {key: own[key] for key in KEPT | GEOMETRY.get(tag, set()) if key in own}
    classes = own.get("class", "")[:LONGEST].split()
    for selector in ("*", tag, f"#{own.get('id')}", *(name for c in classes for name in (f".{c}", f"{tag}.{c}"))):
        attributes |= rules.get(selector, {})
    attributes |= _declared(own.get("style", ""))
    if "points" in attributes:
        attributes["points"] = " ".join(NUMBER.findall(attributes["points"]))
    for key, value in attributes.items():
        if len(value) > LONGEST and key not in ("d", "points"):
            raise ValueError(
                f"has the attribute {key} of {len(value):,} characters, more than {LONGEST:,}: simplify it"
            )
        if LONG_NUMBER.search(value):
            raise ValueError(f"has a number of more than {LONGEST_NUMBER} digits: simplify it")
    return attributes


def _rules(sheet: str) -> Rules:
    """The rules of a style sheet with simple selectors: `*`, `tag`, `#id`, `.class` and `tag.class`."""
    start, *comments = sheet.split("/*")
    sheet = start + "".join(comment.partition("*/")[2] for comment in comments)
    rules: Rules = {}
    for block in sheet.split("}"):
        selectors, _, body = block.rpartition("{")
        declared = _declared(body)
        for selector in selectors.split(",") if declared else ():
            rules.setdefault(selector.strip(), {}).update(declared)
    return rules


def _declared(style: str) -> dict[str, str]:
    """The relevant properties that a style sets. If a property is set twice, the last value counts."""
    pairs = (declaration.partition(":") for declaration in style.split(";"))
    found: Mapping[str, str] = {key.strip(): value.partition("!")[0].strip() for key, _, value in pairs}
    return {key: value for key, value in found.items() if key in PROPERTIES and value}


def _tag(element: ElementTree.Element) -> str:
    """The name of an element without its namespace; "" for a comment."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def _refuse_entity(*_: object) -> None:
    raise ValueError("declares entities, which are not followed: save it as plain SVG")
