from .compose_errors import one_line_compose_errors
from .former import with_present_names
from .making import check_evaluation, check_training, make
from .permitted import check_config
from .values import check_arguments

__all__ = [
    "check_arguments",
    "check_config",
    "check_evaluation",
    "check_training",
    "make",
    "one_line_compose_errors",
    "with_present_names",
]
