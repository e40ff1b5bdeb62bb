"""Scores of queries by labeled drawings of each class, without training: prototypes, nearest neighbors, Tip-Adapter."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from deepdraw.fewshot.whitening import class_means
from deepdraw.runtime import with_progress_bar

# (queries [N, D], support [M, D], labels of the support int64 [M], number of classes C), features of unit length,
# to scores [N, C]
Scorer = Callable[[Tensor, Tensor, Tensor, int], Tensor]


def prototypes(queries: Tensor, support: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Cosines with the mean of each class.

    Prototypical networks have Euclidean distance in the place of the cosine (Snell et al., 2017, arXiv 1703.05175).
    """
    return queries @ F.normalize(class_means(support, labels, num_classes), dim=-1).T


def neighbors(
    queries: Tensor, support: Tensor, labels: Tensor, num_classes: int, *, k: int, temperature: float
) -> Tensor:
    """Votes, summing to 1, of the `k` nearest support drawings, each of the weight exp(cosine / temperature).

    So DINO and DINOv2 evaluate, after Wu et al., 2018, arXiv 1805.01978. Of fewer than `k` drawings all vote.
    """
    votes = []
    for part in queries.split(1024):  # with a support of millions, all cosines at once would not fit in memory
        cosines, nearest = (part @ support.T).topk(min(k, len(support)), dim=1)
        weights = (cosines / temperature).softmax(dim=1)
        votes.append(part.new_zeros(len(part), num_classes).scatter_add_(1, labels[nearest], weights))
    return torch.cat(votes)


def tip_adapter(
    queries: Tensor, support: Tensor, labels: Tensor, num_classes: int, *, text: Tensor, alpha: float, beta: float
) -> Tensor:
    """Logits of CLIP's prompts `text` [C, D] plus `alpha` times those of a cache of labeled drawings.

    A cached drawing speaks for its class with exp(-beta (1 - cosine)): Tip-Adapter without training (Zhang et al.,
    2021, arXiv 2111.03930).
    """
    affinities = (beta * (queries @ support.T - 1)).exp()
    return 100 * queries @ text.T + alpha * affinities @ F.one_hot(labels, num_classes).to(queries.dtype)


def over_tries(
    features: Tensor, labels: Tensor, scorer: Scorer, *, shots: int, tries: int, seed: int
) -> tuple[float, float]:
    """Mean and standard error over random support sets of the top-1 on all other drawings, in 0..1.

    features: unit length [N, D]; labels: int64 [N]. Raises ValueError as `support_sets` does, and for a single try.
    """
    if tries < 2:
        raise ValueError(f"a standard error needs at least 2 tries, not {tries}")
    accuracies = []
    for support in with_progress_bar(support_sets(labels, shots, tries, seed), f"{shots}-shot", tries, len(labels)):
        scores = score_queries(features, labels, support, scorer)
        # Scoring everything and leaving the support out of the mean spares a copy of the features per try.
        correct = (scores.argmax(dim=1) == labels)[is_query(labels, support)]
        accuracies.append(correct.double().mean().item())
    return float(np.mean(accuracies)), float(np.std(accuracies, ddof=1) / np.sqrt(tries))


def score_queries(features: Tensor, labels: Tensor, support: Tensor, scorer: Scorer) -> Tensor:
    """Scores [N, C] of all drawings, those of the support [C, shots] included."""
    chosen = support.flatten()
    return scorer(features, features[chosen], labels[chosen], len(support))


def is_query(labels: Tensor, support: Tensor) -> Tensor:
    """bool [N]: whether a drawing is not in the support."""
    asked = torch.ones_like(labels, dtype=torch.bool)
    asked[support.flatten()] = False
    return asked


def check_supply(counts: NDArray[np.int64], names: Sequence[object], shots: int) -> None:
    """Raise ValueError where a class, of which there are `counts` [C] drawings, has none left to ask about."""
    scarcest = int(counts.argmin())
    if counts[scarcest] <= shots:
        raise ValueError(
            f"class {names[scarcest]!r} has {counts[scarcest]} drawings, but {shots}-shot needs at least {shots + 1}: "
            "ask for fewer shots or add drawings of it"
        )


def support_sets(labels: Tensor, shots: int, tries: int, seed: int) -> Iterator[Tensor]:
    """For each try the indices of `shots` drawings of each class, int64 [num_classes, shots].

    Drawn at random from `seed` and the try alone; the drawings of fewer shots are the first of those of more.
    Raises ValueError where a class has no drawing left to ask about.
    """
    if shots < 1:
        raise ValueError(f"protocol.shots={shots} must be at least 1 labeled drawing of each class")
    classes = labels.cpu().numpy()
    if not len(classes):
        raise ValueError("none of the drawings is of a class that was not trained on: raise limit_batches")
    counts = np.bincount(classes)
    check_supply(counts, range(len(counts)), shots)
    starts = np.cumsum(counts) - counts
    for i in range(tries):
        shuffled = np.random.default_rng([seed, i]).permutation(len(classes))
        by_class = shuffled[np.argsort(classes[shuffled], kind="stable")]
        yield torch.from_numpy(by_class[starts[:, None] + np.arange(shots)]).to(labels.device)
