from .api import Run, evaluate, load, train

__version__: str

__all__ = [
    "Run",
    "evaluate",
    "load",
    "train",
]
