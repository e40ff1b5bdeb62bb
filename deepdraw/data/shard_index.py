"""index.json describes the shards beside it: their content, the checksum of each shard, and its own checksum."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from deepdraw.runtime import LARGEST, parse_json, read_bytes, suggest_path, visible

FORMATS = ("deepdraw-strokes-1", "deepdraw-strokes-2")  # the second has a checksum of the index itself
START = b',\n "sha256": "'  # start of the last entry, which is the checksum of all bytes before it
END = b'"\n}\n'
LEAST = 16  # bytes of a drawing with a single point
MOST_CLASSES = 2**16  # labels are uint16


@dataclass(frozen=True)
class ShardEntry:
    """A shard: its name within the root, and what it holds."""

    file: str
    num_drawings: int
    num_bytes: int
    sha256: str

    def __post_init__(self) -> None:
        if self.file in ("", ".", "..") or set(self.file) & set("/\\\0"):
            raise ValueError(f"the file {self.file[:80]!r} is no plain name within the folder")
        if not 0 <= LEAST * self.num_drawings <= self.num_bytes:
            raise ValueError(f"{self.num_drawings} drawings do not fit the {self.num_bytes} bytes of {self.file[:80]}")


@dataclass(frozen=True)
class SplitEntry:
    """A split: label k means `classes[k]`; its shards, in the order of their drawings."""

    classes: list[str]
    num_drawings: int
    per_class: dict[str, int]
    shards: list[ShardEntry]

    def __post_init__(self) -> None:
        if len(set(self.classes)) < len(self.classes) or len(self.classes) > MOST_CLASSES:
            raise ValueError(f"its {len(self.classes)} classes are not all different, or more than {MOST_CLASSES:,}")
        if not all(name.isprintable() and name.strip() for name in self.classes):
            raise ValueError("a class has no name, or one that cannot be printed")
        if list(self.per_class) != self.classes or min(self.per_class.values(), default=0) < 0:
            raise ValueError("its classes are not those of per_class, in the same order")
        if not self.num_drawings == sum(self.per_class.values()) == sum(shard.num_drawings for shard in self.shards):
            raise ValueError(f"its {self.num_drawings} drawings are not those of its classes, or of its shards")
        if len({shard.file for shard in self.shards}) < len(self.shards):
            raise ValueError("a shard is there twice")


def index_bytes(index: Mapping[str, Any]) -> bytes:
    """The bytes of index.json. Its last entry is the SHA-256 of all bytes before that entry."""
    content = json.dumps({**index, "format": FORMATS[-1]}, indent=1).removesuffix("\n}").encode()
    return content + START + sha256(content).hexdigest().encode() + END


def read_index(root: Path) -> tuple[dict[str, Any], dict[str, SplitEntry]]:
    """The index of the shards under `root`: its whole content, and the entries of its splits.

    Raises ValueError, in one line that names file and fix, if it is missing, damaged, or has another form.
    """
    import msgspec

    path, again = root / "index.json", "write the shards again"
    if not path.exists():
        raise ValueError(f"no shards in {root} (there is no index.json): {_what_to_give(root)}")
    content = read_bytes(path, largest=LARGEST["JSON"], fix=again)
    index = parse_json(content, dict[str, Any], path=path, fix=again)
    if index.get("format") not in FORMATS:
        raise ValueError(
            f"{path} has format {index.get('format')!r:.80}, this version reads {' and '.join(FORMATS)}: {again}"
        )
    if (index["format"] != FORMATS[0] or "sha256" in index) and not _matches(content):
        raise ValueError(f"{path} does not match its own checksum, so it is damaged or was changed: {again}")
    try:
        return index, msgspec.convert(index.get("splits"), dict[str, SplitEntry])
    except msgspec.ValidationError as error:
        raise ValueError(
            f"{path} is of another form (splits: {' '.join(str(error).split())[:300]}): {again}"
        ) from error


def _what_to_give(root: Path) -> str:
    """What to do about a root without shards."""
    written = f"write them with `python -m deepdraw.data.quickdraw root={shlex.quote(str(root))}`"
    if root.is_dir() and visible(root):
        return (
            f"{written}; images or tars there are evaluated on as split=FOLDER, trained on as data=folder or data=tars"
        )
    near = suggest_path(root)
    return f"{near} Or {written}" if near else written


def _matches(content: bytes) -> bool:
    """Whether the checksum at the end matches the bytes before it."""
    before, start, end = content.rpartition(START)
    return bool(start) and end == sha256(before).hexdigest().encode() + END
