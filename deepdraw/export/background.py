"""What the run of a checkpoint tells of it: how it was trained, and the results that were computed of it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from deepdraw.evaluation import Predictions, read_summary
from deepdraw.inference import Trained
from deepdraw.report import SplitResults, facts, read_results
from deepdraw.runtime import archive_hash, is_run_directory

PRIVATE = {"data", "command"}  # facts that are places of the machine that trained
SOURCES = {  # what the options of conf/data read
    "deepdraw.data.Shards": "Quick, Draw! (data=quickdraw)",
    "deepdraw.data.doodles.open_doodles": "doodles drawn by program (data=doodles)",
    "deepdraw.data.files.Folder": "a folder of drawings by class (data=folder)",
    "deepdraw.data.files.LabeledFiles": "files of drawings in a table (data=csv)",
    "deepdraw.data.tars.ImageTars": "tars of images (data=tars)",
}
FOLDERS = re.compile(r"(?:(?<![\w./:~-])(?:~[^\s/]*)?/|\b[A-Za-z]:[\\/])(?:[^\s,;'\"\[\]{}()]*[\\/])?")


@dataclass(frozen=True, eq=False)
class Background:
    """What is known of a checkpoint beside its weights.

    facts: how it was trained, by their titles; results: of its own weights alone, by split; predictions: of the split
    test; config: of its training, in plain values. None of them names a folder of the machine that trained.
    """

    config: dict[str, Any]
    facts: dict[str, str]
    results: list[SplitResults] = field(default_factory=list)
    predictions: Predictions | None = None

    def worst_pairs(self, number: int) -> list[tuple[str, str, int, int]]:
        """The most frequent mistakes: true name, name read, how often, of how many drawings of the true one."""
        if self.predictions is None:
            return []
        wrong, names = ~self.predictions.right, self.predictions.classes
        totals = np.bincount(self.predictions.labels, minlength=len(names))
        pairs = np.stack([self.predictions.labels[wrong], self.predictions.predicted[wrong]])
        found, counts = np.unique(pairs, axis=1, return_counts=True)
        most = np.argsort(-counts, kind="stable")[:number]
        return [
            (names[i], names[j], int(n), int(totals[i])) for (i, j), n in zip(found.T[most], counts[most], strict=True)
        ]

    def worst_classes(self, number: int) -> list[tuple[str, float, int]]:
        """The names read rightly least often: name, share, number of drawings. None that is right throughout."""
        if self.predictions is None:
            return []
        names = self.predictions.classes
        totals, right = (
            np.bincount(labels, minlength=len(names))
            for labels in (self.predictions.labels, self.predictions.labels[self.predictions.right])
        )
        shares = right / np.maximum(totals, 1)
        order = [i for i in np.argsort(shares, kind="stable") if totals[i] and right[i] < totals[i]]
        return [(names[i], float(shares[i]), int(totals[i])) for i in order[:number]]


def read_background(trained: Trained) -> Background:
    """What the run directory in which a checkpoint lies tells of it; what its config does where it lies in none.

    Results of other weights, such as those of a last.pt that has gone on since, are left out. Raises ValueError, naming
    the file, where one of the run is damaged.
    """
    config: Any = without_folders(OmegaConf.to_container(trained.config))
    path = trained.path.absolute()
    run, is_best = path.parent.parent, path.name == "best.pt"
    if path.parent.name != "checkpoints" or not is_run_directory(run):
        return Background(config, _public(facts({}, config), config))
    summary = read_summary(run)
    own = archive_hash(path)
    results = [
        found
        for found in read_results(run, summary if is_best else {})
        if (is_best if found.checkpoint is None else found.checkpoint.sha256 == own)
    ]
    return Background(config, _public(facts(summary, config), config), results, _predictions(run, results, trained))


def without_folders(value: Any) -> Any:
    """A config or text in which all that is absolute or in a home, such as /home/me/data, is its last part alone."""
    if isinstance(value, dict):
        return {key: without_folders(below) for key, below in value.items()}
    if isinstance(value, list):
        return [without_folders(below) for below in value]
    return FOLDERS.sub("", value) if isinstance(value, str) else value


def _public(found: dict[str, str], config: dict[str, Any]) -> dict[str, str]:
    """Facts without places of the machine; of the data, the kind stands for the place."""
    public = {title: text for title, text in found.items() if title not in PRIVATE}
    source = config.get("data", {}).get("source", {}).get("_target_", "")
    return {"data": SOURCES.get(source, source.rpartition(".")[2]), **public} if source else public


def _predictions(run: Path, results: list[SplitResults], trained: Trained) -> Predictions | None:
    """The predictions of the split test, where results of it are of these weights, and of these classes."""
    for found in results:
        path = run / f"evaluations/{found.split}.predictions.npz"
        if found.split.partition(".")[0] == "test" and path.exists():
            predictions = Predictions.load(path)
            return predictions if predictions.classes == trained.classes else None
    return None
