from .alike import Looks, learn_looks
from .collection import Collection
from .description import PAGE, describe
from .network import Answer, Busy, Network
from .routes import make_app

__all__ = [
    "PAGE",
    "Answer",
    "Busy",
    "Collection",
    "Looks",
    "Network",
    "describe",
    "learn_looks",
    "make_app",
]
