"""How a few-shot method compares drawings, and what it may learn before it does."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F

from deepdraw.fewshot.scorers import Scorer
from deepdraw.fewshot.whitening import fit_whitening


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


def whitened(features: Tensor, labels: Tensor, *, shrinkage: float) -> Comparison:
    """Compare class means after the whitening that these features [N, D] and labels [N] of seen classes teach."""
    whitening = fit_whitening(features, labels, shrinkage)
    return Comparison(whitening, whitening.log_likelihoods)
