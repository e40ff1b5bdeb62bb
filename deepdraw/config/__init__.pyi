from .compose_errors import one_line_compose_errors
from .composing import compose_config
from .help import config_folders, help_text
from .making import check_evaluation, check_training, make
from .old_names import add_later_options, with_current_names
from .paths import expand_homes, quote_paths
from .permitted import check_config
from .roles import targets_of
from .splits import EVALUATED, SPLITS, check_split
from .starting import CheckedConfig, check_command
from .values import check_arguments

__all__ = [
    "EVALUATED",
    "SPLITS",
    "CheckedConfig",
    "add_later_options",
    "check_arguments",
    "check_command",
    "check_config",
    "check_evaluation",
    "check_split",
    "check_training",
    "compose_config",
    "config_folders",
    "expand_homes",
    "help_text",
    "make",
    "one_line_compose_errors",
    "quote_paths",
    "targets_of",
    "with_current_names",
]
