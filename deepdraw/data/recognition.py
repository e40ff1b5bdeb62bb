"""Whether drawings are those that the game of Quick, Draw! recognized, or all: every table of results says it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Recognition = Literal["recognized", "all", "unknown"]
WORDS: dict[object, Recognition] = {"recognized": "recognized", "all": "all"}
OPTIONS: dict[object, Recognition] = {"true": "recognized", "any": "all"}  # `recognized` of the preparation
MOST_UNSAID = 0.01  # share of drawings whose file need not say it


def recognition_of(source: object) -> Recognition:
    """What a source of data says of its drawings by an attribute `recognition`; unknown where it says nothing."""
    return as_recognition(getattr(source, "recognition", None))


def as_recognition(word: object) -> Recognition:
    """The word itself where it is recognized or all, else unknown."""
    return WORDS.get(word, "unknown") if isinstance(word, str) else "unknown"


def in_brackets(recognition: Recognition) -> str:
    """How a title says it behind the number of drawings."""
    return "(recognized or all: unknown)" if recognition == "unknown" else f"({recognition})"


def recognition_of_index(index: Mapping[str, Any]) -> Recognition:
    """What the index of shards says of them: what was asked for, unless files did not say what was recognized."""
    option, counts = index.get("recognized"), index.get("counts")
    asked = OPTIONS.get(option, "unknown") if isinstance(option, str) else "unknown"
    if not isinstance(counts, dict):
        return asked if asked == "all" else "unknown"
    kept, left, unsaid = (counts.get(kind) for kind in ("kept", "beyond_limit", "without_recognized"))
    if not (isinstance(kept, int) and isinstance(left, int) and isinstance(unsaid, int)):
        return "unknown"
    return asked if unsaid <= MOST_UNSAID * (kept + left) else "unknown"
