"""A comparison of runs as a table for readers, in Markdown, HTML and the terminal, and as CSV for computing."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Mapping, Sequence
from importlib.resources import files
from itertools import accumulate
from typing import TYPE_CHECKING, Literal, NamedTuple

from deepdraw.compare.comparison import Comparison, Row
from deepdraw.data import in_brackets
from deepdraw.report import Described, Line, lines, title
from deepdraw.runtime import cell, csv_cell, csv_heading, shown

if TYPE_CHECKING:
    from rich.console import Console


class Column(NamedTuple):
    """A column to read; cells: one for each row; is_setting: of the settings in which the runs differ."""

    heading: str
    cells: list[str]
    is_number: bool = True
    is_setting: bool = False

    @property
    def width(self) -> int:
        """Characters of the longest line, where a heading may be broken between its words."""
        return max(map(len, (*self.heading.split(), *(line for cell in self.cells for line in cell.split("\n")))))


def heading(comparison: Comparison) -> str:
    """The number of runs, what orders them, and the split of the results: of recognized drawings, or all."""
    metric = title(comparison.metric, comparison.described)
    order = f"{_objective_title(comparison)}, their {metric}" if _is_apart(comparison) else metric
    told = {row.run.recognition for row in comparison.rows}
    which = in_brackets(told.pop()) if len(told) == 1 else "(recognized or all: see the runs)"
    return f"{len(comparison.rows)} runs by {order} on split {comparison.split} {which}"


def _is_apart(comparison: Comparison) -> bool:
    """Whether the objective that orders the runs is another number than the metric on the split."""
    return comparison.objective.key != f"{comparison.split}/{comparison.metric}"


def _objective_title(comparison: Comparison) -> str:
    split, _, name = comparison.objective.key.rpartition("/")
    return f"{title(name, comparison.described)} on {split}" if split else title(name, comparison.described)


def columns(comparison: Comparison, most_settings: int | None = None) -> list[Column]:
    """Everything to read: what the runs found, then the settings in which they differ.

    Settings that go together share a column, all of them one where they need more than so many. Columns of which all
    cells would be empty are left out.
    """
    settings = _settings(comparison)
    if most_settings is not None and len(settings) > most_settings:
        settings = [_stacked(settings)]
    names = Column("run", [row.name for row in comparison.rows], is_number=False)
    return [names, *(column for column in _results(comparison) if any(column.cells)), *settings]


def to_markdown(comparison: Comparison) -> str:
    """A table as GitHub reads it, with its notes below."""
    table, notes = markdown_table(columns(comparison)), map(_escaped, comparison.notes)
    return "\n\n".join([f"### {_escaped(heading(comparison))}", table, *notes]) + "\n"


def markdown_table(found: Sequence[Column]) -> str:
    """Columns as a table that GitHub reads, without a line end behind it."""
    table = [[_escaped(column.heading) for column in found], ["--:" if column.is_number else ":--" for column in found]]
    table += [[_escaped(text) for text in cells] for cells in zip(*(column.cells for column in found), strict=True)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in table)


def to_csv(comparison: Comparison) -> str:
    """A row for each run: plain numbers, accuracies and differences as shares 0..1, then settings under their keys."""
    found = {name for row in comparison.rows for name in row.run.metrics}
    metrics = [key for name in comparison.shown for key in (name, *_companions(name)) if key in found]
    objective = [comparison.objective.key] if _is_apart(comparison) else []
    compared = ["drawings", "difference", "difference_low", "difference_high", "p", "p_corrected", "remark"]
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(csv_heading, ["run", "directory", *objective, *metrics, *compared, *comparison.keys]))
    for row in comparison.rows:
        apart = row.difference
        numbers = (apart.value, apart.low, apart.high, apart.p_value) if apart else (None,) * 4
        writer.writerow(
            map(
                csv_cell,
                [row.name, str(row.run.directory)]
                + [comparison.objective.value(row.run) for _ in objective]
                + [row.run.metrics.get(name) for name in metrics]
                + [row.num_drawings, *numbers, row.p_value, row.remark]
                + [row.settings.get(key) for key in comparison.keys],
            )
        )
    return text.getvalue()


def to_html(comparison: Comparison) -> str:
    """One page that needs nothing beside itself."""
    from jinja2 import Environment, StrictUndefined

    found = columns(comparison)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = files("deepdraw.compare").joinpath("comparison.jinja").read_text("utf-8")
    return environment.from_string(template).render(
        title=heading(comparison),
        columns=found,
        rows=[list(zip(found, cells, strict=True)) for cells in zip(*(column.cells for column in found), strict=True)],
        notes=comparison.notes,
    )


def print_runs(comparison: Comparison, console: Console | None = None) -> None:
    """Print the table, as many of its columns as fit, and its notes; many settings of a run stand below each other."""
    console = console or wide_console()
    found = columns(comparison, most_settings=4)
    console.print(cell(heading(comparison)), style="bold", soft_wrap=True)
    print_columns(found, console)
    for note in comparison.notes:
        console.print(cell(note), soft_wrap=True)


def wide_console() -> Console:
    """A console for a table: as wide as the terminal, and in a pipe or a file as wide as any table is."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 400)


