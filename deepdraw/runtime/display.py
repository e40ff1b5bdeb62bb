"""Makes foreign text (names of classes, paths, overrides, logs) safe to show in a terminal, a picture or a table.

A class may be called `[/red]`, a path may hold an escape sequence, a setting may look like a formula. Every place that
shows such text must pass it through one of these functions.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

# Control characters, line ends, marks that change the direction of text, and lone surrogates.
HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\xad\u061c\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
# A spreadsheet takes a text that starts with one of these for a formula.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
ADDED_KEY = re.compile(r"\+{1,2}[A-Za-z_][\w./@]*")  # an override that adds a key


def typed(*words: object) -> str:
    """The words of a command as they are typed into a shell: each quoted where it needs that, such as a path."""
    return shown(shlex.join(map(str, words)))


def shown(text: object, longest: int | None = None) -> str:
    r"""`text` in one line, with control characters written as escapes: `\x1b`, `\n`.

    longest: the text is shortened to so many characters, for example in a picture with little room.
    """
    whole = HIDDEN.sub(lambda found: ascii(found[0])[1:-1], str(text))
    return whole if longest is None or len(whole) <= longest else f"{whole[: longest - 1]}…"


def cell(text: object, style: str = "") -> Text:
    """`text` for rich, as a cell, a heading or a line. Nothing in it is read as markup."""
    from rich.text import Text

    return Text(shown(text), style)


def print_line(console: Console, text: str) -> None:
    """Print a text as one line; a terminal that is narrower has it broken between words, not within one."""
    console.print(cell(text), soft_wrap=not console.is_terminal)


def csv_cell(value: Any) -> Any:
    """A value for a CSV file. A text that a spreadsheet would take for a formula gets a leading apostrophe.

    Numbers are not changed, nor are texts that are numbers, such as "-0.5".
    """
    if not isinstance(value, str):
        return value
    plain = "\n".join(map(shown, value.split("\n")))  # CSV can quote a text of several lines
    return f"'{plain}" if value.startswith(FORMULA_STARTS) and not _is_number(value) else plain


def csv_heading(key: str) -> str:
    """A heading for a CSV file: like a cell, but an override that adds a key (`+key`) is not changed."""
    return key if ADDED_KEY.fullmatch(key) else csv_cell(key)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
