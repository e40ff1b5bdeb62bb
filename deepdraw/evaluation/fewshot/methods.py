"""Few-shot methods: what each one learns from drawings of seen classes, and how it scores queries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F

from deepdraw.evaluation.fewshot.scorers import Scorer, neighbors, prototypes, tip_adapter
from deepdraw.evaluation.fewshot.whitening import fit_whitening
from deepdraw.evaluation.task import Task
from deepdraw.models import text_classifier


class Comparison(NamedTuple):
    """space: transforms features [N, D] of the encoder before they are compared; scorer: scores them, see `Scorer`."""

    space: Callable[[Tensor], Tensor]
    scorer: Scorer


# Takes features [N, D] and labels [N] of drawings of seen classes, from which a method may learn.
Fit = Callable[[Tensor, Tensor], Comparison]


def without_learning(scorer: Scorer) -> Fit:
    """Compare features of unit length. Nothing is learned from seen classes."""
    return lambda features, labels: Comparison(unit_length, scorer)


def unit_length(features: Tensor) -> Tensor:
    """Features [N, D] of unit length."""
    return F.normalize(features.float(), dim=-1)


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
        whitening = fit_whitening(features, labels, self.shrinkage)
        return Comparison(whitening, whitening.log_likelihoods)


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
