from .data import plot_data, print_classes
from .header import facts
from .results import SplitResults, read_results
from .sheets import plot_sheet
from .style import may_fail, new_figure, own_style
from .tables import NO_DESCRIPTIONS, Described, Line, lines, metric_text, print_table, title
from .trial import try_report
from .write import write_evaluation, write_session, write_training

__all__ = [
    "NO_DESCRIPTIONS",
    "Described",
    "Line",
    "SplitResults",
    "facts",
    "lines",
    "may_fail",
    "metric_text",
    "new_figure",
    "own_style",
    "plot_data",
    "plot_sheet",
    "print_classes",
    "print_table",
    "read_results",
    "title",
    "try_report",
    "write_evaluation",
    "write_session",
    "write_training",
]
