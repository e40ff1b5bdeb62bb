from .generalized import by_kind
from .methods import NearestNeighbors, Prototypes, TipAdapter
from .protocol import FewShot

__all__ = [
    "FewShot",
    "NearestNeighbors",
    "Prototypes",
    "TipAdapter",
    "by_kind",
]
