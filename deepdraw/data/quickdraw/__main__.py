"""The command that turns official Quick, Draw! files into shards (`python -m deepdraw.data.quickdraw`)."""

from __future__ import annotations

if __name__ == "__main__":
    import deepdraw.runtime.startup  # noqa: F401  # Ctrl-C ends the imports below without a traceback, too

import logging
import re
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import MISSING
from rich.console import Console
from rich.table import Column, Table

from deepdraw.data.quickdraw.categories import CATEGORIES
from deepdraw.data.quickdraw.download import SKETCH_RNN_URL, download
from deepdraw.data.quickdraw.packing import DROPPED, ODDITIES, choose_files, find_files, sort_files
from deepdraw.data.quickdraw.splits import SKETCH_RNN, SPLIT_RULES, categories_of
from deepdraw.data.recognition import in_brackets, recognition_of_index
from deepdraw.data.shards import Shards, write_shards
from deepdraw.runtime import (
    MB,
    cell,
    check_writable,
    one_line_end,
    process_pool,
    remove_parts,
    run_command,
    scratch_folder,
    shown,
)

log = logging.getLogger(__name__)

BYTES_OF_A_WORKER = 64 * MB  # to be read; to start another process costs as much as to read so many
OLD_RULES = {"file": SKETCH_RNN}  # names of split rules in older commands and shards
KINDS = {"read": "drawings read", **DROPPED, "kept": "drawings kept", **ODDITIES}  # that an index counts


@dataclass
class Options:
    """The options of the command, each as key=value. Raises ValueError for impossible values."""

    root: str = field(default=MISSING, metadata={"help": "directory for the shards and their index.json"})
    source: str | None = field(
        default=None,
        metadata={"help": "directory with a file for each category (.ndjson, .bin, .csv, .npz); default: download"},
    )
    download: str | None = field(
        default=None,
        metadata={
            "help": "where to download a file for each category, 6 GB of .bin, of .npz for split_rule=sketchrnn; "
            "default: <root>/official"
        },
    )
    per_class: int | None = field(
        default=None, metadata={"help": "drawings to keep of each category, before the split; default: all"}
    )
    recognized: str = field(
        default="true",
        metadata={"help": "true: what the game recognized, about 91 %; any: all"},
    )
    split_rule: str = field(
        default="original",
        metadata={
            "help": "original: train, val, test (75, 5, 20 %) of the 275 seen categories, zeroshot of the "
            "70 unseen; quickdraw414k: at most 1,000, 100, 100 of all 345; quickdraw10k: 90, 5, 5 % of at most "
            "10,000 of all 345; kaggle340: 90, 5, 5 % of the 340 of Kaggle's challenge; sketchrnn: as the .npz files "
            "of sketch-rnn say, 70,000, 2,500, 2,500"
        },
    )

    def __post_init__(self) -> None:
        if self.source and self.download:
            raise ValueError("source=DIR reads files that are there, download=DIR fetches them: give one of the two")
        if self.per_class is not None and self.per_class < 1:
            raise ValueError(f"per_class={self.per_class} keeps no drawing: give at least 1")
        if self.recognized not in ("true", "any"):
            raise ValueError(f"recognized={self.recognized} is neither true nor any")
        self.split_rule = OLD_RULES.get(self.split_rule, self.split_rule)
        if self.split_rule not in (*SPLIT_RULES, SKETCH_RNN):
            raise ValueError(f"split_rule={self.split_rule} is none of {', '.join((*SPLIT_RULES, SKETCH_RNN))}")


