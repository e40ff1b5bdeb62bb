"""Reads official files into packed drawings, and counts by kind which drawings were left out or repaired."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from deepdraw.data.external_sort import SortedDrawings, SortedPart, write_sorted
from deepdraw.data.quickdraw.categories import check_category
from deepdraw.data.quickdraw.splits import (
    SKETCH_RNN,
    SPLIT_NAMES,
    SPLIT_RULES,
    categories_of,
    select,
    split_as_told,
)
from deepdraw.drawings import NOT_SAID, SUFFIXES, Broken, Bulk, Drawings, own_word, read_bulk, reason_not_read, word_of
from deepdraw.runtime import create_file, existing_folder, walk

log = logging.getLogger(__name__)

MAX_BROKEN = 0.01
DROPPED = {
    "broken": "broken lines or records",
    "empty": "drawings without a point",
    "not_recognized": "drawings the game did not recognize (recognized=any keeps them)",
    "duplicate": "drawings whose id, or strokes where there is no id, came before in the file",
    "beyond_limit": "drawings beyond per_class or the split rule's limit",
}
ODDITIES = {
    "one_point_strokes": "strokes of one point, kept as dots",
    "empty_strokes": "strokes without a point, taken out of their drawing",
    "without_recognized": "drawings that do not say whether they were recognized, taken as recognized",
}


def find_files(source: Path) -> dict[str, Path]:
    """The file of each category in a directory, by the word of its drawings or else by its name.

    Raises:
        ValueError: if there is no file, more than one of a category, one that is named after none, or one of a form
            that is not read here.
    """
    existing_folder(source, "source=")
    files: dict[str, Path] = {}
    found = walk(source, SUFFIXES, deeper=False, refuse=reason_not_read)
    for path in found.files:
        if path.suffix.lower() == ".npy":
            raise ValueError(f"{path} holds images and shards hold strokes: train on it with data=folder, or remove it")
        word = own_word(path)
        where = path if word == word_of(path) else f"{path}, by the word {word!r} of its first drawing,"
        name = check_category(word, where)
        if name in files:
            raise ValueError(f"{source} has both {files[name].name} and {path.name}: keep one of them")
        files[name] = path
    if not files:
        raise ValueError(f"source={source} has no <category>.ndjson and no <category>.bin: name the directory that has")
    log.info("reading %s: %s", source, found)
    return files


def choose_files(files: Mapping[str, Path], split_rule: str) -> dict[str, Path]:
    """The files of the categories that a split rule takes. Raises ValueError, reading none, if it can take none."""
    if split_rule == SKETCH_RNN:
        for path in files.values():
            if path.suffix.lower() != ".npz":
                raise ValueError(
                    f"{path} does not say the splits of its drawings, as the .npz files of sketch-rnn do: choose "
                    "another split_rule, or leave it out"
                )
    wanted = categories_of(split_rule)
    taken = {name: path for name, path in files.items() if name in wanted}
    if left := sorted(files.keys() - taken.keys()):
        log.info("split_rule=%s leaves out %s", split_rule, ", ".join(left))
    if not taken:
        raise ValueError(f"split_rule={split_rule} takes none of these categories: {', '.join(left)}")
    return taken


def pack_file(path: Path, *, only_recognized: bool, per_class: int | None = None) -> tuple[Drawings, Counter[str]]:
    """The drawings of one official file, labeled 0, and how many there were of each kind.

    The counter has "read" for all drawings of the file, "kept" for those returned, and the keys of DROPPED, which add
    up to the difference. Its keys of ODDITIES count drawings that were repaired.

    Raises:
        ValueError: if more than 1 % of the lines are broken, naming file, count and first line.
    """
    bulk, counts = _pack(path, only_recognized, per_class)
    return bulk.drawings, counts


def _pack(path: Path, only_recognized: bool, per_class: int | None) -> tuple[Bulk, Counter[str]]:
    counts: Counter[str] = Counter()
    first_broken: Broken | None = None
    parts: list[Bulk] = []
    for item in read_bulk(path, own_word(path)):
        if isinstance(item, Broken):
            counts["broken"] += 1
            first_broken = first_broken or item
        else:
            counts["read"] += len(item.drawings)
            parts.append(_with_strokes(item, only_recognized, counts))
    counts["read"] += counts["broken"]
    if first_broken and counts["broken"] > MAX_BROKEN * counts["read"]:
        raise ValueError(
            f"{path}: {counts['broken']} of {counts['read']} lines are broken, "
            f"the first is line {first_broken.number} ({first_broken.reason}): fetch the file anew or leave it out"
        )
    bulk = _first_of_each_key(Bulk.concatenate(parts), counts)
    if per_class is not None and (number := len(bulk.drawings)) > per_class:
        counts["beyond_limit"] += number - per_class
        bulk = bulk.take(np.flatnonzero(select(bulk.drawings.key_ids, per_class)))
    counts["kept"] = len(bulk.drawings)
    return bulk, counts


def _with_strokes(bulk: Bulk, only_recognized: bool, counts: Counter[str]) -> Bulk:
    """Those that are recognized, if only they are wanted, and have a stroke. Counts the others."""
    wanted = (bulk.recognized != 0) | (not only_recognized)
    counts["not_recognized"] += len(wanted) - int(wanted.sum())
    drawn = wanted & (bulk.drawings.stroke_counts > 0)
    counts["empty"] += int(wanted.sum()) - int(drawn.sum())
    return bulk if drawn.all() else bulk.take(np.flatnonzero(drawn))


def _first_of_each_key(bulk: Bulk, counts: Counter[str]) -> Bulk:
    """The first drawing of each key id, in order. Counts the others, and what was odd with those that stay."""
    _, first = np.unique(bulk.drawings.key_ids, return_index=True)
    if len(first) < len(bulk.drawings):
        counts["duplicate"] += len(bulk.drawings) - len(first)
        bulk = bulk.take(np.sort(first))
    counts["one_point_strokes"] += int((bulk.drawings.stroke_lengths == 1).sum())
    counts["empty_strokes"] += int(bulk.num_empty_strokes.sum())
    counts["without_recognized"] += int((bulk.recognized == NOT_SAID).sum())
    return bulk


def sort_file(
    name: str, path: Path, *, scratch: Path, split_rule: str, only_recognized: bool, per_class: int | None
) -> tuple[dict[str, tuple[SortedPart, NDArray[np.int64]]], Counter[str]]:
    """Read the file of a category and write its drawings, sorted, to a file in `scratch`.

    Returns where those of each split are, and how many in each place; and what `pack_file` counted.
    """
    bulk, counts = _pack(path, only_recognized, per_class)
    if split_rule == SKETCH_RNN:
        splits = split_as_told(name, bulk.drawings, bulk.split)
    else:
        splits = SPLIT_RULES[split_rule]({name: bulk.drawings})
    with create_file(place := scratch / path.name) as file:
        return {split: write_sorted(file, place, part) for split, (_, part) in splits.items()}, counts


def sort_files(
    files: Mapping[str, Path], scratch: Path, each: Callable[..., Iterable[Any]], **settings: Any
) -> tuple[dict[str, tuple[list[str], SortedDrawings]], Counter[str]]:
    """Read the files of all categories and sort the drawings of each into a file in `scratch`.

    each: like `map`, perhaps in other processes; settings: of `sort_file`. Returns the classes of each split and its
    drawings, whose labels index them, and the sum of the counts. A split without drawings is left out.
    """
    splits: dict[str, tuple[list[str], SortedDrawings]] = {}
    counts: Counter[str] = Counter()
    names = sorted(files)
    calls = each(partial(sort_file, scratch=scratch, **settings), names, [files[name] for name in names])
    results = track(calls, "reading", len(names), console=Console(stderr=True))
    for name, (found, counted) in zip(names, results, strict=True):
        counts.update(counted)
        for split, (part, places) in found.items():
            classes, drawings = splits.setdefault(split, ([], SortedDrawings()))
            drawings.add(part, places, len(classes))
            classes.append(name)
    return {split: splits[split] for split in SPLIT_NAMES if split in splits and len(splits[split][1])}, counts
