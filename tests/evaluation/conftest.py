"""A classifier's answers made up by chance, for what is drawn and written of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from deepdraw.data.quickdraw.categories import CATEGORIES
from deepdraw.evaluation.calibration import Reliability
from deepdraw.evaluation.evaluation import Evaluation, Stacking
from deepdraw.evaluation.predictions import Predictions
from deepdraw.report.pictures import write_pictures

MakeEvaluation = Callable[..., Evaluation]


@pytest.fixture(scope="session")
def made_up() -> MakeEvaluation:
    """Evaluations of classes in families of five, which are confused among themselves."""
    return make_up


def make_up(
    num_classes: int = 345, per_class: int = 48, skill: float = 6.0, classes: list[str] | None = None
) -> Evaluation:
    rng = np.random.default_rng(num_classes)
    classes = classes or list(CATEGORIES[:num_classes])
    families = rng.normal(size=(-(-num_classes // 5), 32)).repeat(5, axis=0)[:num_classes]
    prototypes = (families + 0.5 * rng.normal(size=(num_classes, 32))).astype(np.float32)
    labels = np.tile(np.arange(num_classes), per_class)
    effort = rng.gamma(4, 4, len(labels)).astype(np.uint16) + 2
    features = prototypes[labels] + rng.normal(size=(len(labels), 32)) * (0.8 + effort[:, None] / 40)
    directions = prototypes / np.linalg.norm(prototypes, axis=1, keepdims=True)
    logits = skill * features @ directions.T / 3
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = odds / odds.sum(axis=1, keepdims=True)
    true_logits = logits[np.arange(len(labels)), labels]
    predictions = Predictions(
        classes,
        key_ids=rng.integers(0, 2**63, len(labels)).astype(np.uint64),
        labels=labels.astype(np.uint16),
        predicted=logits.argmax(axis=1).astype(np.uint16),
        confidences=probabilities.max(axis=1).astype(np.float32),
        ranks=(logits > true_logits[:, None]).sum(axis=1).astype(np.uint16),
        strokes=(effort // 6 + 1).astype(np.uint16),
        points=(3 * effort).astype(np.uint16),
    )
    confusion = np.zeros((num_classes, num_classes), np.int64)
    np.add.at(confusion, (labels, predictions.predicted), 1)
    top1 = float((predictions.ranks == 0).mean())
    metrics = {
        "top1": top1,
        "top1_low": top1 - 0.01,
        "top1_high": top1 + 0.01,
        "top5": float((predictions.ranks < 5).mean()),
        "loss": float(-np.log(probabilities[np.arange(len(labels)), labels]).mean()),
        "ece_scaled": 0.012,
        "temperature": 1.1,
        "top1_strokes_1": 0.8,
        "top1_strokes_1_low": 0.7,
        "top1_strokes_1_high": 0.85,
        "top1_strokes_2-3": 0.6,
        "top1_points_1-10": 0.75,
        "chance": 1 / num_classes,
    }
    offsets = np.linspace(-1, 3, 41)
    stacking = Stacking(offsets, 0.6 / (1 + np.exp(offsets - 2)), 0.5 / (1 + np.exp(-offsets)), chosen=1.5)
    return Evaluation("classifier", metrics, predictions, confusion, _reliability(predictions), prototypes, stacking)


@pytest.fixture(scope="session")
def few_pictures(scribble, tmp_path_factory) -> Path:
    """The folder of all pictures of an evaluation of eight classes, one with a name that is no good HTML."""
    folder = tmp_path_factory.mktemp("pictures")
    classes = ['"><script>alert("$1")</script>', *CATEGORIES[:7]]
    write_pictures(make_up(num_classes=8, per_class=10, skill=0.5, classes=classes), scribble, folder)
    return folder


def _reliability(predictions: Predictions) -> Reliability:
    bins = (predictions.confidences * 15).astype(int).clip(max=14)
    counts = np.bincount(bins, minlength=15)
    with np.errstate(invalid="ignore"):
        confidences = np.bincount(bins, predictions.confidences, minlength=15) / counts
        accuracies = np.bincount(bins, predictions.ranks == 0, minlength=15) / counts
    return Reliability(np.linspace(0, 1, 16), counts, confidences, accuracies)


@pytest.fixture(scope="session")
def scribble() -> Callable[[NDArray[np.int64], int], NDArray[np.uint8]]:
    """Draws, at every position, a spiral of its own."""

    def draw(positions: NDArray[np.int64], size: int) -> NDArray[np.uint8]:
        angles = np.linspace(0, 6 * np.pi, 40 * size)
        radii = np.linspace(0.1, 0.45, 40 * size) * (0.6 + 0.4 * np.sin(np.outer(positions % 7 + 2, angles)))
        x, y = (((0.5 + radii * turn(angles)) * size).astype(int) for turn in (np.cos, np.sin))
        images = np.full((len(positions), size, size), 255, np.uint8)
        images[np.arange(len(positions))[:, None], y, x] = 0
        return images

    return draw
