from .averaged import average_epochs
from .known import known_columns
from .recognizer import Guess, Recognizer, TaughtRecognizer, open_recognizer
from .taught import Taught, learn_known
from .trained import Trained, rebuild

__all__ = [
    "Guess",
    "Recognizer",
    "Taught",
    "TaughtRecognizer",
    "Trained",
    "average_epochs",
    "known_columns",
    "learn_known",
    "open_recognizer",
    "rebuild",
]
