"""Text files that a reader finds whole: the old one or the new one, never a half."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 in the place of what `path` held; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.tmp")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, path)


def write_json(path: Path, mapping: Mapping[str, Any]) -> None:
    """Write `mapping` with sorted keys. Raises ValueError for NaN and infinity, which JSON has no word for."""
    write_text(path, json.dumps(mapping, indent=2, sort_keys=True, allow_nan=False) + "\n")
