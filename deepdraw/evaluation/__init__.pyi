from .calibration import Reliability
from .classify import sample, score
from .encoding_rate import encoding_rate
from .evaluation import Evaluation, Stacking
from .metric import Kappa, Metric, compute_metrics, make_metrics
from .metric_files import (
    RECOGNITION,
    TRIAL,
    USUAL_OBJECTIVE,
    Description,
    Scored,
    describe_metrics,
    find_description,
    lower_is_better,
    read_checkpoint,
    read_descriptions,
    read_metrics,
    read_recognition,
    read_summary,
    write_descriptions,
)
from .objective import choose_objective
from .predictions import Predictions
from .probes import SHOTS, Probes
from .protocols import Auto, Head, Text
from .session import Session
from .significance import mcnemar
from .splits import GENERALIZED, open_split, redraw
from .task import Task
from .versions import PLAIN, Version, check_asked

__all__ = [
    "GENERALIZED",
    "PLAIN",
    "RECOGNITION",
    "SHOTS",
    "TRIAL",
    "USUAL_OBJECTIVE",
    "Auto",
    "Description",
    "Evaluation",
    "Head",
    "Kappa",
    "Metric",
    "Predictions",
    "Probes",
    "Reliability",
    "Scored",
    "Session",
    "Stacking",
    "Task",
    "Text",
    "Version",
    "check_asked",
    "choose_objective",
    "compute_metrics",
    "describe_metrics",
    "encoding_rate",
    "find_description",
    "lower_is_better",
    "make_metrics",
    "mcnemar",
    "open_split",
    "read_checkpoint",
    "read_descriptions",
    "read_metrics",
    "read_recognition",
    "read_summary",
    "redraw",
    "sample",
    "score",
    "write_descriptions",
]
