from .collection import Collection
from .network import Answer, Busy, Network
from .routes import PAGE, make_app

__all__ = [
    "PAGE",
    "Answer",
    "Busy",
    "Collection",
    "Network",
    "make_app",
]
