"""What an element of an SVG file looks like: the style sheets, attributes and styles that apply to it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple
from xml.etree import ElementTree

INHERITED = {
    **{"color": "black", "fill": "black", "fill-opacity": "1", "fill-rule": "nonzero"},
    **{"stroke": "none", "stroke-opacity": "1", "stroke-width": "1", "visibility": "visible"},
}
OWN = {
    **{"background": "", "background-color": ""},
    **{"clip-path": "none", "display": "inline", "mask": "none", "opacity": "1", "overflow": ""},
    **{"stop-color": "black", "stop-opacity": "1", "transform": "", "transform-box": "", "transform-origin": ""},
}
PROPERTIES = {*INHERITED, *OWN}
MOST_RULES = 10_000  # selectors of all style sheets
MOST_MATCHES = 1 << 20  # selectors that are held against elements
LONGEST = 1000  # characters of a value

COMPOUND = re.compile(r"(\*|[\w-]+)?((?:[.#][\w-]+)*)$")
CALL = re.compile(r"(rgba?|hsla?)\(([^()]*)\)$")
PART = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)(%|deg|turn|rad)?")
LENGTH = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(%|[a-zA-Z]*)\s*$")
PIXELS = {"": 1, "px": 1, "pt": 4 / 3, "pc": 16, "mm": 96 / 25.4, "cm": 96 / 2.54, "in": 96, "q": 96 / 101.6}
PIXELS |= {"em": 16, "rem": 16, "ex": 8}


class Paint(NamedTuple):
    """A color, red, green and blue in 0..255, and its opacity in 0..1."""

    rgb: tuple[float, float, float]
    alpha: float


@dataclass
class Sheet:
    """The rules of all style sheets, by the last part of their selectors: `#id`, `.class`, the tag or `*`."""

    rules: dict[str, list[_Rule]] = field(default_factory=dict)
    num_matches: int = 0

    @classmethod
    def parse(cls, text: str) -> Sheet:
        """Read style sheets. Of selectors those of tags, classes, ids and descendants are followed, others are not."""
        start, *comments = text.split("/*")
        text = start + "".join(comment.partition("*/")[2] for comment in comments)
        sheet, order = cls(), 0
        for block in text.split("}"):
            selectors, _, body = block.rpartition("{")
            declared = declarations(body)
            for selector in selectors.split(",") if declared else ():
                parts = [COMPOUND.match(part) for part in selector.replace(">", " ").split()]
                if not parts or not all(parts) or len(selector) > LONGEST:
                    continue
                compounds = [_Compound.of(part) for part in parts if part]
                order += 1
                if order > MOST_RULES:
                    raise ValueError(f"has more than {MOST_RULES:,} rules in its style sheets: simplify it")
                sheet.rules.setdefault(compounds[-1].key, []).append(_Rule(compounds, declared, order))
        return sheet

    def declared(self, element: ElementTree.Element, ancestors: Sequence[ElementTree.Element]) -> dict[str, str]:
        """What the rules that match an element declare, the most specific one last."""
        if not self.rules:
            return {}
        keys = ["*", tag_of(element), f"#{element.get('id')}", *(f".{name}" for name in classes_of(element))]
        found = [rule for key in keys for rule in self.rules.get(key, ())]
        self.num_matches += len(found)
        if self.num_matches > MOST_MATCHES:
            raise ValueError("has too many rules for too many elements: simplify its style sheets")
        matching = [rule for rule in found if rule.matches(element, ancestors)]
        declared: dict[str, str] = {}
        for rule in sorted(matching, key=lambda rule: (rule.specificity, rule.order)):
            declared |= rule.declared
        return declared


class _Compound(NamedTuple):
    tag: str
    ids: tuple[str, ...]
    classes: tuple[str, ...]

    @classmethod
    def of(cls, match: re.Match[str]) -> _Compound:
        names = re.findall(r"[.#][\w-]+", match[2])
        return cls(
            "" if match[1] in (None, "*") else match[1],
            tuple(name[1:] for name in names if name[0] == "#"),
            tuple(name[1:] for name in names if name[0] == "."),
        )

    @property
    def key(self) -> str:
        if self.ids or self.classes:
            return f"#{self.ids[0]}" if self.ids else f".{self.classes[0]}"
        return self.tag or "*"

    def matches(self, element: ElementTree.Element) -> bool:
        return (
            self.tag in ("", tag_of(element))
            and all(name == element.get("id") for name in self.ids)
            and all(name in classes_of(element) for name in self.classes)
        )


class _Rule(NamedTuple):
    compounds: list[_Compound]
    declared: dict[str, str]
    order: int

    @property
    def specificity(self) -> tuple[int, int, int]:
        return (
            sum(len(compound.ids) for compound in self.compounds),
            sum(len(compound.classes) for compound in self.compounds),
            sum(bool(compound.tag) for compound in self.compounds),
        )

    def matches(self, element: ElementTree.Element, ancestors: Sequence[ElementTree.Element]) -> bool:
        *outer, last = self.compounds
        waiting: Iterator[ElementTree.Element] = reversed(ancestors)
        return last.matches(element) and all(any(part.matches(one) for one in waiting) for part in reversed(outer))


def style_of(
    element: ElementTree.Element, ancestors: Sequence[ElementTree.Element], sheet: Sheet, inherited: Mapping[str, str]
) -> dict[str, str]:
    """The value of each of PROPERTIES for an element. An attribute gives way to a rule, a rule to the style."""
    declared = {key: element.attrib[key].strip() for key in PROPERTIES & element.attrib.keys()}
    declared |= sheet.declared(element, ancestors)
    declared |= declarations(element.get("style", ""))
    style = {**OWN, **{key: inherited.get(key, value) for key, value in INHERITED.items()}}
    for key, value in declared.items():
        if len(value) > LONGEST:
            raise ValueError(f"has the property {key} of {len(value):,} characters, more than {LONGEST:,}: simplify it")
        style[key] = inherited.get(key, OWN.get(key, "")) if value == "inherit" else value
    return style


def declarations(style: str) -> dict[str, str]:
    """The properties of PROPERTIES that a style sets. If one is set twice, the last value counts."""
    pairs = (declaration.partition(":") for declaration in style.split(";"))
    found = {key.strip().lower(): value.partition("!")[0].strip() for key, _, value in pairs}
    return {key: value for key, value in found.items() if key in PROPERTIES and value}


def tag_of(element: ElementTree.Element) -> str:
    """The name of an element without its namespace; "" for a comment."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def classes_of(element: ElementTree.Element) -> list[str]:
    """The classes of an element."""
    return element.get("class", "")[:LONGEST].split()


