"""Training and evaluation from Python: what train.py and evaluate.py do, callable any number of times in a process.

run = deepdraw.train(["backbone=clip", "freeze=first12"])
metrics = deepdraw.evaluate(run, split="zeroshot")
guesses = deepdraw.load(run).predict("cat.png")
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepdraw.config import compose_config
from deepdraw.evaluation import read_summary
from deepdraw.runtime import (
    best_checkpoint,
    choose_directory,
    expand_home,
    find_rank,
    hydra_config,
    one_line_values,
    possible_folder,
)

if TYPE_CHECKING:
    from deepdraw.inference import Recognizer

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class Run:
    """A finished training in its directory. It can be used as a path: `deepdraw.load(run)`."""

    directory: Path

    def __fspath__(self) -> str:
        return str(self.directory)

    @property
    def checkpoint(self) -> Path:
        """The best weights, by validation."""
        return best_checkpoint(self.directory)

    @property
    def summary(self) -> dict[str, Any]:
        """The content of `summary.json`: metrics, sizes, seed, device, versions and git commit."""
        return read_summary(self.directory)

    @property
    def metrics(self) -> dict[str, float]:
        """The metrics of the best weights on the validation and the test split, as `test/top1`."""
        return {key: value for key, value in self.summary.items() if key.startswith(("val/", "test/"))}


def train(
    overrides: Sequence[str] = (), *, directory: PathLike | None = None, config_dir: PathLike | None = None
) -> Run:
    """Train, test and report as `python train.py OVERRIDES` does; the same directory again goes on where it stopped.

    In a script that torchrun starts, all ranks call it and train one model together; rank 0 alone writes.

    Args:
        overrides: as on the command line: `["backbone=clip", "optimizer.lr=1e-4"]`.
        directory: of the run; by default that of `hydra.run.dir`, which is a new one named after the time.
        config_dir: a directory of options of your own, as `--config-dir` names one.

    Raises:
        ValueError: in one line, for bad input. KeyboardInterrupt after Ctrl-C, once a checkpoint is saved.
    """
    with one_line_values(), random_state_kept():
        options = None if config_dir is None else Path(expand_home(os.fspath(config_dir)))
        config = compose_config("train", _listed(overrides), options)
        if directory is not None:
            chosen = possible_folder(directory, "directory=")
        elif find_rank().is_first:
            chosen = choose_directory(config)
        else:  # which gets that of rank 0
            chosen = Path(config.hydra.run.dir)
        from deepdraw.experiment import open_experiment  # torch: slow to import

        with hydra_config(config, chosen) as task, open_experiment(task, chosen) as experiment:
            experiment.fit()
            experiment.test()
            experiment.report()
            # all ranks wait until rank 0 has written the report
            run = Run(experiment.ranks.broadcast_from_rank0(lambda: experiment.directory))
        with hydra_config(config, chosen):
            experiment.evaluate()
        return run


def evaluate(run_or_ckpt: PathLike, split: str = "test", overrides: Sequence[str] = ()) -> dict[str, float]:
    """Evaluate as `python evaluate.py ckpt=... split=... OVERRIDES` does, and return the metrics, as `test/top1`.

    In a script that torchrun starts, rank 0 alone may call it.

    Args:
        run_or_ckpt: a Run, a run directory (its best.pt is meant), or a checkpoint.
        split: train, val, test, zeroshot, generalized, or a folder of images or shards.
        overrides: as on the command line: `["protocol=knn", "device=cpu"]`.

    Raises:
        ValueError: in one line, for bad input.
    """
    with one_line_values(), random_state_kept():
        config = compose_config("evaluate", _listed(overrides))
        config.ckpt, config.split = os.fspath(run_or_ckpt), split
        from deepdraw.evaluation import Session  # torch: slow to import
        from deepdraw.report import write_session

        with hydra_config(config, Path(config.hydra.run.dir)) as task:
            session = Session(task)
            return write_session(session)


def load(
    run_or_ckpt: PathLike,
    *,
    device: str = "auto",
    precision: str = "auto",
    trust: Collection[str] = (),
    images: str | None = None,
    root: PathLike | None = None,
    classes: PathLike | None = None,
) -> Recognizer:
    """Load a trained classifier: `deepdraw.load(run).predict("cat.png")`.

    Args:
        run_or_ckpt: a Run, a run directory (its best.pt is meant), a checkpoint of train.py, or that of a repository of
            the Hugging Face hub, hf-hub:OWNER/NAME. It says itself how drawings are drawn and what classes there are.
        device: auto (cuda where there is one, else cpu), cpu, cuda, cuda:1 ...
        precision: auto, bf16, fp16 or fp32.
        trust: packages, beside deepdraw's own libraries, whose classes the checkpoint may name.
        images: "traced" has the lines of images traced for a network that sees strokes, "refused" not; by default as
            in training.
        root: where the data are that it was trained on, if no longer where training read them; for `teach` alone.
        classes: a file that `TaughtRecognizer.save` wrote: these classes are guessed beside those trained on.

    Raises:
        ValueError: in one line, where the checkpoint is missing, damaged, or cannot be used here.
    """
    from deepdraw.inference import open_recognizer, rebuild  # torch: slow to import

    with random_state_kept():  # a network is built with random weights first
        trained = rebuild(
            run_or_ckpt,
            device=device,
            precision=precision,
            trust=trust,
            images=images,
            root=None if root is None else os.fspath(root),
        )
        return open_recognizer(trained, classes)


@contextmanager
def random_state_kept() -> Iterator[None]:
    """Give the caller back the random states of Python, NumPy and torch as they were, on all devices."""
    import random

    import numpy as np
    import torch

    python_state, numpy_state = random.getstate(), np.random.get_state()
    used_cuda = torch.cuda.is_initialized()
    try:
        with torch.random.fork_rng(range(torch.cuda.device_count()) if used_cuda else ()):
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        if torch.cuda.is_initialized() and not used_cuda:
            torch.cuda.manual_seed_all(torch.initial_seed())  # as a first use after this would have found it


def _listed(overrides: Sequence[str]) -> list[str]:
    """The overrides; ValueError for a text, whose letters would be taken for them."""
    if isinstance(overrides, str):
        raise ValueError(f"overrides={overrides!r} is one text: give a list, such as {overrides.split()}")
    return list(overrides)
