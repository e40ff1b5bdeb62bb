"""The built-in data set: drawings made by program, stored in shards like real drawings."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from deepdraw.data.doodles.figures import FIGURES
from deepdraw.data.doodles.hand import hand
from deepdraw.data.doodles.indoors import INDOORS
from deepdraw.data.doodles.outdoors import OUTDOORS
from deepdraw.data.doodles.strokes import Program
from deepdraw.data.quickdraw import SPLITS, assign_original
from deepdraw.data.shards import Shards, write_shards
from deepdraw.drawings import Drawings, mix, simplify
from deepdraw.runtime import possible_folder, whole_folder

PROGRAMS: dict[str, Program] = FIGURES | INDOORS | OUTDOORS

UNSEEN = ["circle", "cloud", "envelope", "hexagon", "house", "mushroom", "square", "tree"]
"""The classes of split `zeroshot`. All of them are among the 70 unseen categories of Quick, Draw!."""

SEEN = sorted(PROGRAMS.keys() - UNSEEN)

EDITION = 1
"""The version of the stroke programs. It is raised whenever the same settings give other drawings."""


def draw(name: str, seed: int, index: int) -> list[NDArray[np.uint8]]:
    """One drawing of class `name`: strokes uint8 [n, 2], simplified as official Quick, Draw! files are."""
    return _draw_many(name, seed, [index])[0]


def draw_all(names: Sequence[str], per_class: int, seed: int) -> Drawings:
    """`per_class` drawings of every class; labels index `names`, key ids hash seed, class and index."""
    indices = range(per_class)
    return Drawings.pack(
        list(chain.from_iterable(_draw_many(name, seed, indices) for name in names)),
        labels=np.repeat(np.arange(len(names)), per_class),
        key_ids=np.concatenate([mix(np.array(indices, np.uint64), f"doodle {seed} {name}") for name in names]),
    )


def _draw_many(name: str, seed: int, indices: Sequence[int]) -> list[list[NDArray[np.uint8]]]:
    rngs = [np.random.default_rng([seed, crc32(name.encode()), index]) for index in indices]
    drawn = hand([PROGRAMS[name](rng) for rng in rngs], rngs)
    # All drawings already have full size and start in the top-left corner, so they can be simplified as one.
    strokes = iter(simplify(list(chain.from_iterable(drawn))))
    return [list(islice(strokes, len(drawing))) for drawing in drawn]


def open_doodles(root: str, per_class: int, seed: int) -> Shards:
    """The doodles under `root`. If there are none, they are drawn first: about 2,000 per second on one core.

    Splits train, val and test share the 40 classes of SEEN, divided by the split rule `original`;
    `zeroshot` has the 8 of UNSEEN. Several processes may open the same root at the same time.

    Raises:
        ValueError: if `per_class` < 1 or `seed` < 0, or if `root` holds anything but such doodles.
    """
    if per_class < 1:
        raise ValueError(f"data.source.per_class={per_class} must be at least 1")
    if seed < 0:
        raise ValueError(f"data.source.seed={seed} must not be negative")
    home = possible_folder(root, "data.root=")
    settings = {
        "source": "doodles",
        "protocol": "original",
        "per_class": per_class,
        "seed": seed,
        "edition": EDITION,
    }
    if not home.exists() or _is_empty(home):
        _write(home, settings)
    return _open(home, settings)


def _write(home: Path, settings: dict[str, Any]) -> None:
    """Write the shards beside `home` and rename the folder, so that `home` is always complete."""
    seen, unseen = (draw_all(names, settings["per_class"], settings["seed"]) for names in (SEEN, UNSEEN))
    split_of = assign_original(seen.key_ids)
    splits = {name: (SEEN, seen.take(np.flatnonzero(split_of == number))) for number, name in enumerate(SPLITS)}
    try:
        with whole_folder(home) as folder:
            metadata = settings | {"recognized": "any"}
            write_shards(folder, {**splits, "zeroshot": (UNSEEN, unseen)}, metadata=metadata)
    except OSError:
        # Another process may have been faster. Its settings are checked when `home` is opened.
        if not home.is_dir() or _is_empty(home):
            raise


def _open(home: Path, settings: dict[str, Any]) -> Shards:
    """The shards at `home`. Raises ValueError if there is no index.json, or it has other settings."""
    if not (home / "index.json").exists():
        raise ValueError(f"{home} holds files but no index.json, so no doodles: set data.root to another folder")
    shards = Shards(str(home))
    if shards.index.get("source") != settings["source"]:
        raise ValueError(
            f"{home} holds shards of other drawings than doodles: train on them with data=quickdraw, evaluate on them "
            f"with split={home / shards.splits[0] if shards.splits else home}"
        )
    for key, wanted in settings.items():
        if (found := shards.index.get(key)) != wanted:
            raise ValueError(
                f"{home} was made with {key}={found!r}, not {wanted!r}: give data.root=... of another folder, into "
                f"which such doodles are drawn; to evaluate on those that are there, give split={home}/test"
            )
    return shards


def _is_empty(home: Path) -> bool:
    return not any(home.iterdir())
