"""The words for what is evaluated: splits and folders, checked before a checkpoint is read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from deepdraw.runtime import expand_home, fold_name, nearest_names, shown, suggest_path

SPLITS = ("train", "val", "test", "zeroshot")
EVALUATED = (*SPLITS, "generalized")
OTHER_NAMES = {  # a split as others call it -> its name here
    **dict.fromkeys(("valid", "validation", "dev", "eval"), "val"),
    **dict.fromkeys(("unseen", "novel", "heldout", "zsl"), "zeroshot"),
    **dict.fromkeys(("gzsl", "joint"), "generalized"),
    "training": "train",
    "testing": "test",
}


def check_split(key: str, name: str, splits: Iterable[str] = EVALUATED) -> None:
    """Raise ValueError, in one line, for a misspelt split, or a path at which there is nothing.

    A name that is near none is left to the data: shards and data sources of one's own may have further splits.
    """
    splits = list(splits)
    path = Path(expand_home(name))
    if name in splits or path.exists():
        return
    if path.name != name:  # the last part may be a split of a folder of shards
        if not path.parent.exists():
            raise ValueError(shown(f"{key}={name} is no folder: {suggest_path(path) or 'check the path'}"))
        return
    meant = OTHER_NAMES.get(fold_name(name)) or next(iter(nearest_names(name, splits)), "")
    if meant in splits and not any(map(str.isdigit, name)):
        choose = f"give one of {', '.join(splits)} or a path; did you mean {key}={meant}?"
        raise ValueError(shown(f"{key}={name} is neither a split nor a folder: {choose}"))
