"""Indexes a folder of tars: the position of every image, so that each can be read directly."""

from __future__ import annotations

import json
import logging
import os
import shlex
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.progress import track

from deepdraw.data.tars.members import tar_members
from deepdraw.data.tars.samples import ANEW, tar_samples
from deepdraw.drawings import hash_text, reason_not_read
from deepdraw.runtime import (
    LARGEST,
    cache_folder,
    is_hidden,
    kinds_of,
    read_npz,
    shown,
    suffix_among,
    walk,
    write_sealed,
)

log = logging.getLogger(__name__)

VERSION = 2  # the version of the stored index; raised when SAMPLE or the meaning of a field changes
SAMPLE = np.dtype(
    [
        ("tar", np.int32),
        ("offset", np.int64),
        ("num_bytes", np.int64),
        ("label", np.int32),
        ("key_id", np.uint64),
    ]
)
TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz")  # packed ones are found, so that they can be refused by name
Stored = tuple[list[str], NDArray[np.void], str]  # labels, samples, and what is told of those taken and left


@dataclass(frozen=True, eq=False)
class TarIndex:
    """The N samples of a folder, in the order of its tars and of the images within each.

    tars: paths, sorted; labels: the different texts of the `.cls` members; samples: SAMPLE [N], for each sample its tar
    (an index into `tars`), the position of its image in the tar (bytes), its label (an index into `labels`) and the
    64-bit blake2b of its key; stamp: names, sizes and modification times of the tars when they were indexed.
    """

    tars: list[Path]
    labels: list[str]
    samples: NDArray[np.void]
    stamp: str

    def member(self, sample: int) -> str:
        """The tar and the name of the image in it, for messages. Names are not stored, so the tar is read again."""
        path = self.tars[self.samples["tar"][sample]]
        names = {member.offset: member.shown for member in tar_members(path, ANEW)}
        return f"{path}: {names.get(int(self.samples['offset'][sample]), 'a member that has moved')}"


def open_index(folder: Path) -> TarIndex:
    """The index of the tars in `folder`: the stored one if the tars have not changed, otherwise a new one.

    It is stored beside the tars as `index.npz` or, if that folder is not writable, in the user's cache. Raises
    ValueError, naming the fix, if there is no tar, one is packed or cut short, or a sample lacks its image or label.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} does not exist: set data.root to the folder that holds {folder.name}/")
    found = walk(folder, TAR_SUFFIXES, deeper=False, refuse=reason_not_read)
    tars = found.files
    if not tars:
        raise ValueError(f"{folder} holds no *.tar: put data-00000.tar ... there")
    if packed := [tar for tar in tars if not suffix_among(tar.name, (".tar",))]:
        raise ValueError(f"{packed[0]} is packed: unpack it with `gunzip {shlex.quote(str(packed[0]))}`")
    seen = [(tar.name, tar.stat().st_size, tar.stat().st_mtime_ns) for tar in tars]
    stamp = json.dumps([VERSION, *seen])
    places = [folder / "index.npz", cache_folder() / "indexes" / f"{hash_text(str(folder.resolve())):016x}.npz"]
    sizes = [size for _, size, _ in seen]
    stored = next((stored for place in places if (stored := _load(place, stamp, sizes))), None)
    labels, samples, told = stored or _scan(folder, tars)
    if not stored:
        _store(places, stamp, labels, samples, told)
    log.info("%s: %s in %s", folder, told, found)
    if not len(samples):
        raise ValueError(f"the tars of {folder} hold no samples: they need <key>.jpg or <key>.png beside <key>.cls")
    return TarIndex(tars, labels, samples, stamp)


def has_tars(folder: Path) -> bool:
    """Whether there is a tar in `folder`, packed or not."""
    return folder.is_dir() and any(
        suffix_among(name, TAR_SUFFIXES) and not is_hidden(name) for name in os.listdir(folder)
    )


def _scan(folder: Path, tars: list[Path]) -> Stored:
    console = Console(stderr=True)
    label_numbers: dict[str, int] = {}
    parts, left = [], Counter[str]()
    progress = track(
        tars, f"indexing {escape(shown(folder.name))}/ (once)", console=console, disable=not console.is_terminal
    )
    for number, tar in enumerate(progress):
        found, left_in_tar = tar_samples(tar)
        left += left_in_tar
        rows = [
            (number, offset, num_bytes, label_numbers.setdefault(label, len(label_numbers)), hash_text(key))
            for key, offset, num_bytes, label in found
        ]
        parts.append(np.array(rows, SAMPLE))
    samples = np.concatenate(parts)
    told = f"{len(samples):,} samples"
    if left:
        told += f", {left.total():,} members left out{kinds_of(left)},"
    return list(label_numbers), samples, told


def _load(path: Path, stamp: str, sizes: list[int]) -> Stored | None:
    """The index stored at `path`; None if there is none or it does not match tars of these sizes."""
    if not path.exists():
        return None
    columns: dict[str, Any] = {"stamp": (str, 0), "labels": (str, 1), "samples": (SAMPLE, 1), "told": (str, 0)}
    try:
        stored = read_npz(path, columns, what="index of tars", fix="it is made anew")
    except ValueError as error:
        log.warning("%s", error)
        return None
    labels, samples = stored["labels"].tolist(), stored["samples"]
    if str(stored["stamp"]) != stamp:
        return None
    return (labels, samples, str(stored["told"])) if _holds(samples, labels, np.array(sizes)) else None


def _holds(samples: NDArray[np.void], labels: list[str], sizes: NDArray[np.int64]) -> bool:
    """Whether every sample lies within one of the tars, which have these sizes, and has one of the labels."""
    tars, offsets, lengths = samples["tar"], samples["offset"], samples["num_bytes"]
    if not ((tars >= 0) & (tars < len(sizes)) & (samples["label"] >= 0) & (samples["label"] < len(labels))).all():
        return False
    ends = sizes[tars]
    return bool(((offsets >= 0) & (lengths >= 0) & (lengths <= LARGEST["image"]) & (offsets <= ends - lengths)).all())


def _store(places: list[Path], stamp: str, labels: list[str], samples: NDArray[np.void], told: str) -> None:
    columns: dict[str, Any] = {"stamp": np.array(stamp), "labels": np.array(labels, np.str_), "samples": samples}
    columns["told"] = np.array(told)
    for path in places:
        try:
            write_sealed(path, lambda file: np.savez(file, **columns))
            return
        except OSError as error:
            log.info("the index cannot be stored at %s (%s)", path, error.strerror)
    log.warning("the index of %s could not be stored: every run makes it anew", places[0].parent)
