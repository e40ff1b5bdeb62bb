"""Reads the original project's image shards: tars of `<key>.jpg|png` and `<key>.cls`, in any order."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from deepdraw.data.quickdraw import CATEGORIES, SEEN, UNSEEN
from deepdraw.data.shard_index import MOST_CLASSES
from deepdraw.data.tars.index import TarIndex, open_index
from deepdraw.data.tars.remote import fetch, is_remote
from deepdraw.drawings import Drawings, Rasterizer, decode, mix, place_image, trace_strokes, warn_of_faults
from deepdraw.runtime import did_you_mean, normal_name, possible_folder, read_text

FOLDERS = {"train": "train", "val": "train", "test": "test", "zeroshot": "quickdraw_zeroshot"}
BLOCK = 16  # images; small, so that shuffling blocks mixes the classes even in tars sorted by category


class ImageTars:
    """A root of image shards: `train/`, `test/` and `quickdraw_zeroshot/`, each of `*.tar`.

    `val` is 5/80 of `train/`, chosen by a hash of the sample's key; `train` is the rest. A `.cls` holds the name of a
    class or its index. The classes of train, val and test are the lines of `classes.txt` in the root. Without that file
    they come from the labels in `train/`. If these are names, the classes are those names, sorted; if most of them are
    Quick, Draw! categories, other names are dropped. If the labels are exactly the indices 0 to 274, they mean the 275
    seen categories, sorted; other indices are used as names. `zeroshot` has its own classes, which are found in
    `quickdraw_zeroshot/` in the same way (indices 0 to 69 are the unseen categories).

    root: a folder, or an address of tars with http://, https:// or pipe: (see `deepdraw.data.tars.remote`).
    """

    has_strokes = False
    split_rule = "as the tars say; val is 5/80 of train, by a hash of the key"

    def __init__(self, root: str) -> None:
        self.check_place(root)
        self.root = fetch(root) if is_remote(root) else possible_folder(root)
        self._indexes: dict[str, TarIndex] = {}
        self._is_checked = False

    @staticmethod
    def check_place(root: str) -> None:
        """Raise ValueError where there are no folders of tars (see `Source`); an address is not asked."""
        if is_remote(root):
            return
        folder = possible_folder(root, "data.root=")
        if not folder.is_dir():
            raise ValueError(f"data.root={root} does not exist: set it to the folder of train/ and test/")
        if not _splits_in(folder):
            raise ValueError(f"data.root={root} holds no train/ and no test/: set it to their folder")

    @property
    def splits(self) -> list[str]:
        """The splits whose folders exist."""
        return _splits_in(self.root)

    def split(self, name: str) -> TarSplit:
        """Open a split. Raises ValueError, naming tar, member and fix, for errors in tars or labels."""
        if name not in FOLDERS:
            raise ValueError(f"there is no split {name!r}: choose one of {', '.join(FOLDERS)}")
        index = self._index(FOLDERS[name])
        if name == "zeroshot":
            listing, labeled, official = self.root / FOLDERS[name] / "classes.txt", index, UNSEEN
        else:
            listing, labeled, official = self.root / "classes.txt", None, SEEN
        if listing.exists():
            classes = _listed_classes(listing)
        else:
            classes = _found_classes(labeled or self._index("train"), official, listing)
        chosen = np.ones(len(index.samples), bool)
        if name in ("train", "val"):
            chosen = (mix(index.samples["key_id"], "val") % np.uint64(80) < 5) == (name == "val")
        split = TarSplit(index, np.flatnonzero(chosen), classes, _number_labels(index, classes, listing))
        if not self._is_checked:
            self._is_checked = True
            warn_of_faults(range(len(split.labels)), split.gray, str(self.root))
        return split

    def _index(self, folder: str) -> TarIndex:
        if folder not in self._indexes:
            self._indexes[folder] = open_index(self.root / folder)
        return self._indexes[folder]


class TarSplit:
    """Some samples of a folder of tars, in blocks of up to 16 consecutive samples of one tar.

    classes: label k means `classes[k]`; block_sizes: int64 [num_blocks].
    """

    has_strokes = False

    def __init__(
        self,
        index: TarIndex,
        chosen: NDArray[np.int64],
        classes: list[str],
        class_of_label: NDArray[np.int64],
    ) -> None:
        self.classes = classes
        self._index, self._chosen, self._class_of_label = index, chosen, class_of_label
        per_tar = np.bincount(index.samples["tar"][chosen])
        sizes = [min(BLOCK, count - first) for count in per_tar.tolist() for first in range(0, count, BLOCK)]
        self.block_sizes = np.array(sizes, np.int64)
        self._block_starts = np.cumsum(self.block_sizes) - self.block_sizes
        self.fingerprint = self._digest([[name, size] for name, size, _ in json.loads(index.stamp)[1:]])
        self.former_fingerprint = self._digest(index.stamp)  # before 0.2, with the times of the tars, which copies lose

    def _digest(self, tars: str | list[list[str | int]]) -> str:
        digest = sha256(json.dumps([tars, *self.classes]).encode())
        for array in (self._index.samples[self._chosen], self._class_of_label):
            digest.update(array.tobytes())
        return digest.hexdigest()

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """The labels of all images [N], in stored order."""
        return self._class_of_label[self._index.samples["label"][self._chosen]]

    def complexity(self) -> None:
        """None: the strokes of an image are unknown."""

    def read(
        self, blocks: NDArray[np.int64], rows: NDArray[np.int64], rasterizer: Rasterizer, images: NDArray[np.uint8]
    ) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """Put those at `rows` [N] of the concatenated `blocks` into images [N, *shape]: labels and key ids.

        See `deepdraw.drawings.place_image` for how. Raises ValueError if an image does not decode.
        """
        chosen = self._samples(blocks, rows)
        samples = self._index.samples[chosen]
        for i, image in self._images(chosen):
            images[i] = place_image(image, int(samples["key_id"][i]), rasterizer)
        return self._class_of_label[samples["label"]], np.ascontiguousarray(samples["key_id"])

    def read_strokes(self, blocks: NDArray[np.int64], rows: NDArray[np.int64]) -> Drawings:
        """Those at `rows` [N] of the concatenated `blocks`, traced. Raises ValueError if an image does not decode."""
        chosen = self._samples(blocks, rows)
        samples = self._index.samples[chosen]
        strokes = {i: trace_strokes(image) for i, image in self._images(chosen)}
        labels = self._class_of_label[samples["label"]]
        return Drawings.pack([strokes[i] for i in range(len(chosen))], labels, samples["key_id"])

    def _samples(self, blocks: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The samples at `rows` [N] of the concatenated `blocks`, as numbers in the index."""
        blocks = np.asarray(blocks)
        starts, sizes = self._block_starts[blocks], self.block_sizes[blocks]
        places = [np.arange(start, start + size) for start, size in zip(starts, sizes, strict=True)]
        return self._chosen[np.concatenate(places)[rows]]

    def _images(self, chosen: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """The gray images of these samples [N] tar by tar, each with its place among them."""
        tars = self._index.samples["tar"][chosen]
        for number in np.unique(tars):
            with open(self._index.tars[number], "rb", buffering=0) as tar:
                for i in np.flatnonzero(tars == number).tolist():
                    yield i, self._decoded(tar, chosen[i])

    def gray(self, position: int) -> NDArray[np.uint8]:
        """The gray image uint8 [H, W] at a position of the stored order, as it is in the tar."""
        sample = self._chosen[position]
        with open(self._index.tars[self._index.samples["tar"][sample]], "rb", buffering=0) as tar:
            return self._decoded(tar, sample)

    def _decoded(self, tar: BinaryIO, sample: int) -> NDArray[np.uint8]:
        tar.seek(self._index.samples["offset"][sample])
        encoded = tar.read(self._index.samples["num_bytes"][sample])
        try:
            image, reason = decode(encoded), "does not decode"
        except ValueError as error:
            image, reason = None, str(error)
        if image is None:
            raise ValueError(f"{self._index.member(sample)} {reason}: fetch the tar anew or repack it without")
        return image


def _splits_in(root: Path) -> list[str]:
    return [split for split, folder in FOLDERS.items() if (root / folder).is_dir()]


def _listed_classes(listing: Path) -> list[str]:
    fix = "write every class once, one a line"
    classes = [normal_name(line.strip()) for line in read_text(listing, fix=fix).splitlines() if line.strip()]
    if len(set(classes)) < len(classes) or not classes:
        raise ValueError(f"{listing} is empty or names a class twice: {fix}")
    if len(classes) > MOST_CLASSES or not all(name.isprintable() for name in classes):
        raise ValueError(f"{listing} names more than {MOST_CLASSES:,} classes, or one that cannot be printed: {fix}")
    return classes


def _found_classes(index: TarIndex, official: Sequence[str], listing: Path) -> list[str]:
    """The classes found in the labels. `official`: the classes that a complete set of indices means."""
    names = [text for text in index.labels if text and not text.isdecimal()]
    if names:
        known = [name for name in names if name in CATEGORIES]
        return sorted(known if 2 * len(known) > len(names) else names)
    indices = {int(text) for text in index.labels if text}
    if indices == set(range(len(official))):
        return list(official)
    if not indices or max(indices) > np.iinfo(np.uint16).max:
        raise ValueError(
            f"labels in {index.tars[0]} are neither names nor small indices: list the classes in {listing}"
        )
    return [str(k) for k in range(max(indices) + 1)]


def _number_labels(index: TarIndex, classes: list[str], listing: Path) -> NDArray[np.int64]:
    """The number of the class that each label means: int64 [len(index.labels)]."""
    number_of_name = {name: number for number, name in enumerate(classes)}
    numbers = []
    for label, text in enumerate(index.labels):
        number = number_of_name.get(text, int(text) if text.isdecimal() else len(classes))
        if number >= len(classes):
            member = index.member(int(np.argmax(index.samples["label"] == label)))
            near = did_you_mean(text, classes, "{!r}")
            hint = f" ({near})" if near else ""
            raise ValueError(
                f"{member} has the unknown label {text[:40]!r} in its .cls{hint}: write one of the "
                f"{len(classes)} class names or an index below that, or list your own classes in {listing}"
            )
        numbers.append(number)
    return np.array(numbers, np.int64)