def print_columns(found: Sequence[Column], console: Console) -> None:
    """Print as many of the columns as fit, and in a line below which do not."""
    from rich.table import Table
    from rich.text import Text

    fitting = _fitting(found, console.width)
    table = Table()
    for column in fitting:
        side: Literal["left", "right"] = "right" if column.is_number else "left"
        table.add_column(cell(column.heading), justify=side, overflow="fold", width=column.width)
    for cells in zip(*(column.cells for column in fitting), strict=True):
        table.add_row(*(Text("\n").join(map(cell, text.split("\n"))) for text in cells))
    console.print(table)
    if len(fitting) < len(found):
        hidden = ", ".join(column.heading for column in found if column not in fitting)
        console.print(cell(f"A wider terminal shows more, and out=DIR writes all: {hidden}."), soft_wrap=True)


def _fitting(found: Sequence[Column], width: int) -> list[Column]:
    """The columns that fit between the rules of a table of `width` characters: the first two, settings, then others."""
    by_need = sorted(range(len(found)), key=lambda i: (i > 1, not found[i].is_setting, i))
    ends = accumulate(found[i].width + 3 for i in by_need)
    chosen = by_need[: max(2, sum(end < width for end in ends))]
    return [found[i] for i in sorted(chosen)]


def _settings(comparison: Comparison) -> list[Column]:
    """A column for each key; keys that all runs have, with the same values, as those made of one another, share one."""
    keys_of: dict[tuple[str, ...], list[str]] = {}
    for key in comparison.keys:
        cells = tuple(row.settings[key] for row in comparison.rows if key in row.settings)
        everywhere = len(cells) == len(comparison.rows)
        keys_of.setdefault(cells if everywhere else (key,), []).append(key)
    return [
        Column(" = ".join(keys), [row.settings.get(keys[0], "") for row in comparison.rows], False, is_setting=True)
        for keys in keys_of.values()
    ]


def _stacked(settings: list[Column]) -> Column:
    """All settings of a run in one cell, each in a line as it is typed: `freeze=all`."""
    cells = [
        "\n".join(
            shown(f"{column.heading.partition(' = ')[0]}={text}")
            for column, text in zip(settings, cells, strict=True)
            if text
        )
        for cells in zip(*(column.cells for column in settings), strict=True)
    ]
    return Column("settings", cells, is_number=False, is_setting=True)


def _results(comparison: Comparison) -> list[Column]:
    """The metric that orders the runs, how far they are from the best, and what else they found."""
    read = [_read(row.run.metrics, comparison.shown, comparison.described) for row in comparison.rows]
    first, *others = comparison.shown
    apart = [row.difference for row in comparison.rows]
    return [
        *([_objective_column(comparison)] if _is_apart(comparison) else []),
        Column(title(first, comparison.described), [lines_of[first].value for lines_of in read]),
        Column("95 % interval", [lines_of[first].interval for lines_of in read]),
        Column(f"{title(comparison.paired_metric)} difference", [_difference(row) for row in comparison.rows]),
        Column("p", [_p_value(row.p_value) for row in comparison.rows]),
        Column(
            "95 % interval of difference",
            [f"{100 * of.low:+.2f} to {100 * of.high:+.2f}" if of else "" for of in apart],
        ),
        Column("drawings", [f"{row.num_drawings:,}" if row.num_drawings else "" for row in comparison.rows]),
        *(
            Column(title(name, comparison.described), [of[name].value if name in of else "" for of in read])
            for name in others
        ),
    ]


def _objective_column(comparison: Comparison) -> Column:
    name = comparison.objective.key.rpartition("/")[2]
    values = [comparison.objective.value(row.run) for row in comparison.rows]
    texts = ["" if x is None else lines({name: x}, comparison.described)[0].value for x in values]
    return Column(_objective_title(comparison), texts)


def _read(metrics: Mapping[str, float], names: Sequence[str], described: Described) -> dict[str, Line]:
    """The metrics of these names that there are, as a table of one run has them."""
    return {
        name: lines({key: metrics[key] for key in (name, *_companions(name)) if key in metrics}, described)[0]
        for name in names
        if name in metrics
    }


def _companions(name: str) -> list[str]:
    """The intervals and errors of a metric: prototype_5shot_stderr of prototype_5shot_top1."""
    error = f"{name.removesuffix('_top1')}_stderr"
    return [f"{name}_low", f"{name}_high", error]


def _difference(row: Row) -> str:
    return f"{100 * row.difference.value:+.2f}" if row.difference else row.remark


def _p_value(p_value: float | None) -> str:
    if p_value is None:
        return ""
    return f"{p_value:.4f}" if p_value >= 0.0001 else "< 0.0001"


def _escaped(text: str) -> str:
    """`text` as it reads within a cell: no character of it is taken for Markdown."""
    return re.sub(r"([\\|*`<\[\]])", r"\\\1", shown(" ".join(text.split())))
