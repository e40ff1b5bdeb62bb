"""Opens a split by its path: a folder of images by class, or of shards or image tars, or a file of drawings."""

from __future__ import annotations

import json
import logging
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from deepdraw.data.files import open_class_folders
from deepdraw.data.shards import Shards
from deepdraw.data.stroke_file import open_stroke_file
from deepdraw.data.tars import FOLDERS, ImageTars, has_tars
from deepdraw.drawings import (
    DRAWING_SUFFIXES,
    IMAGE_SUFFIXES,
    SUFFIXES,
    TABLE_SUFFIXES,
    Complexity,
    Drawings,
    Rasterizer,
    fit_to_square,
    hash_text,
    is_image,
    is_svg,
    ranges,
    read_image,
    read_svg,
    reason_not_read,
    trace_strokes,
    warn_of_faults,
)
from deepdraw.runtime import LARGEST, Found, existing_folder, expand_home, open_regular, suffix_among, visible, walk

if TYPE_CHECKING:
    from deepdraw.data.interfaces import Split

log = logging.getLogger(__name__)

BLOCK = 16  # images; small, so that shuffling blocks mixes the classes, which are stored one after another


def open_folder(path: Path) -> Split:
    """The split at `path`, which may be:

    - ROOT/<split> of shards (a ROOT with an index.json), or ROOT itself where it has only one split;
    - ROOT/<split> of image tars (see `deepdraw.data.tars`), or ROOT itself where it has only one split;
    - a folder with one sub-folder of images, SVG files and files of strokes for each class, named as the class is;
    - a file of drawings in any form of `read_sketches`, whose words are the classes.

    Raises ValueError, naming file or folder and the fix, if it is none of these or has an error.
    """
    split = _opened(Path(expand_home(str(path))))
    if not split.block_sizes.sum():
        raise ValueError(f"{path} holds no drawing: choose a split that has some")
    return split


