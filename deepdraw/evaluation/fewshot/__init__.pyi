from .generalized import by_kind
from .methods import NearestNeighbours, Prototypes, TipAdapter
from .protocol import FewShot

__all__ = [
    "FewShot",
    "NearestNeighbours",
    "Prototypes",
    "TipAdapter",
    "by_kind",
]
