"""Probes of an encoder while it is fine-tuned: they show whether its features lose what they know of other classes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from deepdraw.data import Epochs
from deepdraw.features import Encode, gather_features
from deepdraw.fewshot import neighbors, over_tries, prototypes, unit_length
from deepdraw.runtime import Precision

SHOTS, TRIES = 5, 10
_knn = partial(neighbors, k=20, temperature=0.07)  # as protocol=knn


@dataclass(frozen=True, eq=False)
class Probes:
    """What is encoded after each epoch, a few drawings of each class in stored order.

    support: of train; queries: of val; unseen: of classes that are never trained on, None where there are none. Nothing
    may be chosen by the accuracy on unseen classes: it is there to be watched.
    """

    support: Epochs
    queries: Epochs
    unseen: Epochs | None

    def __call__(self, encode: Encode, precision: Precision) -> dict[str, float]:
        """`probe/knn_top1`, `probe/effective_rank` of the features, and `probe/unseen_5shot_top1` by prototypes."""

        def features_of(loader: Epochs) -> Any:
            return gather_features(encode, loader, precision, title="probes")

        support, queries = features_of(self.support), features_of(self.queries)
        scores = _knn(
            unit_length(queries.features), unit_length(support.features), support.labels, len(self.queries.classes)
        )
        found = {
            "probe/knn_top1": (scores.argmax(dim=1) == queries.labels).double().mean().item(),
            "probe/effective_rank": effective_rank(queries.features),
        }
        if self.unseen is not None:
            unseen = features_of(self.unseen)
            mean, _ = over_tries(
                unit_length(unseen.features), unseen.labels, prototypes, shots=SHOTS, tries=TRIES, seed=0
            )
            found[f"probe/unseen_{SHOTS}shot_top1"] = mean
        return found


def effective_rank(features: Tensor) -> float:
    """Over how many dimensions features [N, D] spread: the exponential of the entropy of their singular values.

    Roy and Vetterli, 2007; with features less their mean. It is 1 where all lie on a line.
    """
    values = torch.linalg.svdvals((features - features.mean(dim=0)).double())
    shares = values / values.sum().clamp_min(torch.finfo(values.dtype).tiny)
    return float(torch.special.entr(shares).sum().exp())
