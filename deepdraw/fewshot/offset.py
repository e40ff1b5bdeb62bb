"""The offset of new classes: calibrated stacking, chosen on classes that were trained on.

A classifier that learned from many drawings of some classes and few of others prefers the former. Adding one offset to
the scores of unseen classes corrects this (Chao et al., 2016, arXiv 1605.04253). The offset is chosen on seen classes
alone, some of which are treated as unseen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deepdraw.fewshot.comparison import Fit

FOLDS = 5  # of seen classes; each is treated as unseen once: 55 of 275, about as 70 of 345
OFFSETS = 401  # offsets of a curve


class Margins(NamedTuple):
    """The margin of unseen classes over seen ones, for each of N queries.

    leads: the best score of an unseen class less the best of a seen one; right: whether the better of those of its own
    kind, seen or unseen, is the true class; labels: [N]; num_seen: labels below it are of seen classes.
    """

    leads: NDArray[np.float64]
    right: NDArray[np.bool_]
    labels: NDArray[np.int64]
    num_seen: int

    def accuracies(self, offsets: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean per-class accuracy [K] of seen and of unseen classes, among all, with each offset on unseen scores."""
        weights = 1 / np.bincount(self.labels)[self.labels]
        kinds = []
        for unseen in (False, True):
            own = (self.labels >= self.num_seen) == unseen
            leads = self.leads[own & self.right]
            order = np.argsort(leads)
            # an unseen class is predicted where lead + offset > 0
            below = np.concatenate([[0], np.cumsum(weights[own & self.right][order])])
            taken_as_seen = below[np.searchsorted(leads[order], -offsets, side="right")]
            kinds.append((below[-1] - taken_as_seen if unseen else taken_as_seen) / weights[own].sum())
        return kinds[0], kinds[1]


def margins(scores: Tensor, labels: Tensor, num_seen: int) -> Margins:
    """The margins of scores [N, C], in which the first `num_seen` classes are the seen ones."""
    seen, unseen = scores[:, :num_seen].max(dim=1), scores[:, num_seen:].max(dim=1)
    own = torch.where(labels < num_seen, seen.indices, unseen.indices + num_seen)
    leads = (unseen.values - seen.values).double().cpu().numpy()
    return Margins(leads, (own == labels).cpu().numpy(), labels.cpu().numpy(), num_seen)


def choose_offset(seen: Tensor, labels: Tensor, fit: Fit, *, shots: int, seed: int) -> float:
    """The offset of the best harmonic mean over folds of the seen classes alone: features [N, D], labels [N]."""
    return best_offset([margins(*fold) for fold in score_folds(seen, labels, fit, shots=shots, seed=seed)])


def best_offset(found: Sequence[Margins]) -> float:
    """The offset of the best harmonic mean over several sets of margins."""
    offsets = -np.quantile(np.concatenate([one.leads for one in found]), np.linspace(1, 0, OFFSETS))
    curves = [harmonic_mean(*one.accuracies(offsets)) for one in found]
    return float(offsets[np.mean(curves, axis=0).argmax()])


def score_folds(
    seen: Tensor, labels: Tensor, fit: Fit, *, shots: int, seed: int
) -> Iterator[tuple[Tensor, Tensor, int]]:
    """Scores [Q, C] and labels [Q] of queries in folds of the seen classes, and how many classes of a fold are known.

    seen, labels: features [N, D] and labels [N]. In each fold some classes are treated as unseen and stand last:
    `shots` drawings of each are their support. One half of the drawings of the other classes is learned from, the other
    half are the queries.
    """
    num_classes = int(labels.max()) + 1
    rng = np.random.default_rng([seed, shots])
    fold_of_class = torch.from_numpy(rng.permutation(num_classes) % FOLDS).to(labels.device)
    shuffled = rng.permutation(len(labels))
    rank = np.empty(len(labels), np.int64)  # of a drawing within its class
    by_class = shuffled[np.argsort(labels.cpu().numpy()[shuffled], kind="stable")]
    counts = np.bincount(labels.cpu().numpy(), minlength=num_classes)
    rank[by_class] = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    ranks, halves = torch.from_numpy(rank).to(labels.device), torch.from_numpy(counts // 2).to(labels.device)[labels]
    for fold in range(min(FOLDS, num_classes)):
        held_back = fold_of_class == fold
        order = torch.cat([(~held_back).nonzero()[:, 0], held_back.nonzero()[:, 0]])
        renumbered = torch.empty_like(order)
        renumbered[order] = torch.arange(num_classes, device=order.device)
        num_seen, mapped = int((~held_back).sum()), renumbered[labels]
        known = torch.where(held_back[labels], ranks < shots, ranks < halves)
        learned = known & ~held_back[labels]
        space, scorer = fit(seen[learned], mapped[learned])
        features = space(seen)
        scores = scorer(features[~known], features[known], mapped[known], num_classes)
        yield scores, mapped[~known], num_seen


def harmonic_mean(seen: NDArray[np.float64], unseen: NDArray[np.float64]) -> NDArray[np.float64]:
    """The harmonic mean of two accuracies; 0 where both are 0."""
    return 2 * seen * unseen / np.maximum(seen + unseen, 1e-12)
