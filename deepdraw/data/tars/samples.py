"""Which members of a tar make a sample: an image and its label under one key, in any order.

The key is a member's name without its last suffix (`drawing.2` of `drawing.2.jpg`), if both an image and a label have
it. Otherwise it ends at the first dot, as in webdataset: `a.cls` is the label of `a.photo.jpg`, and `a.mask.png` is one
more field of a sample `a` that has its image already.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

from deepdraw.data.tars.members import Member, tar_members
from deepdraw.drawings import IMAGE_SUFFIXES, reason_not_read
from deepdraw.runtime import HIDDEN, LARGEST, is_hidden, normal_name, open_regular

ANEW = "delete it, then copy or download it again"
FOLDERS_OF_SYSTEMS = {"__MACOSX", ".ipynb_checkpoints"}  # any other hidden folder may be where the tar was made
FIELDS = "further fields of samples"


class Sample(NamedTuple):
    """An image in a tar, from byte `offset` to `offset + num_bytes`, and the text of its label."""

    key: str
    offset: int
    num_bytes: int
    label: str


def tar_samples(path: Path) -> tuple[list[Sample], Counter[str]]:
    """The samples of a tar in the order of their images, and how many members are left out, by kind.

    Raises ValueError, naming tar, member and fix, if it is no tar or is cut short, if an image lacks its label or a
    label its image, and for an image of a form that is not read.
    """
    images, labels, left = _members(path)
    _join_by_first_dot(images, labels)
    _join_by_first_dot(labels, images)
    whole = images.keys() & labels.keys()
    for key in sorted(images.keys() ^ labels.keys()):
        if _until_first_dot(key) not in whole:
            has, needs = ("an image", ".cls") if key in images else (".cls", "image (.jpg or .png)")
            raise ValueError(f"{path}: {key} has {has} but no {needs}: add it, or repack the tar without this key")
        left[FIELDS] += 1
    with open_regular(path, fix=ANEW) as file:
        return [
            Sample(key, image.offset, image.size, _label(file, path, labels[key]))
            for key, image in images.items()
            if key in whole
        ], left


def _members(path: Path) -> tuple[dict[str, Member], dict[str, Member], Counter[str]]:
    """The images and the labels of a tar by their keys, and the number of other members, by kind."""
    images: dict[str, Member] = {}
    labels: dict[str, Member] = {}
    left: Counter[str] = Counter()
    for member in tar_members(path, ANEW):
        name = PurePosixPath(member.name)
        suffix = name.suffix.lower()
        if is_hidden(name.name) or not FOLDERS_OF_SYSTEMS.isdisjoint(name.parts):
            left[HIDDEN] += 1
        elif suffix in IMAGE_SUFFIXES:
            _add(images, "image", member, path)
        elif suffix == ".cls":
            _add(labels, "label", member, path)
        elif reason := reason_not_read(Path(name.name)):
            raise ValueError(f"{path}: {member.shown} {reason}, and repack the tar")
        else:
            left[suffix or "without a suffix"] += 1
    return images, labels, left


def _add(found: dict[str, Member], kind: str, member: Member, path: Path) -> None:
    key = member.name.rpartition(".")[0]
    if key in found:
        raise ValueError(f"{path}: {member.shown} is there twice: repack the tar with one image and one .cls a key")
    if member.size > LARGEST[kind]:
        raise ValueError(
            f"{path}: {member.shown} has {member.size:,} bytes, more than the {LARGEST[kind]:,} of the largest {kind}: "
            "repack the tar without it"
        )
    found[key] = member


def _join_by_first_dot(found: dict[str, Member], others: dict[str, Member]) -> None:
    """Give the key until the first dot to a member that has no other one at its own key, if it is alone there."""
    lonely = [key for key in found if key not in others]
    number = Counter(map(_until_first_dot, lonely))
    for key in lonely:
        short = _until_first_dot(key)
        if short in others and short not in found and number[short] == 1:
            found[short] = found.pop(key)


def _until_first_dot(key: str) -> str:
    folder, slash, name = key.rpartition("/")
    return folder + slash + name.partition(".")[0]


def _label(file: BinaryIO, path: Path, member: Member) -> str:
    """The text of a `.cls`: the name of a category or its index."""
    fix = "write the category's name or index into it"
    file.seek(member.offset)
    try:
        text = normal_name(file.read(member.size).decode("utf-8-sig").strip())
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: {member.shown} is not UTF-8 text: {fix}") from error
    if not text.isprintable():
        raise ValueError(f"{path}: {member.shown} holds characters that cannot be printed: {fix}")
    return text
