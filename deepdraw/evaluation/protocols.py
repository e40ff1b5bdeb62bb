"""The ways to turn a model and a split into numbers; each config of `conf/protocol` names one.

A protocol takes the model in eval mode, the loader of a split, the precision, the names of the classes that the head
was trained on and how many batches to look at (None: all), and returns metrics without the split's prefix.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from torch import Tensor

from deepdraw.data.loader import Loader
from deepdraw.evaluation.classify import outputs, score
from deepdraw.evaluation.fewshot import Method, few_shot
from deepdraw.evaluation.metrics import chance
from deepdraw.models.classifier import Classifier
from deepdraw.models.heads import cosine_logits
from deepdraw.models.prompts import text_classifier
from deepdraw.runtime.precision import Precision

Metrics = dict[str, float]


def auto(
    model: Classifier,
    loader: Loader,
    precision: Precision,
    classes: Sequence[str],
    limit_batches: int | None,
    *,
    shots: Sequence[int],
    tries: int,
    seed: int,
) -> Metrics:
    """`classifier` on the classes trained on; on others `text` where the encoder reads text, else `fewshot`."""
    if loader.classes == list(classes):
        return classifier(model, loader, precision, classes, limit_batches)
    if model.backbone.has_text:
        return text(model, loader, precision, classes, limit_batches)
    return fewshot(model, loader, precision, classes, limit_batches, shots=shots, tries=tries, seed=seed)


def classifier(
    model: Classifier, loader: Loader, precision: Precision, classes: Sequence[str], limit_batches: int | None
) -> Metrics:
    """The trained head. Raises ValueError where the split is not of the classes that it was trained on."""
    if loader.classes != list(classes):
        raise ValueError(
            "the head was trained on other classes than this split has: use protocol=auto, prototype, knn or text"
        )
    metrics = score(model, loader, precision, title="classifying", limit_batches=limit_batches)
    return metrics | {"chance": chance(len(classes))}


def text(
    model: Classifier, loader: Loader, precision: Precision, classes: Sequence[str], limit_batches: int | None
) -> Metrics:
    """Zero-shot: prompts over the names of the split's classes. Raises ValueError without a text tower."""
    weights = text_classifier(model.backbone.encode_text, loader.classes)

    def logits(images: Tensor) -> Tensor:
        return cosine_logits(model.features(images), weights, scale=100.0)  # where CLIP's authors clip it

    metrics = score(logits, loader, precision, title="reading against prompts", limit_batches=limit_batches)
    return {f"text_{name}": value for name, value in metrics.items()} | {"chance": chance(len(loader.classes))}


def fewshot(
    model: Classifier,
    loader: Loader,
    precision: Precision,
    classes: Sequence[str],
    limit_batches: int | None,
    *,
    shots: Sequence[int],
    tries: int,
    seed: int,
    methods: Sequence[Method] = ("prototype", "knn"),
) -> Metrics:
    """k-shot, of classes new or known: prototypes and kNN from k labelled drawings each, all others asked."""
    start = time.perf_counter()
    batches = list(outputs(model.features, loader, precision, title="features", limit_batches=limit_batches))
    features = torch.cat([features for _, features in batches])
    labels = torch.cat([batch.labels for batch, _ in batches])
    speed = len(labels) / (time.perf_counter() - start)
    metrics = few_shot(features, labels, methods=methods, shots=shots, tries=tries, seed=seed)
    return metrics | {"chance": chance(len(loader.classes)), "images_per_second": speed}
