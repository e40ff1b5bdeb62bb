"""Which files hold the drawings of which class and split: told by folders, or by a CSV file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deepdraw.drawings import DRAWING_SUFFIXES, SUFFIXES, TABLE_SUFFIXES, reason_not_read
from deepdraw.runtime import Found, open_unpacked, suffix_among, visible, walk

SPLIT_OF_NAME = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
    "zeroshot": "zeroshot",
}
LONGEST_HEADING = 1 << 16  # bytes of the first line of a table
LAYOUT = "lay drawings out as {root}/<class>/<name>.png (or .jpg, .svg, .ndjson ...)"


@dataclass(frozen=True)
class Entry:
    """A file of drawings. label: their class, None where the drawings say it themselves; split: None if it is open."""

    path: Path
    label: str | None
    split: str | None


@dataclass
class Layout:
    """The files of a collection, and how many were taken and left, by kind."""

    entries: list[Entry] = field(default_factory=list)
    found: Found = field(default_factory=Found)


def folder_layout(root: Path) -> Layout:
    """The files below `root`, which may be:

    - one folder for each class, and beside them `zeroshot/` with folders of classes that are held out;
    - train/, val/ (or valid/, validation/), test/ and zeroshot/, each with one folder for each class. `train` must be
      among them, and nothing else beside them; val and test may be missing.

    Files of strokes may lie beside the folders of classes: their drawings, or else their names, say the class.
    Raises ValueError, naming file or folder and the fix, for anything else.
    """
    layout = Layout()
    folders = {path.name: SPLIT_OF_NAME.get(path.name.lower()) for path in visible(root) if path.is_dir()}
    if "train" in folders.values() and all(folders.values()):
        if twice := [split for split, number in Counter(folders.values()).items() if number > 1]:
            names = " and ".join(f"{name}/" for name, split in folders.items() if split == twice[0])
            raise ValueError(f"{root} holds {names}, which both mean the split {twice[0]}: keep one of them")
        for name, split in folders.items():
            _add_classes(layout, root / name, split)
    else:
        held_out = {name for name, split in folders.items() if split == "zeroshot"}
        _add_classes(layout, root, None, but=held_out)
        for name in sorted(held_out):
            _add_classes(layout, root / name, "zeroshot")
    if not layout.entries:
        raise ValueError(f"{root} holds no drawings: {LAYOUT.format(root=root)}")
    return layout


def check_top(root: Path) -> Path:
    """The same folder. Raises ValueError where it holds nothing, or drawings that lie beside no folder of a class."""
    entries = visible(root)
    if not entries:
        raise ValueError(f"{root} holds no drawings: {LAYOUT.format(root=root)}")
    _check_loose(root, entries)
    return root


def _check_loose(folder: Path, entries: Iterable[Path]) -> None:
    for path in entries:
        if not path.is_dir() and suffix_among(path.name, DRAWING_SUFFIXES):
            raise ValueError(f"{path} lies in no class folder: {LAYOUT.format(root=folder)}")


def _add_classes(layout: Layout, folder: Path, split: str | None, but: set[str] | None = None) -> None:
    """Add the files of the classes in `folder`, without the folders in `but`."""
    entries = visible(folder)
    _check_loose(folder, entries)
    _add(layout, _walk(folder, SUFFIXES, deeper=False), None, split)
    for path in entries:
        if path.is_dir() and path.name not in (but or ()):
            _add(layout, _class_files(path), path.name, split)


def _class_files(folder: Path) -> Found:
    """The files of a class."""
    if inner := next((path for path in visible(folder) if path.is_dir()), None):
        raise ValueError(
            f"{inner} is a folder within a class: put its files right into {folder}, "
            f"or give data.root={folder} if it is the folder of the classes"
        )
    found = _walk(folder, (*DRAWING_SUFFIXES, *SUFFIXES))
    if not found.files:
        raise ValueError(f"{folder} holds no drawing: put some there or remove the folder")
    return found


def _walk(folder: Path, suffixes: Sequence[str], deeper: bool = True) -> Found:
    """The files of drawings in a folder; tables without a column of strokes are left out, as they list other files."""
    found = walk(folder, suffixes, deeper=deeper, refuse=reason_not_read)
    tables = {path for path in found.files if suffix_among(path.name, TABLE_SUFFIXES) and not _has_strokes(path)}
    taken = Counter(suffix_among(path.name, suffixes) or "" for path in found.files if path not in tables)
    left = found.left + Counter({"tables of other files": len(tables)} if tables else {})
    return Found([path for path in found.files if path not in tables], taken, left)


def _has_strokes(table: Path) -> bool:
    """Whether the first line of a CSV file names a column `drawing`."""
    with open_unpacked(table) as file:
        return b"drawing" in file.readline(LONGEST_HEADING).lower()


def _add(layout: Layout, found: Found, label: str | None, split: str | None) -> None:
    layout.entries += [Entry(path, label, split) for path in found.files]
    layout.found += found
