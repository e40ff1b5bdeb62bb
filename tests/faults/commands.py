"""The commands that are killed: what each reads, how it is called, and what it makes in its working directory."""

from __future__ import annotations

import json
import logging
import runpy
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SIZES = {"train": 150, "val": 140, "test": 24, "zeroshot": 12}  # the frozen ones write two blocks of features
SKETCHES = {"yoga": 40, "airplane": 10}  # drawings of a seen and an unseen category

TRAIN = [
    "hydra.run.dir=run",
    "data=quickdraw",
    "data.root=../../shards",
    "data.batch_size=32",
    "data.num_workers=0",
    "backbone.image_size=16",
    "backbone.options.channels=[8,8,8,8]",
    "precision=fp32",
    "train.epochs=2",
    "train.log_every=2",
    "train.checkpoint_every=2",
]
EVALUATE = ["ckpt=run/checkpoints/best.pt", "data.num_workers=0", "precision=fp32"]


def script(name: str, *arguments: str) -> None:
    """train.py or evaluate.py, in this process."""
    sys.argv = [name, *arguments]
    runpy.run_path(str(ROOT / name), run_name="__main__")


def unillustrated(name: str, *arguments: str) -> None:
    """train.py without its pictures, which take longer than such a training."""
    from deepdraw.report import curves, sheets

    curves.plot_curves = sheets.plot_sheet = lambda *arguments: None
    script(name, *arguments)


def embed(*arguments: str) -> None:
    """python -m deepdraw.embed, in this process."""
    from deepdraw.inference.embed import main

    main(arguments)


def quickdraw(*arguments: str) -> None:
    """python -m deepdraw.data.quickdraw, in this process and those that it starts."""
    logging.getLogger().handlers.clear()  # of train.py, which ran here before: their stdout is closed
    from deepdraw.data.quickdraw.__main__ import main

    main(arguments)


@dataclass(frozen=True)
class Command:
    """A command to be killed.

    run: calls it; given: what is laid into its working directory, of the common ones; refusal: what it says, if it is
    done only once, where it was done before.
    """

    run: Callable[..., None]
    arguments: tuple[str, ...]
    given: tuple[str, ...] = ()
    refusal: str | None = None

    def __call__(self) -> None:
        self.run(*self.arguments)

    def prepare(self, common: Path, folder: Path) -> None:
        """Make its working directory."""
        folder.mkdir(parents=True)
        for name in self.given:
            shutil.copytree(common / name, folder / "run" if name == "trained" else folder / name)


COMMANDS = {
    "train": Command(script, ("train.py", *TRAIN, "augment=sketch", "train.ema=0.9")),
    "cache": Command(unillustrated, ("train.py", *TRAIN, "freeze=all", "augment=sketch", "features.views=2")),
    "grid": Command(unillustrated, ("train.py", *TRAIN, "head=grid", "freeze=all", "fit.lrs=[1e-3,1e-2]")),
    "logistic": Command(unillustrated, ("train.py", *TRAIN, "head=logistic", "freeze=all", "fit.cs=[0.1,1]")),
    "evaluate": Command(script, ("evaluate.py", *EVALUATE), ("trained",)),
    "embed": Command(
        embed,
        (
            "ckpt=run/checkpoints/best.pt",
            "data=test",
            "out=embedded",
            "batch_size=8",
            "num_workers=1",
            "precision=fp32",
        ),
        ("trained",),
        refusal="out=embedded is there already",
    ),
    "quickdraw": Command(quickdraw, ("root=shards", "source=source"), ("source",)),
}


def make_common(folder: Path) -> None:
    """What commands read: `shards`, `source` and, once it has been trained in this process, `trained`.

    What training and evaluating import, and what numba compiles, this process has then at hand.
    """
    import os

    from tests.polygons import write_polygons

    write_polygons(folder / "shards", SIZES)
    (source := folder / "source").mkdir()
    for word, number in SKETCHES.items():
        drawings = ({"word": word, "key_id": str(k), "drawing": [[[k, 9, 99], [0, k, 9]]]} for k in range(number))
        (source / f"{word}.ndjson").write_text("".join(f"{json.dumps(drawing)}\n" for drawing in drawings))
    (folder / "aside/work").mkdir(parents=True)
    os.chdir(folder / "aside/work")
    import deepdraw.data.quickdraw.__main__
    import deepdraw.inference.embed  # noqa: F401

    script("train.py", *TRAIN, "freeze=all", "train.epochs=1")
    shutil.copytree("run", folder / "trained")
    script("evaluate.py", *EVALUATE)
    embed(*COMMANDS["embed"].arguments[:3], "num_workers=0")
