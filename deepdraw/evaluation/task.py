"""The input of a protocol: a classifier, and the drawings to score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deepdraw.data import Epochs, Inputs, split_views
from deepdraw.drawings import Complexity
from deepdraw.features import Encode, LabeledFeatures, gather_features
from deepdraw.models import Classifier, are_features
from deepdraw.runtime import Precision


@dataclass(frozen=True, eq=False)
class Task:
    """A classifier in eval mode and a split.

    encode: images to features; loader: the drawings to score, in stored order, or their cached features;
    classes: those that the head was trained on; seen: opens drawings of these classes to learn from, None
    where there are none; trained: whether the backbone was trained on them, too; complexity: of the drawings to
    score; labels: theirs, int64 [N], where they are known before anything is drawn; temperature: of the head's logits,
    where it is known; limit_batches: score the first so many batches; views: of each drawing in a batch of `loader`.
    """

    model: Classifier
    encode: Encode
    loader: Epochs
    precision: Precision
    classes: Sequence[str]
    seen: Callable[[], Epochs] | None = None
    trained: bool = True
    complexity: Complexity | None = None
    labels: NDArray[np.int64] | None = None
    temperature: float | None = None
    limit_batches: int | None = None
    views: int = 1

    @property
    def generalized(self) -> bool:
        """Whether the split is of classes trained on and, after them, of others."""
        known = list(self.classes)
        return self.loader.classes[: len(known)] == known and len(self.loader.classes) > len(known)

    def features(self, inputs: Inputs) -> Tensor:
        """float32 [B, D] of what the backbone sees of B drawings, the mean over views, or cached features unchanged."""
        return self.mean_of_views(self.features_of_views(inputs))

    def features_of_views(self, inputs: Inputs) -> Tensor:
        """float32 [K B, D] of K views of B drawings."""
        if are_features(inputs):
            return inputs
        return torch.cat([self.encode(view) for view in split_views(inputs, self.views)])

    def mean_of_views(self, values: Tensor) -> Tensor:
        """[B, ...], the mean over views of values [K B, ...]."""
        return values if self.views == 1 else values.float().unflatten(0, (self.views, -1)).mean(dim=0)

    def query_features(self) -> LabeledFeatures:
        """The features of all drawings to score."""
        return gather_features(
            self.features, self.loader, self.precision, title="features", limit_batches=self.limit_batches
        )

    def seen_features(self) -> LabeledFeatures | None:
        """The features of the drawings to learn from, where there are any."""
        if self.seen is None:
            return None
        return gather_features(self.features, self.seen(), self.precision, title="features of classes trained on")
