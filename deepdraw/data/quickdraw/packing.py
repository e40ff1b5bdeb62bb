"""Reads official files into packed drawings, and counts by kind which drawings were left out or repaired."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import active_children, get_context, resource_tracker
from os import cpu_count
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from deepdraw.data.quickdraw.categories import check_category
from deepdraw.data.quickdraw.splits import select
from deepdraw.drawings import SUFFIXES, Broken, Drawings, Sketch, read_sketches, reason_not_read, word_of
from deepdraw.runtime import existing_folder, prepare_worker, signals_held, walk

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
    """The official file of each category in a directory.

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
        name = word_of(path)
        check_category(name, path)
        if name in files:
            raise ValueError(f"{source} has both {files[name].name} and {path.name}: keep one of them")
        files[name] = path
    if not files:
        raise ValueError(f"source={source} has no <category>.ndjson and no <category>.bin: name the directory that has")
    log.info("%s: %s", source, found)
    return files


def pack_file(path: Path, *, only_recognized: bool, per_class: int | None = None) -> tuple[Drawings, Counter[str]]:
    """The drawings of one official file, labeled 0, and how many there were of each kind.

    The counter has "read" for all drawings of the file, "kept" for those returned, and the keys of DROPPED, which add
    up to the difference. Its keys of ODDITIES count drawings that were repaired.

    Raises:
        ValueError: if more than 1 % of the lines are broken, naming file, count and first line.
    """
    counts: Counter[str] = Counter()
    broken: list[Broken] = []
    sketches: dict[int, Sketch] = {}
    for sketch in read_sketches(path):
        counts["read"] += 1
        if isinstance(sketch, Broken):
            broken.append(sketch)
        elif only_recognized and sketch.recognized is False:
            counts["not_recognized"] += 1
        elif not sketch.strokes:
            counts["empty"] += 1
        elif sketch.key_id in sketches:
            counts["duplicate"] += 1
        else:
            sketches[sketch.key_id] = sketch
            counts["one_point_strokes"] += sum(len(stroke) == 1 for stroke in sketch.strokes)
            counts["empty_strokes"] += sketch.num_empty_strokes
            counts["without_recognized"] += sketch.recognized is None
    counts["broken"] = len(broken)
    if len(broken) > MAX_BROKEN * counts["read"]:
        raise ValueError(
            f"{path}: {len(broken)} of {counts['read']} lines are broken, "
            f"the first is line {broken[0].number} ({broken[0].reason}): fetch the file anew or leave it out"
        )
    key_ids = np.fromiter(sketches, np.uint64, len(sketches))
    if per_class is not None:
        kept = key_ids[select(key_ids, per_class)]
        counts["beyond_limit"] += len(key_ids) - len(kept)
        key_ids = kept
    counts["kept"] = len(key_ids)
    strokes = [sketches[key_id].strokes for key_id in key_ids.tolist()]
    return Drawings.pack(strokes, np.zeros(len(key_ids)), key_ids), counts


def pack_files(
    files: Mapping[str, Path], *, only_recognized: bool, per_class: int | None
) -> tuple[dict[str, Drawings], Counter[str]]:
    """The drawings of each category, and the sum of the counts: `pack_file` in a pool of processes."""
    parts: dict[str, Drawings] = {}
    counts: Counter[str] = Counter()
    others = set(active_children())
    resource_tracker.ensure_running()  # it removes the pool's semaphores if this process is killed later
    # Processes are spawned, because forking a process with threads (a progress bar has one) can hang.
    pool = ProcessPoolExecutor(
        min(len(files), max(2, cpu_count() or 2)),
        get_context("spawn"),
        prepare_worker,
    )
    try:
        with signals_held():  # while submit() starts the processes
            pending = {
                pool.submit(pack_file, path, only_recognized=only_recognized, per_class=per_class): name
                for name, path in files.items()
            }
            pool.submit(bool)  # the pool notices that a process died only if another call follows its start
        for future in track(as_completed(pending), "reading", total=len(files), console=Console(stderr=True)):
            parts[pending[future]], found = future.result()
            counts.update(found)
        pool.shutdown()
    except BaseException:
        with signals_held():  # a worker that starts while this process ends would print a traceback
            for process in set(active_children()) - others:
                process.kill()
            pool.shutdown(cancel_futures=True)
        raise
    return parts, counts