def convert(options: Options) -> dict[str, Any]:
    """Write the shards that `options` describe, unless they exist already, and return their index.

    Raises:
        ValueError: if the source cannot be read, or the root holds shards of other settings.
        OSError: if the root cannot be written; this is checked before anything is read.
    """
    root = Path(options.root)
    metadata: dict[str, Any] = {
        "protocol": options.split_rule,  # deepdraw 0.1 called it so, and shards on disk do
        "recognized": options.recognized,
        "per_class": options.per_class,
    }
    _check_same(root, metadata)  # before hours of downloading
    check_writable(root)
    if options.source is None:
        source = Path(options.download) if options.download else root / "official"
        if options.split_rule == SKETCH_RNN:
            download(CATEGORIES, source, base_url=SKETCH_RNN_URL, suffix=".npz")
        else:
            download(categories_of(options.split_rule), source)
    else:
        source = Path(options.source)
    files = choose_files(find_files(source), options.split_rule)
    metadata |= {
        "num_files": len(files),
        "num_source_bytes": sum(path.stat().st_size for path in files.values()),
    }
    if _check_same(root, metadata):
        remove_parts(root)  # of a command that was killed when all was written
        return _index(root, files)
    settings = {"only_recognized": options.recognized == "true", "per_class": options.per_class}
    num_workers = min(len(files), 1 + metadata["num_source_bytes"] // BYTES_OF_A_WORKER)
    with scratch_folder(root / "sorted") as scratch, process_pool(num_workers) as each:
        splits, counts = sort_files(files, scratch, each, split_rule=options.split_rule, **settings)
        num_drawings = sum(len(drawings) for _, drawings in splits.values())
        if not num_drawings:
            kinds = f"see the kinds of drawings it has, {dict(counts)}"
            raise ValueError(f"no drawing of {source} is left to write: {kinds}")
        counts["beyond_limit"] += counts["kept"] - num_drawings
        counts["kept"] = num_drawings
        metadata |= {"source": str(source), "counts": {kind: counts[kind] for kind in KINDS}}
        write_shards(root, splits, metadata=metadata, each=each)
    return _index(root, files)


def _index(root: Path, files: Iterable[str]) -> dict[str, Any]:
    """The index of the shards under `root`. Categories of which no drawing is left are named."""
    index = Shards(str(root)).index
    left = {name for split in index["splits"].values() for name, number in split["per_class"].items() if number}
    if empty := sorted(set(files) - left):
        log.warning(
            "%d of %d categories have no drawing left: %s; fetch such files anew or leave them out, or keep drawings "
            "that the game did not recognize with recognized=any",
            len(empty), len(set(files)), ", ".join(empty),
        )  # fmt: skip
    return index


def _check_same(root: Path, metadata: Mapping[str, Any]) -> bool:
    """Whether `root` already holds shards. Raises ValueError if they were written with other settings."""
    if not (root / "index.json").exists():
        return False
    there = Shards(str(root)).index
    rule = there.get("protocol")
    there = {**there, "protocol": OLD_RULES.get(rule, rule) if isinstance(rule, str) else rule}
    other = [
        f"{'split_rule' if key == 'protocol' else key} is {there.get(key)}, not {value}"
        for key, value in metadata.items()
        if there.get(key) != value
    ]
    if other:
        raise ValueError(f"{root} holds other shards ({'; '.join(other)[:500]}): choose another root or delete it")
    counts = there.get("counts")
    if not isinstance(counts, dict) or not all(isinstance(counts.get(kind), int) for kind in KINDS):
        raise ValueError(f"{root / 'index.json'} counts no drawings by kind: choose another root or delete it")
    return True


def summarize(index: Mapping[str, Any]) -> None:
    """Print the content of the shards, and how many drawings were dropped or repaired, by kind."""
    headings = ("classes", f"drawings {in_brackets(recognition_of_index(index))}", "MB", "bytes each")
    splits = Table("split", *(Column(name, justify="right") for name in headings))
    for name, split in index["splits"].items():
        num_drawings, num_bytes = split["num_drawings"], sum(shard["num_bytes"] for shard in split["shards"])
        numbers = (
            len(split["classes"]),
            num_drawings,
            round(num_bytes / 1e6, 1),
            round(num_bytes / max(num_drawings, 1)),
        )
        splits.add_row(cell(name), *(f"{number:,}" for number in numbers))
    counts = Table(Column("count", justify="right"), "of")
    for kind, meaning in KINDS.items():
        counts.add_row(f"{index['counts'][kind]:,}", meaning)
    Console().print(splits, counts)


def run(options: Options) -> None:
    """Write the shards and print what they hold."""
    start = time.perf_counter()
    index = convert(options)
    with one_line_end(f"interrupted: the shards in {options.root} are complete"):
        summarize(index)
        print(f"{shown(options.root)} is ready, in {time.perf_counter() - start:.1f} s")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; bad input ends it with one line."""
    words = sys.argv[1:] if arguments is None else arguments
    return run_command(
        Options,
        "python -m deepdraw.data.quickdraw root=DIR [source=DIR] [key=value ...]",
        run,
        [re.sub("^protocol=", "split_rule=", word) for word in words],
        interrupted="interrupted before index.json was written, so the shards are incomplete: run the command again",
    )


if __name__ == "__main__":
    sys.exit(main())
