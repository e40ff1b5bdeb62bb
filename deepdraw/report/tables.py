"""Metrics as people read them: titles, percents and intervals, and the tables in the terminal."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deepdraw.evaluation import Description, find_description
from deepdraw.runtime import cell

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

Described = Mapping[str, Description]  # by name, how the metrics of conf/metric are shown
NO_DESCRIPTIONS: Described = {}
VERSIONS = "other weights, unfinished drawings, several views"
GROUPS = ("accuracy", "own metrics", "calibration", "accuracy by complexity", "speed", VERSIONS)

_TITLES = {  # of metrics, which a protocol's name may precede: text_map3
    "top1": "top-1",
    "top5": "top-5",
    "top10": "top-10",
    "map3": "MAP@3",
    "mean_class_accuracy": "mean per-class accuracy",
    "macro_f1": "macro F1",
    "harmonic": "harmonic mean",
    "chance": "chance level",
    "loss": "negative log-likelihood",
    "loss_scaled": "negative log-likelihood, scaled",
    "ece": "calibration error",
    "ece_scaled": "calibration error, scaled",
    "temperature": "temperature",
    "aurc": "area under risk-coverage",
    "images_per_second": "images/s",
    "encoder_images_per_second": "images/s of the encoder alone",
}
_WORDS = {"tta": "TTA", "knn": "kNN", "tip": "Tip-Adapter", "zeroshot": "zero-shot", "aurc": "AURC", "f1": "F1"}
_CALIBRATION = ("loss", "ece", "scaled", "temperature", "aurc", "coverage", "selective")
_COMPLEXITY = re.compile(r"(?P<metric>.*)_(?P<unit>strokes|points)_(?P<bounds>(?P<least>\d+).*)")
_VERSIONS = (
    "interpolate_",
    "average_",
    "drawn_",
    "tta_",
)  # begin the metrics of a `Version` that is not the evaluation as such
_METHODS = ("text", "whitened", "prototype", "knn", "tip")  # in this order, behind the trained head
_SHOTS = re.compile(r"([a-z]+)_(\d+)shot_")
_COMPARED = ("top1", "stderr", "harmonic", "loss", "ece")
_NO_PERCENT = ("loss", "loss_scaled", "temperature", "offset", "images_per_second")


@dataclass(frozen=True)
class Line:
    """One metric of a table; `interval` is empty where none was computed."""

    group: str
    title: str
    value: str
    interval: str


def lines(metrics: Mapping[str, float], described: Described = NO_DESCRIPTIONS) -> list[Line]:
    """The lines of a table of `metrics`: by group, protocol and importance.

    Keys may carry a split ("test/top1"). Accuracies and calibration errors (0..1) are in percent. `..._low` and
    `..._high` become the interval of the metric they belong to, `..._stderr` stands beside its value. Metrics of
    conf/metric are shown as they are `described`. Of versions of an evaluation only what is compared is shown.
    """
    plain = {key.rpartition("/")[2]: value for key, value in metrics.items()}
    found = [
        _own_line(name, value, described)
        or Line(_group(name), title(name), _value(name, value, plain), _interval(name, plain))
        for name, value in sorted(plain.items(), key=lambda item: _place(item[0]))
        if not _belongs_to_another(name, plain) and (name.endswith(_COMPARED) or not _is_version(name))
    ]
    return sorted(found, key=lambda line: GROUPS.index(line.group))


def _place(name: str) -> tuple[int, ...]:
    """The sort key of a metric in its group: protocol, shots, metric, and the lower bound of strokes or points."""
    shots = _SHOTS.match(name)
    method = shots[1] if shots else name.partition("_")[0]
    metrics = [metric for metric in _TITLES if name == metric or name.endswith(f"_{metric}")]
    bounds = _COMPLEXITY.fullmatch(name)
    return (
        name in ("chance", "drawings"),
        _METHODS.index(method) if method in _METHODS else -1,
        int(shots[2]) if shots else 0,
        "_calibrated_" in name,
        list(_TITLES).index(max(metrics, key=len)) if metrics else len(_TITLES),
        bounds["unit"] == "points" if bounds else 0,
        int(bounds["least"]) if bounds else 0,
    )


def _own_line(name: str, value: float, described: Described) -> Line | None:
    own = find_description(name, described)
    if own is None:
        return None
    shown = f"{100 * value:.2f} %" if own.unit == "%" else f"{value:.4f} {own.unit}".strip()
    return Line("own metrics", title(name, described), shown, "")


def title(name: str, described: Described = NO_DESCRIPTIONS) -> str:
    """The title of the metric `name` for readers: "top-1", "text MAP@3", "prototype 5-shot top-1"."""
    for key in sorted(described, key=len, reverse=True):
        if name == key or name.endswith(f"_{key}"):
            return f"{_words(name.removesuffix(key))} {described[key].title}".strip()
    if match := _COMPLEXITY.fullmatch(name):
        unit = match["unit"].removesuffix("s") if match["bounds"] == "1" else match["unit"]
        return f"{title(match['metric'])}, {match['bounds']} {unit}"
    for metric in sorted(_TITLES, key=len, reverse=True):
        if name == metric or name.endswith(f"_{metric}"):
            return f"{_words(name.removesuffix(metric))} {_TITLES[metric]}".strip()
    return _words(name)


def metric_text(name: str, value: float) -> str:
    """One value of a built-in metric as the tables show it: 97.30 %, or a loss of 0.1234."""
    return _value(name.rpartition("/")[2], value, {})


def print_table(
    title: str, metrics: Mapping[str, float], console: Console | None = None, described: Described = NO_DESCRIPTIONS
) -> None:
    """Print one metric per line, a rule between groups; `lines` says which keys are understood."""
    from rich.table import Table

    shown = lines(metrics, described)
    with_intervals = any(line.interval for line in shown)
    table = Table("metric", show_header=with_intervals)
    table.add_column("value", justify="right")
    if with_intervals:
        table.add_column("95 % interval", justify="right")
    for line, following in zip(shown, [*shown[1:], None], strict=True):
        cells = [line.title, line.value, line.interval][: len(table.columns)]
        table.add_row(*map(cell, cells), end_section=following is not None and following.group != line.group)
    _print(title, table, console)


def print_comparison(
    title: str, name: str, metrics_of: Mapping[str, Mapping[str, float]], console: Console | None = None
) -> None:
    """Print one line for each key of `metrics_of`, under the heading `name`, with the same metrics side by side.

    They are top-1 of each kind, harmonic means, loss and calibration error. Where these do not fit side by side, there
    is a line for each metric, and the keys are side by side.
    """
    from rich.console import Console
    from rich.table import Table

    cells_of = {
        key: {
            line.title: line.value
            for line in lines({name: value for name, value in metrics.items() if name.endswith(_COMPARED)})
        }
        for key, metrics in metrics_of.items()
    }
    console = console or Console()
    grid = [[name, *next(iter(cells_of.values()))], *([key, *cells.values()] for key, cells in cells_of.items())]
    columns = list(zip(*grid, strict=True))
    if sum(3 + max(map(len, (*heading.split(), *cells))) for heading, *cells in columns) >= console.width:
        columns = [tuple(row) for row in grid]
    table = Table()
    for number, (heading, *_) in enumerate(columns):
        table.add_column(cell(heading), justify="right" if number else "left")
    for row in list(zip(*columns, strict=True))[1:]:
        table.add_row(*map(cell, row))
    _print(title, table, console)


def _print(title: str, table: Table, console: Console | None) -> None:
    from rich.console import Console

    console = console or Console()
    console.print(cell(title), style="bold", soft_wrap=True)
    console.print(table)


def _belongs_to_another(name: str, metrics: Mapping[str, float]) -> bool:
    owner, _, kind = name.rpartition("_")
    return (kind in ("low", "high") and owner in metrics) or kind == "stderr"


def _is_version(name: str) -> bool:
    """Whether this is a metric of other weights, unfinished drawings or several views (see `Version`)."""
    return name.startswith(_VERSIONS)


def _group(name: str) -> str:
    if _is_version(name):
        return VERSIONS
    if name.endswith("images_per_second"):
        return "speed"
    if _COMPLEXITY.fullmatch(name):
        return "accuracy by complexity"
    return "calibration" if set(name.split("_")) & set(_CALIBRATION) else "accuracy"


def _words(name: str) -> str:
    spaced = " ".join(_WORDS.get(word, word) for word in name.split("_"))
    return re.sub(r"(?<=top)(?=\d)|(?<=\d)(?=shot)", "-", spaced).strip()  # top-1, 5-shot


def _value(name: str, value: float, metrics: Mapping[str, float]) -> str:
    if name.endswith("images_per_second"):
        return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
    if isinstance(value, int):
        return f"{value:,}"
    if name.endswith(_NO_PERCENT):
        return f"{value:.4f}"
    error = metrics.get(f"{name}_stderr", metrics.get(f"{name.removesuffix('_top1')}_stderr"))
    return f"{100 * value:.2f}{'' if error is None else f' ± {100 * error:.2f}'} %"


def _interval(name: str, metrics: Mapping[str, float]) -> str:
    low, high = metrics.get(f"{name}_low"), metrics.get(f"{name}_high")
    if low is None or high is None:
        return ""
    return f"{low:.4f} to {high:.4f}" if name.endswith(_NO_PERCENT) else f"{100 * low:.2f} to {100 * high:.2f} %"
