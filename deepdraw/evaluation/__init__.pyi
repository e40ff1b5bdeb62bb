from .calibration import Reliability
from .classify import sample, score
from .evaluation import Evaluation, Stacking
from .intervals import mcnemar
from .metric_files import TRIAL, lower_is_better, read_metrics, read_summary
from .predictions import Predictions, PredictionsBuilder
from .protocols import Auto, Head, Text
from .session import Session
from .splits import open_split, redraw
from .task import Task

__all__ = [
    "TRIAL",
    "Auto",
    "Evaluation",
    "Head",
    "Predictions",
    "PredictionsBuilder",
    "Reliability",
    "Session",
    "Stacking",
    "Task",
    "Text",
    "lower_is_better",
    "mcnemar",
    "open_split",
    "read_metrics",
    "read_summary",
    "redraw",
    "sample",
    "score",
]
