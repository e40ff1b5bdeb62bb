"""What the classes trained on lend to new ones of a few drawings each, so that all are compared at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from deepdraw.fewshot.comparison import whitened
from deepdraw.fewshot.offset import best_offset, margins, score_folds
from deepdraw.fewshot.whitening import Whitening, class_means, fit_whitening
from deepdraw.models import NUM_TEMPERATURES, best_temperature, losses_by_temperature

MOST_SHOTS = 5  # drawings of a new class for which an offset is chosen; with more of them it hardly changes
TEMPERATURE_EVERY = 8  # of so many queries one is enough for one number


@dataclass(frozen=True, eq=False)
class KnownClasses:
    """The classes trained on as prototypes after whitening, and how far new classes are to be raised among them.

    They are compared as by the method `whitened` of protocol=prototype on split=generalized. whitening: that of seen
    classes; means: theirs after it, [C, K], of so many drawings each, counts: int64 [C]; offsets: float64 [MOST_SHOTS],
    added to the score of a new class of 1, 2, ... drawings; temperature: float64 [1], divides all scores.
    """

    whitening: Whitening
    means: Tensor
    counts: Tensor
    offsets: Tensor
    temperature: Tensor

    @classmethod
    def learn(cls, features: Tensor, labels: Tensor, *, shrinkage: float = 0.3, seed: int = 0) -> KnownClasses:
        """Learn from drawings of seen classes: features [N, D], labels int64 [N], about 40 of each class.

        Offsets and temperature are those that suit best where some of these classes are treated as new ones. Raises
        ValueError as `fit_whitening` does.
        """
        num_classes = int(labels.max()) + 1
        whitening = fit_whitening(features, labels, shrinkage)
        # as a file has it, from which it gives the same bits
        whitening = Whitening(**{name: tensor.contiguous() for name, tensor in vars(whitening).items()})
        means = class_means(whitening(features), labels, num_classes)
        fit = partial(whitened, shrinkage=shrinkage)
        fewest = int(labels.bincount().min())
        offsets, losses = [], np.zeros(NUM_TEMPERATURES)
        for shots in range(1, MOST_SHOTS + 1):
            folds = list(score_folds(features, labels, fit, shots=min(shots, fewest - 1), seed=seed))
            offsets.append(best_offset([margins(*fold) for fold in folds]))
            for scores, truth, num_seen in folds:
                scores[:, num_seen:] += offsets[-1]
                some = scores[::TEMPERATURE_EVERY], truth[::TEMPERATURE_EVERY]
                losses += losses_by_temperature(*some).double().cpu().numpy()
        numbers = [torch.tensor(found, dtype=torch.float64) for found in (offsets, [best_temperature(losses)])]
        return cls(whitening, means, labels.bincount(), *numbers).to(features.device)

    def logits(self, queries: Tensor, support: Tensor, labels: Tensor, num_new: int) -> Tensor:
        """Logits [N, C + num_new] of queries [N, D]: of the seen classes, then of new ones.

        support: features [M, D] of drawings of new classes, labels: theirs, int64 [M] below `num_new`, each class with
        one drawing or more.
        """
        counts = labels.bincount(minlength=num_new)
        means = torch.cat([self.means, class_means(self.whitening(support), labels, num_new)])
        scores = self.whitening.log_likelihoods_of_means(
            self.whitening(queries), means, torch.cat([self.counts, counts])
        )
        scores[:, len(self.means) :] += self.offsets[counts.clamp(max=MOST_SHOTS) - 1]
        return scores / self.temperature.to(scores.dtype)

    def to(self, device: torch.device) -> KnownClasses:
        """The same on a device."""
        whitening = Whitening(**{name: tensor.to(device) for name, tensor in vars(self.whitening).items()})
        others = {name: tensor.to(device) for name, tensor in vars(self).items() if name != "whitening"}
        return KnownClasses(whitening, **others)
