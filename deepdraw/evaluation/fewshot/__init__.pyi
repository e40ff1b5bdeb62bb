from .generalized import by_kind
from .methods import Comparison, Fit, NearestNeighbors, Prototypes, TipAdapter, neighbors, prototypes
from .protocol import FewShot, Method

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
    "prototypes",
]
