"""Text that is not ours (names of classes, paths, overrides, logs), as a terminal, a picture or a table may show it.

A class may be called `[/red]`, a path may hold an escape sequence, a setting may begin as a formula does. What shows
such text shows it by one of these functions.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.text import Text

# Control characters, ends of line, marks that turn the direction of text, and halves of characters.
HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\xad\u061c\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # a spreadsheet computes it
KEY = re.compile(r"\+{1,2}[A-Za-z_][\w./@]*")  # of an override that adds a key


def shown(text: object, longest: int | None = None) -> str:
    r"""`text` in one line, each character in it that acts on a terminal written out: `\x1b`, `\n`.

    longest: characters after which it is cut short, as in a picture that would have no room left for anything else.
    """
    whole = HIDDEN.sub(lambda found: ascii(found[0])[1:-1], str(text))
    return whole if longest is None or len(whole) <= longest else f"{whole[: longest - 1]}…"


def cell(text: object, style: str = "") -> Text:
    """`text` for rich, as a cell, a heading or a line, in which nothing is markup."""
    from rich.text import Text

    return Text(shown(text), style)


def csv_cell(value: Any) -> Any:
    """A value of a CSV file: a text that a spreadsheet would take for a formula begins with an apostrophe.

    A number stays a number, and so does a text that says one, such as "-0.5".
    """
    if not isinstance(value, str):
        return value
    plain = "\n".join(map(shown, value.split("\n")))  # CSV has quotes for a text of several lines
    return f"'{plain}" if value.startswith(FORMULA) and not _is_number(value) else plain


def csv_heading(key: str) -> str:
    """A heading of a CSV file: as a cell, but `+key`, of an override that adds a key, stays as it was typed."""
    return key if KEY.fullmatch(key) else csv_cell(key)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