class ImageFolder:
    """Images in one sub-folder for each class, in the order of their paths. All image formats and SVG may be mixed.

    classes: the names of the sub-folders, sorted; key ids: a hash of each path within the folder. SVG files are drawn
    as strokes, with the rasterizer's line width. Raises ValueError, naming the file or folder, for other files and for
    a class without an image.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self.classes, beside = _class_folders(root)
        found = {name: _images(root / name) for name in self.classes}
        log.info("%s: %s", root, sum(found.values(), beside))
        of_class = {name: [file.name for file in images.files] for name, images in found.items()}
        self.labels = np.repeat(np.arange(len(of_class)), [len(names) for names in of_class.values()])
        self._files = files = [f"{name}/{file}" for name, names in of_class.items() for file in names]
        self._key_ids = np.array([hash_text(file) for file in files], np.uint64)
        self._strokes: dict[int, list[NDArray[np.uint8]]] = {}
        self.block_sizes = np.diff(np.append(np.arange(0, len(files), BLOCK), len(files)))
        seen = [(file, *_size_and_time(root / file)) for file in files]
        self.fingerprint = sha256(json.dumps(seen).encode()).hexdigest()
        pictures = [root / file for file in files if not is_svg(file)]
        warn_of_faults(pictures, read_image, str(root))

    @property
    def has_strokes(self) -> bool:
        """Whether every file is an SVG."""
        return all(map(is_svg, self._files))

    def complexity(self) -> Complexity | None:
        """Strokes and points of all drawings where every file is an SVG, else None."""
        if not self.has_strokes:
            return None
        return self._drawings(np.arange(len(self._files))).complexity()

    def read(
        self, blocks: NDArray[np.int64], rows: NDArray[np.int64], rasterizer: Rasterizer, images: NDArray[np.uint8]
    ) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """Draw those at `rows` [N] of the concatenated `blocks` into images [N, *shape]: labels and key ids.

        Raises ValueError, naming the file, for an image that does not decode or has no strokes.
        """
        positions = self._positions(blocks, rows)
        drawn = np.array([is_svg(self._files[position]) for position in positions], bool)
        for i in np.flatnonzero(~drawn):
            images[i] = fit_to_square(read_image(self._root / self._files[positions[i]]), rasterizer)
        if drawn.any():
            images[drawn] = rasterizer(self._drawings(positions[drawn]))
        return self.labels[positions], self._key_ids[positions]

    def read_strokes(self, blocks: NDArray[np.int64], rows: NDArray[np.int64]) -> Drawings:
        """The drawings at `rows` [N] of the concatenated `blocks`."""
        return self._drawings(self._positions(blocks, rows))

    def _positions(self, blocks: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
        blocks = np.asarray(blocks)
        return ranges(blocks * BLOCK, self.block_sizes[blocks])[rows]

    def _drawings(self, positions: NDArray[np.int64]) -> Drawings:
        """The drawings in the files at `positions`, images traced. Each is read only once, because that takes long."""
        for position in positions.tolist():
            if position not in self._strokes:
                path = self._root / self._files[position]
                self._strokes[position] = read_svg(path) if is_svg(path.name) else trace_strokes(read_image(path))
        strokes = [self._strokes[position] for position in positions.tolist()]
        return Drawings.pack(strokes, self.labels[positions], self._key_ids[positions])


def _opened(path: Path) -> Split:
    if path.is_file() and suffix_among(path.name, SUFFIXES):
        return open_stroke_file(path)
    if source := _source(path):
        return _only_split(source, path)
    source = _source(path.parent)
    if source and (path.name in _names(source) or not path.is_dir()):
        return source.split(_names(source).get(path.name, path.name))
    folder = existing_folder(path)
    return open_class_folders(folder) if _has_strokes(folder) else ImageFolder(folder)


def _has_strokes(root: Path) -> bool:
    """Whether a folder of a class in `root` holds a file of strokes."""
    files = (file for folder in visible(root) if folder.is_dir() for file in visible(folder))
    return any(suffix_among(file.name, SUFFIXES) for file in files)


def _source(root: Path) -> Shards | ImageTars | None:
    """The shards or image tars under `root`; None where there are none."""
    if (root / "index.json").is_file():
        return Shards(str(root))
    return ImageTars(str(root)) if any(has_tars(root / folder) for folder in FOLDERS.values()) else None


def _only_split(source: Shards | ImageTars, path: Path) -> Split:
    if len(source.splits) > 1:
        choices = ", ".join(f"split={path / name}" for name in source.splits)
        raise ValueError(f"{path} holds {len(source.splits)} splits: choose one of {choices}")
    return source.split(source.splits[0])


def _names(source: Shards | ImageTars) -> dict[str, str]:
    """The splits by the names under which they can be chosen. Splits of tars also have the names of their folders."""
    names = {split: split for split in source.splits}
    return names if isinstance(source, Shards) else {FOLDERS[split]: split for split in names} | names


def _class_folders(root: Path) -> tuple[list[str], Found]:
    """The names of the class folders under `root`, sorted, and how many other files are left out."""
    layout = f"lay images out as {root / '<class>' / '<name>.png'} (or .jpg, .svg)"
    folders = [entry.name for entry in visible(root) if entry.is_dir()]
    if not folders:
        raise ValueError(f"{root} has no class folders: {layout}")
    beside = walk(root, DRAWING_SUFFIXES, deeper=False, refuse=_reason_not_beside)
    if beside.files:
        raise ValueError(f"{beside.files[0]} lies in no class folder: {layout}")
    return folders, beside


def _reason_not_beside(path: Path) -> str | None:
    """Why a file may not lie beside the class folders; None for one that holds no drawings, or is a table of labels."""
    if suffix_among(path.name, SUFFIXES) and not suffix_among(path.name, TABLE_SUFFIXES):
        return "holds strokes and lies in no class folder: train on it with data=folder, or take it away"
    return reason_not_read(path)


def _images(folder: Path) -> Found:
    """The images of a class, sorted by name, and how many other files there are."""
    if nested := [entry for entry in visible(folder) if entry.is_dir()]:
        raise ValueError(f"{nested[0]} is a folder within a class: put images right into {folder}")
    refusal = f"is neither PNG, JPG nor SVG, nor {', '.join(IMAGE_SUFFIXES[3:])}: convert it or take it away"
    found = walk(folder, DRAWING_SUFFIXES, refuse=lambda _: refusal)
    if not found.files:
        raise ValueError(f"{folder} holds no image: put PNG, JPG or SVG files there or remove the folder")
    return found


def _size_and_time(path: Path) -> tuple[int, int]:
    """The size in bytes and the modification time of a file. Its first bytes are checked."""
    fix = "fetch it anew or take it away"
    with open_regular(path, largest=LARGEST["SVG" if is_svg(path.name) else "image"], fix=fix) as file:
        start = file.read(12)
    if not start or not (is_svg(path.name) or is_image(start)):
        raise ValueError(f"{path} {'is no image' if start else 'is empty'}: {fix}")
    status = path.stat()
    return status.st_size, status.st_mtime_ns
