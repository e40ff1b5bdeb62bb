"""How names that people write are compared: classes, options, files. Here alone is decided what to suggest."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches

MIN_SIMILARITY = 0.65  # share of the characters that a suggestion has in common with what was written, in order
# Unicode categories that are left out of a comparison: dashes, underscores, spaces, and characters that are not shown.
SEPARATORS = {"Pd", "Pc", "Zs", "Zl", "Zp", "Cc", "Cf"}


def normal_name(name: str) -> str:
    """A name with each character in its composed form (NFC): file systems and editors write é as one or as two."""
    return unicodedata.normalize("NFC", name)


def fold_name(name: str) -> str:
    """A name in the form in which it is compared: `Hot-Dog`, `hot_dog` and `hot dog` are one, as are both forms of é.

    Case, separators and the Unicode form of a character are left out. Two names of one form are taken for one name.
    """
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    kept = "".join(one for one in text if unicodedata.category(one) not in SEPARATORS)
    return unicodedata.normalize("NFKC", kept) or text


def nearest_names(name: str, choices: Iterable[str], number: int = 1) -> list[str]:
    """Up to `number` of the choices that someone who wrote `name` may have meant, the nearest first.

    None of them is far off, and none is `name` itself.
    """
    forms: dict[str, list[str]] = {}
    for choice in choices:
        if choice != name:
            forms.setdefault(fold_name(choice), []).append(choice)
    near = get_close_matches(fold_name(name), forms, n=number, cutoff=MIN_SIMILARITY)
    return [choice for form in near for choice in forms[form]][:number]


def did_you_mean(name: str, choices: Iterable[str], form: str = "{}") -> str:
    """`did you mean cat?` for the nearest of the choices, written as `form`; an empty text where none is near.

    form: how a choice is shown, such as `{}=...` or `{!r}`; it is a text of the program, never of a user.
    """
    near = nearest_names(name, choices)
    return f"did you mean {form.format(near[0])}?" if near else ""
