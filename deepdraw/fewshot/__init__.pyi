from .comparison import Comparison, Fit, unit_length, whitened, without_learning
from .known import MOST_SHOTS, KnownClasses
from .offset import OFFSETS, Margins, choose_offset, harmonic_mean, margins
from .scorers import (
    Scorer,
    check_supply,
    is_query,
    neighbors,
    over_tries,
    prototypes,
    score_queries,
    support_sets,
    tip_adapter,
)
from .whitening import Whitening, class_means, fit_whitening

__all__ = [
    "MOST_SHOTS",
    "OFFSETS",
    "Comparison",
    "Fit",
    "KnownClasses",
    "Margins",
    "Scorer",
    "Whitening",
    "check_supply",
    "choose_offset",
    "class_means",
    "fit_whitening",
    "harmonic_mean",
    "is_query",
    "margins",
    "neighbors",
    "over_tries",
    "prototypes",
    "score_queries",
    "support_sets",
    "tip_adapter",
    "unit_length",
    "whitened",
    "without_learning",
]
