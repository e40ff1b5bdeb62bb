"""Runs made up for comparisons: directories whose results and predictions are known."""

import json
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from deepdraw.compare.runs import find_runs
from deepdraw.evaluation.predictions import Predictions

CLASSES = ["ant", "bee", "cat", "dog", "eel", "fox", "gnu", "hen", "ibex", "jay"]


N = 400


CONFIG = {
    "seed": 0,
    "data": {
        "root": "shards",
        "num_workers": 2,
        "source": {"_target_": "deepdraw.data.Shards", "root": "shards"},
    },
    "optimizer": {"_target_": "deepdraw.training.build_optimizer", "lr": 0.001},
    "freeze": {"_target_": "deepdraw.models.freezing.nothing"},
    "augment": None,
    "train": {"epochs": 2, "log_every": 50},
}


def predictions(accuracy: float, *, seed: int = 0, keys=None, classes: list[str] = CLASSES) -> Predictions:
    """Of drawings whose class depends on the key alone; each has a fixed difficulty, the same for all models."""
    keys = np.arange(N, dtype=np.uint64) if keys is None else np.asarray(keys, np.uint64)
    names = [CLASSES[int(key) % len(CLASSES)] for key in keys]
    labels = np.array([classes.index(name) for name in names], np.uint16)
    rng = np.random.default_rng([seed, 7])
    difficulty = np.random.default_rng(1).random(100_000)[(keys % 100_000).astype(int)]
    ranks = np.where(difficulty + rng.normal(0, 0.1, len(keys)) < accuracy, 0, 1 + rng.integers(0, 9, len(keys)))
    return Predictions(classes, keys, labels, labels, np.ones(len(keys), np.float32), ranks.astype(np.uint16))


def write_run(
    directory: Path, predictions: Predictions | None = None, *, split="test", protocol="", **settings
) -> Path:
    """A run directory with a finished summary and, where there are predictions, an evaluation of them."""
    directory.mkdir(parents=True, exist_ok=True)
    config = OmegaConf.create(CONFIG)
    for key, value in settings.items():
        OmegaConf.update(config, key.replace("__", "."), value, merge=False)
    (directory / "config.yaml").write_text(OmegaConf.to_yaml(config))
    summary = {"test/top1": 0.5, "test/loss": 2.0, "val/top1": 0.52, "trainable_parameters": 123456}
    (directory / "summary.json").write_text(json.dumps(summary))
    if predictions is not None:
        top1, top5 = ((predictions.ranks < k).mean() for k in (1, 5))
        metrics = {"top1": top1, "top1_low": top1 - 0.02, "top1_high": top1 + 0.02, "top5": top5, "loss": 3 - top1}
        found = {f"{split}/{protocol}{name}": value for name, value in metrics.items()}
        predictions.save(directory / f"evaluations/{split}.predictions.npz")
        found[f"{split}/images_per_second"] = 1234.5
        (directory / f"evaluations/{split}.json").write_text(json.dumps(found))
    return directory


@pytest.fixture
def sweep(tmp_path) -> Path:
    """Four runs that differ in learning rate; the third, with 0.01, is by far the best, the first is a little worse."""
    for number, accuracy in enumerate([0.7, 0.5, 0.75, 0.3]):
        lr = [0.001, 0.003, 0.01, 0.03][number]
        write_run(tmp_path / "sweep" / str(number), predictions(accuracy, seed=number), optimizer__lr=lr)
    return tmp_path / "sweep"


def runs_of(sweep: Path) -> list[Path]:
    return find_runs(sweep)[0]


def launched(sweep: Path, objective: str, values: list[float], **more) -> Path:
    """The runs of `sweep` as the jobs of one that a launcher wrote, with these values of its objective."""
    for number, value in enumerate(values):
        file = sweep / str(number) / "summary.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), objective: value}))
    (sweep / "sweep.json").write_text(json.dumps({"launcher": "local", "objective": objective, "jobs": [], **more}))
    return sweep
