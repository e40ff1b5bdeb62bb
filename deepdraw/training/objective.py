"""The objective: the one metric by which epochs, heads, checkpoints and the jobs of a sweep are compared."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Objective:
    """A metric on validation, as `val/name`, and whether lower values of it are better."""

    key: str = "val/top1"
    is_lower_better: bool = False

    def improves(self, metrics: Mapping[str, float], best: Mapping[str, float]) -> bool:
        """Whether the metrics are better than the best so far, which may be empty. What is not finite never is."""
        value = metrics[self.key]
        if not math.isfinite(value) or self.key not in best:
            return math.isfinite(value)
        return value < best[self.key] if self.is_lower_better else value > best[self.key]

    def best_first(self, values: Mapping[int, float]) -> list[int]:
        """Numbers, such as of epochs, in the order of their values; among equals the smaller number first."""
        return sorted(values, key=lambda number: (values[number] if self.is_lower_better else -values[number], number))


VAL_TOP1 = Objective()
