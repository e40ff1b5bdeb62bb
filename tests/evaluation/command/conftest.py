"""What the tests of evaluate.py read of its results."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from deepdraw.data.shards import Shards
from deepdraw.drawings.raster import Rasterizer


def found(run: Path, split: str = "test") -> dict[str, float]:
    return json.loads((run / f"evaluations/{split}.json").read_text())


def summary(run: Path) -> dict:
    return json.loads((run / "summary.json").read_text())


def close(metrics: dict) -> object:
    """But for rounding: an evaluation on a CPU folds batch norms into convolutions."""
    return pytest.approx(metrics, rel=1e-5, abs=1e-5)


def without_times(metrics: dict) -> dict:
    """And without what is no number."""
    others = ("images_per_second", "recognition", "checkpoint", "checkpoint_sha256", "checkpoint_epoch")
    return {name: value for name, value in metrics.items() if not name.endswith(others)}


@pytest.fixture
def folder(tmp_path, polygon_root):
    """Drawings of split test as PNG files, dark on light, in a folder for each of the names."""

    def draw(*names: str) -> Path:
        split = Shards(str(polygon_root)).split("test")
        images = np.empty((90, 64, 64), np.uint8)
        split.read(np.arange(len(split.block_sizes)), np.arange(90), Rasterizer(64), images)
        for label, name in enumerate(names):
            (tmp_path / "my sketches" / name).mkdir(parents=True)
            for i in np.flatnonzero(split.labels == label)[:6]:
                cv2.imwrite(str(tmp_path / "my sketches" / name / f"{i}.png"), images[i])
        return tmp_path / "my sketches"

    return draw
