"""Few-shot methods: what each one learns from drawings of seen classes, and how it scores queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from deepdraw.evaluation.task import Task
from deepdraw.fewshot import (
    Comparison,
    Fit,
    neighbors,
    prototypes,
    tip_adapter,
    whitened,
    without_learning,
)
from deepdraw.models import text_classifier


@dataclass(frozen=True)
class Prototypes:
    """The nearest class mean by cosine; with drawings of seen classes also after whitening by their covariance.

    whiten: whether to add the method `whitened`; shrinkage: of the covariance, in (0, 1].
    """

    whiten: bool
    shrinkage: float

    @property
    def needs_seen(self) -> bool:
        """Whether the covariance of seen classes is learned."""
        return self.whiten

    def fits(self, task: Task) -> dict[str, Fit]:
        """The method `prototype`, preceded by `whitened` where it can be learned."""
        fits = {"prototype": without_learning(prototypes)}
        if self.whiten and task.seen is not None:
            fits = {"whitened": self._whitened, **fits}
        return fits

    def _whitened(self, features: Tensor, labels: Tensor) -> Comparison:
        return whitened(features, labels, shrinkage=self.shrinkage)


@dataclass(frozen=True)
class NearestNeighbors:
    """A vote of the `k` nearest drawings; see `neighbors` for the weights."""

    k: int
    temperature: float
    needs_seen = False

    def __post_init__(self) -> None:
        if self.k < 1 or self.temperature <= 0:
            raise ValueError(f"knn with k={self.k} and temperature={self.temperature}: both must be above 0")

    def fits(self, task: Task) -> dict[str, Fit]:
        """The method `knn`."""
        return {"knn": without_learning(partial(neighbors, k=self.k, temperature=self.temperature))}


@dataclass(frozen=True)
class TipAdapter:
    """Tip-Adapter: prompts and labeled drawings together. The encoder needs a text tower."""

    alpha: float
    beta: float
    prompts: str | Sequence[str]
    needs_seen = False

    def fits(self, task: Task) -> dict[str, Fit]:
        """The method `tip`. Raises ValueError without a text tower."""
        text = text_classifier(task.model.backbone.encode_text, task.loader.classes, self.prompts)
        return {"tip": without_learning(partial(tip_adapter, text=text, alpha=self.alpha, beta=self.beta))}
