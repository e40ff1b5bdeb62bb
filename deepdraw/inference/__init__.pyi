from .averaged import average_epochs
from .recognizer import Recognizer
from .trained import Trained, rebuild

__all__ = [
    "Recognizer",
    "Trained",
    "average_epochs",
    "rebuild",
]