@lru_cache(maxsize=10_000)
def parse_color(text: str) -> Paint | None:
    """A color as CSS writes it; None for `none`, and for what is no color."""
    from PIL import ImageColor

    text = text.strip().lower()
    if text in ("none", "transparent", ""):
        return None
    if (call := CALL.match(text)) is None:
        try:
            red, green, blue, *alpha = ImageColor.getrgb(text)
        except ValueError:
            return None
        return Paint((float(red), float(green), float(blue)), alpha[0] / 255 if alpha else 1.0)
    parts = PART.findall(call[2])
    if len(parts) not in (3, 4):
        return None
    alpha_part = _share(*parts[3]) if len(parts) == 4 else 1.0
    if call[1].startswith("rgb"):
        values = [float(number) * (2.55 if unit == "%" else 1) for number, unit in parts[:3]]
    else:
        values = _from_hsl(float(parts[0][0]), _share(*parts[1]), _share(*parts[2]))
    first, second, third = (min(255.0, max(0.0, value)) for value in values)
    return Paint((first, second, third), alpha_part)


def _from_hsl(hue: float, saturation: float, lightness: float) -> list[float]:
    from colorsys import hls_to_rgb

    return [255 * value for value in hls_to_rgb(hue / 360 % 1, lightness, saturation)]


def _share(number: str, unit: str) -> float:
    return min(1.0, max(0.0, float(number) / (100 if unit == "%" else 1)))


def parse_share(text: str) -> float:
    """An opacity in 0..1, written as a number or in percent. What is none counts as 1."""
    match = LENGTH.match(text)
    return _share(match[1], match[2]) if match and match[2] in ("", "%") else 1.0


def parse_length(text: str | None, whole: float, default: float = 0.0) -> float:
    """A length in px; `whole` is what percents are of. What is no length counts as `default`."""
    match = LENGTH.match(text or "")
    if not match:
        return default
    if match[2] == "%":
        return float(match[1]) * whole / 100
    return float(match[1]) * PIXELS[match[2].lower()] if match[2].lower() in PIXELS else default
