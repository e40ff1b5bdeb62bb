"""The result of a protocol on a split: metrics, predictions, and the data of pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepdraw.evaluation.calibration import Reliability
from deepdraw.evaluation.predictions import Predictions


@dataclass(frozen=True, eq=False)
class Stacking:
    """Generalized accuracy when an offset is added to the score of every unseen class, for K offsets.

    Calibrated stacking, Chao et al., 2016, arXiv 1605.04253. offsets: [K]; seen, unseen: mean per-class accuracy
    among all names of the drawings of either kind, 0..1 [K]; chosen: the offset chosen on held-back seen classes.
    """

    offsets: NDArray[np.float64]
    seen: NDArray[np.float64]
    unseen: NDArray[np.float64]
    chosen: float

    @property
    def harmonic_means(self) -> NDArray[np.float64]:
        """[K], of seen and unseen accuracy; 0 where either is."""
        total = self.seen + self.unseen
        return np.divide(2 * self.seen * self.unseen, total, out=np.zeros_like(total), where=total > 0)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The result of `protocol` on a split.

    metrics: names without the split's prefix; confusion: int64 [C, C], rows true, columns predicted; prototypes:
    float32 [C, D], the mean feature of each class, NaN for those without drawings; stacking: of split=generalized;
    positions: int64 [N], where in the split's stored order the drawings of `predictions` are, or None for all from the
    first on.
    """

    protocol: str
    metrics: dict[str, float]
    predictions: Predictions
    confusion: NDArray[np.int64]
    reliability: Reliability | None = None
    prototypes: NDArray[np.float32] | None = None
    stacking: Stacking | None = None
    positions: NDArray[np.int64] | None = None
