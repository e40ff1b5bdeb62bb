from .generalized import by_kind
from .methods import Comparison, Fit, NearestNeighbors, Prototypes, TipAdapter, unit_length
from .protocol import FewShot, Method
from .scorers import neighbors, over_tries, prototypes

__all__ = [
    "Comparison",
    "FewShot",
    "Fit",
    "Method",
    "NearestNeighbors",
    "Prototypes",
    "TipAdapter",
    "by_kind",
    "neighbors",
    "over_tries",
    "prototypes",
    "unit_length",
]
