"""The ways to tell classes from labeled drawings: what each learns from classes seen before, and how it compares."""

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
    """space: features [N, D] as the encoder gives them to those that are compared; scorer: compares them."""

    space: Callable[[Tensor], Tensor]
    scorer: Scorer


# from features [N, D] of drawings of seen classes and their labels [N]
Fit = Callable[[Tensor, Tensor], Comparison]


def plain(scorer: Scorer) -> Fit:
    """Features of unit length, as they are: nothing is learned from seen classes."""
    return lambda features, labels: Comparison(unit, scorer)


def unit(features: Tensor) -> Tensor:
    """Features [N, D] of unit length."""
    return F.normalize(features.float(), dim=-1)


@dataclass(frozen=True)
class Prototypes:
    """The nearest class mean, by the cosine, and where drawings of seen classes are there, `whitened` by their spread.

    shrinkage: of that spread's covariance, in (0, 1].
    """

    whiten: bool
    shrinkage: float

    @property
    def needs_seen(self) -> bool:
        """Whether there is a spread to learn."""
        return self.whiten

    def fits(self, task: Task) -> dict[str, Fit]:
        """`prototype`, and `whitened` ahead of it."""
        fits = {"prototype": plain(prototypes)}
        if self.whiten and task.seen is not None:
            fits = {"whitened": self._whitened, **fits}
        return fits

    def _whitened(self, features: Tensor, labels: Tensor) -> Comparison:
        whitening = fit_whitening(features, labels, self.shrinkage)
        return Comparison(whitening, whitening.log_likelihoods)


@dataclass(frozen=True)
class NearestNeighbors:
    """A vote of the `k` nearest drawings, weighed at `temperature`."""

    k: int
    temperature: float
    needs_seen = False

    def __post_init__(self) -> None:
        if self.k < 1 or self.temperature <= 0:
            raise ValueError(f"knn with k={self.k} and temperature={self.temperature}: both must be above 0")

    def fits(self, task: Task) -> dict[str, Fit]:
        """`knn`."""
        return {"knn": plain(partial(neighbors, k=self.k, temperature=self.temperature))}


@dataclass(frozen=True)
class TipAdapter:
    """Prompts and labeled drawings together, of an encoder with a text tower."""

    alpha: float
    beta: float
    prompts: str | Sequence[str]
    needs_seen = False

    def fits(self, task: Task) -> dict[str, Fit]:
        """`tip`. Raises ValueError without a text tower."""
        text = text_classifier(task.model.backbone.encode_text, task.loader.classes, self.prompts)
        return {"tip": plain(partial(tip_adapter, text=text, alpha=self.alpha, beta=self.beta))}
