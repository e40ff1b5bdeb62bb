from .network import Answer, Busy, Network
from .routes import PAGE, make_app

__all__ = [
    "PAGE",
    "Answer",
    "Busy",
    "Network",
    "make_app",
]
