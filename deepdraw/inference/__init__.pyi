from .recognizer import Recognizer
from .trained import rebuild

__all__ = [
    "Recognizer",
    "rebuild",
]
