from .source import open_doodles

__all__ = [
    "open_doodles",
]
