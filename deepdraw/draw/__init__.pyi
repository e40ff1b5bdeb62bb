from .collection import Collection
from .description import PAGE, describe
from .network import Answer, Busy, Network
from .routes import make_app

__all__ = [
    "PAGE",
    "Answer",
    "Busy",
    "Collection",
    "Network",
    "describe",
    "make_app",
]
