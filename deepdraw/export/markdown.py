"""Text as Markdown: that of others is shown as it is, whatever it holds, and nothing in it is read as markup."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from deepdraw.runtime import shown

LONGEST = 600  # characters of one text
MARKUP = re.compile(r"([\\`*_{}\[\]<>#!|&~$@^:])|(?<=www)(?=\.)", re.IGNORECASE)  # within a line; `:` makes links


def escaped(text: object, longest: int = LONGEST) -> str:
    r"""`text` in one line, each sign that Markdown or HTML could read behind a backslash: `\<script\>`."""
    return MARKUP.sub(lambda found: f"\\{found[0]}", " ".join(shown(text, longest).split()))


def table(heading: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """The lines of a table. Its cells are escaped."""
    lines = [heading, ["---"] * len(heading), *([escaped(cell) for cell in row] for row in rows)]
    return [f"| {' | '.join(line)} |" for line in lines]


def code(text: str, language: str = "") -> list[str]:
    """The lines of a block of code, in a fence that is longer than any in it."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}{language}", *text.splitlines(), fence]
