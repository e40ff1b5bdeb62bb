"""Official files of four categories, and the command that makes shards of them."""

import json
from contextlib import nullcontext
from pathlib import Path

import pytest

from deepdraw.data.quickdraw import __main__ as quickdraw
from deepdraw.data.quickdraw.__main__ import Options, convert
from deepdraw.data.shards import Shards
from deepdraw.drawings.packed import Drawings
from deepdraw.runtime.options import parse

CATEGORIES = ("zebra", "yoga", "airplane", "ambulance")  # the last two are unseen


NUM_EACH = 120


def line(key_id: int, word: str, **keys: object) -> dict[str, object]:
    return {
        "word": word,
        "key_id": str(key_id),
        "recognized": True,
        "drawing": [[[key_id % 256, 9], [0, 1]]],
        **keys,
    }


def write(path: Path, lines: list[object]) -> Path:
    path.write_text("".join(text if isinstance(text, str) else json.dumps(text) + "\n" for text in lines))
    return path


@pytest.fixture
def in_this_process(monkeypatch):
    """Read without a pool: starting processes would take most of the time of these tests."""
    monkeypatch.setattr(quickdraw, "process_pool", lambda most: nullcontext(map))


@pytest.fixture
def source(tmp_path, in_this_process) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    for number, word in enumerate(CATEGORIES):
        first = 1000 * number
        write(folder / f"{word}.ndjson", [line(first + k, word) for k in range(NUM_EACH)])
    return folder


def run(*arguments: object) -> dict[str, Drawings]:
    """Split -> all its drawings."""
    index = convert(parse(Options, [str(argument) for argument in arguments]))
    root = next(str(argument)[5:] for argument in arguments if str(argument).startswith("root="))
    shards = Shards(root)
    assert list(index["splits"]) == shards.splits
    return {split: Drawings.concatenate(list(shards.split(split))) for split in shards.splits}


def key_ids(splits: dict[str, Drawings]) -> dict[str, set[int]]:
    return {split: set(drawings.key_ids.tolist()) for split, drawings in splits.items()}
