"""Indexes a folder of tars: the position of every image, so that each can be read directly."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.progress import track

from deepdraw.data.tars.members import tar_members
from deepdraw.drawings import hash_text
from deepdraw.runtime import LARGEST, open_regular, read_npz, shown, write_sealed

log = logging.getLogger(__name__)

VERSION = 1  # the version of the stored index; raised when SAMPLE or the meaning of a field changes
SAMPLE = np.dtype(
    [
        ("tar", np.int32),
        ("offset", np.int64),
        ("num_bytes", np.int64),
        ("label", np.int32),
        ("key_id", np.uint64),
    ]
)
ANEW = "delete it, then copy or download it again"
IMAGE_SUFFIXES = {"jpg", "jpeg", "png"}


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
    ValueError, naming the fix, if there is no tar, one is cut short, or a sample lacks its image or label.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} does not exist: set data.root to the folder that holds {folder.name}/")
    tars = sorted(folder.glob("*.tar"))
    if not tars:
        raise ValueError(f"{folder} holds no *.tar: put data-00000.tar ... there (unpack *.tar.gz with gunzip first)")
    seen = [(tar.name, tar.stat().st_size, tar.stat().st_mtime_ns) for tar in tars]
    stamp = json.dumps([VERSION, *seen])
    places = [folder / "index.npz", cache_folder() / "indexes" / f"{hash_text(str(folder.resolve())):016x}.npz"]
    sizes = [size for _, size, _ in seen]
    stored = next((stored for place in places if (stored := _load(place, stamp, sizes))), None)
    labels, samples = stored or _scan(folder, tars)
    if not stored:
        _store(places, stamp, labels, samples)
    if not len(samples):
        raise ValueError(f"the tars of {folder} hold no samples: they need <key>.jpg or <key>.png beside <key>.cls")
    return TarIndex(tars, labels, samples, stamp)


def cache_folder() -> Path:
    """Where this user's downloads and indexes are kept between runs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "deepdraw"


def _scan(folder: Path, tars: list[Path]) -> tuple[list[str], NDArray[np.void]]:
    console = Console(stderr=True)
    label_numbers: dict[str, int] = {}
    parts = []
    progress = track(
        tars, f"indexing {escape(shown(folder.name))}/ (once)", console=console, disable=not console.is_terminal
    )
    for number, tar in enumerate(progress):
        rows = [
            (number, offset, num_bytes, label_numbers.setdefault(label, len(label_numbers)), hash_text(key))
            for key, offset, num_bytes, label in _scan_tar(tar)
        ]
        parts.append(np.array(rows, SAMPLE))
    return list(label_numbers), np.concatenate(parts)


def _scan_tar(path: Path) -> list[tuple[str, int, int, str]]:
    """The key, image offset, image bytes and label text of every sample of one tar."""
    images: dict[str, tuple[int, int]] = {}
    labels: dict[str, str] = {}
    with open_regular(path, fix=ANEW) as file:
        for member in tar_members(path, ANEW):
            shown, size = f"{path}: {member.shown}", member.size
            folder, _, own = member.name.rpartition("/")
            key, _, suffix = own.partition(".")  # the key ends at the first dot, as in webdataset
            key = f"{folder}/{key}" if folder else key
            if suffix not in IMAGE_SUFFIXES | {"cls"}:
                continue
            found, kind = (images, "image") if suffix in IMAGE_SUFFIXES else (labels, "label")
            if key in found:
                raise ValueError(f"{shown} is there twice: repack the tar with one image and one .cls a key")
            if size > LARGEST[kind]:
                raise ValueError(
                    f"{shown} has {size:,} bytes, more than the {LARGEST[kind]:,} of the largest {kind}: "
                    "repack the tar without it"
                )
            if found is images:
                images[key] = (member.offset, size)
            else:
                file.seek(member.offset)
                labels[key] = _label(file.read(size), shown)
    if lacking := sorted(images.keys() ^ labels.keys()):
        key = lacking[0]
        has, needs = ("an image", ".cls") if key in images else (".cls", "image (.jpg or .png)")
        raise ValueError(f"{path}: {key} has {has} but no {needs}: add it, or repack the tar without this key")
    return [(key, offset, size, labels[key]) for key, (offset, size) in images.items()]


def _label(content: bytes, member: str) -> str:
    """The text of a `.cls`: the name of a category or its index."""
    try:
        text = content.decode().strip()
    except UnicodeDecodeError as error:
        raise ValueError(f"{member} is not UTF-8 text: write the category's name or index into it") from error
    if not text.isprintable():
        raise ValueError(
            f"{member} holds characters that cannot be printed: write the category's name or index into it"
        )
    return text


def _load(path: Path, stamp: str, sizes: list[int]) -> tuple[list[str], NDArray[np.void]] | None:
    """The index stored at `path`; None if there is none or it does not match tars of these sizes."""
    if not path.exists():
        return None
    columns: dict[str, Any] = {"stamp": (str, 0), "labels": (str, 1), "samples": (SAMPLE, 1)}
    try:
        stored = read_npz(path, columns, what="index of tars", fix="it is made anew")
    except ValueError as error:
        log.warning("%s", error)
        return None
    labels, samples = stored["labels"].tolist(), stored["samples"]
    if str(stored["stamp"]) != stamp:
        return None
    return (labels, samples) if _holds(samples, labels, np.array(sizes)) else None


def _holds(samples: NDArray[np.void], labels: list[str], sizes: NDArray[np.int64]) -> bool:
    """Whether every sample lies within one of the tars, which have these sizes, and has one of the labels."""
    tars, offsets, lengths = samples["tar"], samples["offset"], samples["num_bytes"]
    if not ((tars >= 0) & (tars < len(sizes)) & (samples["label"] >= 0) & (samples["label"] < len(labels))).all():
        return False
    ends = sizes[tars]
    return bool(((offsets >= 0) & (lengths >= 0) & (lengths <= LARGEST["image"]) & (offsets <= ends - lengths)).all())


def _store(places: list[Path], stamp: str, labels: list[str], samples: NDArray[np.void]) -> None:
    columns: dict[str, Any] = {"stamp": np.array(stamp), "labels": np.array(labels, np.str_), "samples": samples}
    for path in places:
        try:
            write_sealed(path, lambda file: np.savez(file, **columns))
            return
        except OSError as error:
            log.info("the index cannot be stored at %s (%s)", path, error.strerror)
    log.warning("the index of %s could not be stored: every run makes it anew", places[0].parent)
