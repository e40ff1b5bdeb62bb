"""Writes the features of a split or a folder to disk (`python -m deepdraw.embed ckpt=CKPT data=test out=DIR`)."""

from __future__ import annotations

if __name__ == "__main__":
    import deepdraw.runtime.startup  # noqa: F401  # Ctrl-C ends the imports below without a traceback, too

import csv
import os
import shutil
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import MISSING

from deepdraw.config import SPLITS, check_split
from deepdraw.runtime import (
    CheckpointOptions,
    check_writable,
    create_file,
    csv_cell,
    run_command,
    shown,
    whole_folder,
)

if TYPE_CHECKING:
    from deepdraw.data import Loader, Split
    from deepdraw.inference.trained import Trained


@dataclass
class Options(CheckpointOptions):
    """The options of the command, each as key=value. Raises ValueError for impossible values."""

    data: str = field(
        default=MISSING,
        metadata={
            "help": f"{', '.join(SPLITS)} of the data of ckpt, a folder of shards or of images by class, or a file of "
            "drawings"
        },
    )
    out: str = field(default=MISSING, metadata={"help": "directory, made anew, for features.npy and index.csv"})
    root: str | None = field(
        default=None, metadata={"help": "where the data of ckpt are; default: where training read them"}
    )
    dtype: str = field(default="float32", metadata={"help": "float32, or float16 for half the disk"})
    batch_size: int = field(default=256, metadata={"help": "drawings that the network sees at once"})
    num_workers: int | None = field(
        default=None, metadata={"help": "processes that read and draw, 0: this one; default: by the cores at hand"}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_split("data", self.data, SPLITS)
        if self.batch_size < 1:
            raise ValueError(f"batch_size={self.batch_size} computes nothing: give at least 1")
        if self.num_workers is not None and self.num_workers < 0:
            raise ValueError(f"num_workers={self.num_workers} cannot be: give at least 0")
        if self.dtype not in ("float32", "float16"):
            raise ValueError(f"dtype={self.dtype} is unknown: choose float32 or float16")
        if os.path.lexists(self.out):
            raise ValueError(f"out={self.out} is there already: choose another directory, or delete it")


def open_data(data: str, trained: Trained) -> Split:
    """A split of the data that the classifier was trained on, or of a folder or a file of drawings."""
    if data in SPLITS:
        return trained.source().split(data)
    path = Path(data)
    if path.parent == Path() and not path.exists():
        raise ValueError(f"data={data} is neither a split nor a folder: give one of {', '.join(SPLITS)}, or a path")
    from deepdraw.data import open_folder

    return open_folder(path)


def embed(trained: Trained, loader: Loader, folder: Path, dtype: str) -> None:
    """Write the features of all drawings, in stored order, and what is known of each.

    features.npy: `dtype` [N, D]; index.csv, a line for each of its rows: position, key_id, label, class.
    """
    import numpy as np
    from numpy.lib.format import dtype_to_descr, write_array_header_1_0

    from deepdraw.features import outputs

    shape = loader.num_drawings, trained.model.backbone.num_features
    num_bytes, free = shape[0] * shape[1] * np.dtype(dtype).itemsize, shutil.disk_usage(folder).free
    if num_bytes > free:
        raise ValueError(f"out needs {num_bytes / 1e9:.1f} GB, {free / 1e9:.1f} GB are free: choose a larger disk")
    names, row = [csv_cell(name) for name in loader.classes], 0
    with (
        create_file(folder / "features.npy") as file,
        TextIOWrapper(create_file(folder / "index.csv"), encoding="utf-8", newline="") as text,
    ):
        index = csv.writer(text, lineterminator="\n")
        index.writerow(["position", "key_id", "label", "class"])
        descr = dtype_to_descr(np.dtype(dtype))
        write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
        for batch, features in outputs(trained.model.features, loader, trained.precision, title="features"):
            with np.errstate(over="ignore"):  # an overflow is reported below
                block = features.float().cpu().numpy().astype(dtype)
            if not np.isfinite(block).all():
                raise ValueError(f"a feature is no finite number in {dtype}: use dtype=float32 precision=fp32")
            file.write(block.tobytes())
            labels, key_ids = batch.labels.tolist(), batch.key_ids.cpu().numpy().view(np.uint64).tolist()
            positions = range(row, row + len(labels))
            index.writerows(zip(positions, key_ids, labels, map(names.__getitem__, labels), strict=True))
            row += len(labels)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; bad input ends it with one line."""
    line = "python -m deepdraw.embed ckpt=CKPT data=SPLIT|FOLDER out=DIR [key=value ...]"
    return run_command(Options, line, run, arguments, interrupted="interrupted: nothing was written")


def run(options: Options) -> None:
    """Write the features that the options ask for."""
    from deepdraw.inference.trained import rebuild

    trained = rebuild(
        options.ckpt,
        device=options.device,
        precision=options.precision,
        trust=options.trusted,
        root=options.root,
        images=options.images,
    )
    loader = trained.load(
        open_data(options.data, trained),
        batch_size=options.batch_size,
        num_workers="auto" if options.num_workers is None else options.num_workers,
    )
    out = Path(options.out)
    try:
        check_writable(out.parent)
    except OSError as error:
        raise ValueError(f"out={out} cannot be written ({error.strerror}): choose another directory") from error
    with closing(loader), whole_folder(out) as folder:
        embed(trained, loader, folder, options.dtype)
    print(f"{loader.num_drawings:,} drawings of {len(loader.classes)} classes in {shown(options.out)}")


if __name__ == "__main__":
    sys.exit(main())
