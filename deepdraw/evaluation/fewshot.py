"""How well features tell classes apart that the encoder never saw, from a few labelled drawings of each."""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

Method = Literal["prototype", "knn"]


def few_shot(
    features: Tensor,
    labels: Tensor,
    methods: Sequence[Method] = ("prototype", "knn"),
    shots: Sequence[int] = (1, 5),
    tries: int = 10,
    seed: int = 0,
) -> dict[str, float]:
    """Prototypes and kNN on `features` [N, D] with `labels` int64 [N], for each number of shots.

    Returns `prototype_<k>shot_top1` and `knn_<k>shot_top1` in 0..1, each with its `..._stderr` over `tries`
    random support sets, which both methods share. Raises ValueError as `support_sets` does.
    """
    accuracies = {"prototype": prototype_accuracy, "knn": knn_accuracy}
    results = {}
    for method in methods:
        for k in shots:
            mean, standard_error = accuracies[method](features, labels, k, tries, seed)
            results[f"{method}_{k}shot_top1"] = mean
            results[f"{method}_{k}shot_stderr"] = standard_error
    return results


def prototype_accuracy(features: Tensor, labels: Tensor, shots: int, tries: int, seed: int) -> tuple[float, float]:
    """Mean and standard error over tries of top-1 by the nearest class prototype, in 0..1.

    A prototype is the mean of `shots` L2-normalised features of its class; near means a high cosine, where
    prototypical networks have Euclidean distance (Snell et al., 2017, arXiv 1703.05175).
    """

    def scores(queries: Tensor, support: Tensor) -> Tensor:
        return queries @ F.normalize(support.mean(dim=1), dim=-1).T

    return _accuracy_over_tries(features, labels, shots, tries, seed, scores)


def knn_accuracy(
    features: Tensor,
    labels: Tensor,
    shots: int,
    tries: int,
    seed: int,
    k: int = 20,
    temperature: float = 0.07,
) -> tuple[float, float]:
    """Mean and standard error over tries of top-1 by a vote of the `k` nearest support drawings, in 0..1.

    A neighbour votes with the weight exp(cosine / temperature), as DINOv2's evaluation has it (Wu et al.,
    2018, arXiv 1805.01978). With fewer than `k` support drawings all of them vote.
    """

    def scores(queries: Tensor, support: Tensor) -> Tensor:
        num_classes, num_shots, _ = support.shape
        cosines, neighbours = (queries @ support.flatten(0, 1).T).topk(min(k, num_classes * num_shots), dim=1)
        votes = (cosines / temperature).softmax(dim=1)
        return queries.new_zeros(len(queries), num_classes).scatter_add_(1, neighbours // num_shots, votes)

    return _accuracy_over_tries(features, labels, shots, tries, seed, scores)


def support_sets(labels: Tensor, shots: int, tries: int, seed: int) -> Iterator[Tensor]:
    """For each try the indices of `shots` drawings of each class, int64 [num_classes, shots].

    Drawn at random from `seed` and the try alone; the drawings of fewer shots are the first of those of more.
    Raises ValueError where a class has no drawing left to ask about.
    """
    classes = labels.cpu().numpy()
    counts = np.bincount(classes)
    scarcest = int(counts.argmin())
    if counts[scarcest] <= shots:
        raise ValueError(
            f"class {scarcest} has {counts[scarcest]} drawings, but {shots}-shot needs at least {shots + 1}: "
            "ask for fewer shots or add drawings of it"
        )
    starts = np.cumsum(counts) - counts
    for i in range(tries):
        shuffled = np.random.default_rng([seed, i]).permutation(len(classes))
        by_class = shuffled[np.argsort(classes[shuffled], kind="stable")]
        yield torch.from_numpy(by_class[starts[:, None] + np.arange(shots)])


def _accuracy_over_tries(
    features: Tensor,
    labels: Tensor,
    shots: int,
    tries: int,
    seed: int,
    scores: Callable[[Tensor, Tensor], Tensor],
) -> tuple[float, float]:
    """`scores` turns unit queries [N, D] and unit support [C, shots, D] into class scores [N, C]."""
    if tries < 2:
        raise ValueError(f"a standard error needs at least 2 tries, not {tries}")
    if not features.isfinite().all():
        raise ValueError("features hold NaN or infinity: check the encoder's weights or use precision=fp32")
    features = F.normalize(features.float(), dim=-1)
    accuracies = []
    for support in support_sets(labels, shots, tries, seed):
        # Scoring everything and leaving the support out of the mean spares a copy of the features per try.
        correct = scores(features, features[support]).argmax(dim=1) == labels
        is_query = torch.ones_like(correct)
        is_query[support.flatten()] = False
        accuracies.append(correct[is_query].double().mean().item())
    return float(np.mean(accuracies)), float(np.std(accuracies, ddof=1) / np.sqrt(tries))
