"""A comparison as CSV, Markdown, HTML and in a terminal."""

import csv
import io
import math
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from rich.console import Console

from deepdraw.compare.comparison import compare
from deepdraw.compare.forms import columns, print_runs, to_csv, to_html, to_markdown
from deepdraw.evaluation.predictions import Predictions
from tests.compare.conftest import predictions, runs_of, write_run


def test_metrics_stand_before_settings_in_every_form(sweep):
    comparison = compare(runs_of(sweep))
    headings = [column.heading for column in columns(comparison)]
    assert headings[:2] == ["run", "top-1"] and headings[-1] == "optimizer.lr"
    assert to_csv(comparison).splitlines()[0].endswith(",remark,optimizer.lr")


@pytest.fixture
def awkward(tmp_path) -> list[Path]:
    """Two runs whose names and settings are full of what Markdown, HTML and rich give a meaning."""
    return [
        write_run(tmp_path / "a|b <i>*x*", predictions(0.7), note="<script>alert(1)</script> & [bold]"),
        write_run(tmp_path / "c`d", predictions(0.5), note='a|b\nc "d", \\|'),
    ]


def test_csv_holds_plain_numbers(awkward):
    first, second = csv.DictReader(io.StringIO(to_csv(compare(awkward))))
    assert first["run"] == "a|b <i>*x*" and second["note"] == 'a|b\nc "d", \\|'
    assert float(first["top1"]) == Predictions.load(awkward[0] / "evaluations/test.predictions.npz").right.mean()
    numbers = ("top1_low", "loss", "images_per_second", "trainable_parameters", "drawings")
    assert all(math.isfinite(float(row[name])) for row in (first, second) for name in numbers)
    compared = ("difference", "difference_low", "difference_high", "p", "p_corrected")
    assert not any(first[name] for name in compared) and all(float(second[name]) < 1 for name in compared)
    assert float(second["difference"]) == pytest.approx(float(second["top1"]) - float(first["top1"]))


def test_markdown_is_a_table_whose_cells_read_as_they_are(awkward):
    comparison = compare(awkward)
    tokens = MarkdownIt("commonmark").enable("table").parse(to_markdown(comparison))
    cells = [
        "".join(child.content for child in tokens[i + 1].children)
        for i, token in enumerate(tokens)
        if token.type in ("th_open", "td_open")
    ]
    shown = columns(comparison)
    assert cells[: len(shown)] == [column.heading for column in shown]
    for i in range(2):
        expected = [" ".join(column.cells[i].split()) for column in shown]
        assert cells[(i + 1) * len(shown) : (i + 2) * len(shown)] == expected
    assert not [child for token in tokens for child in token.children or () if child.type.startswith(("html", "em"))]


class Page(HTMLParser):
    """The tags of a page, and the text of its cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.cells = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        assert not {"src", "onload"} & {name for name, _ in attributes}
        if tag in ("th", "td"):
            self.cells.append("")

    def handle_data(self, data):
        if self.tags and self.tags[-1] in ("th", "td"):
            self.cells[-1] += data.strip("\n") if not data.strip() else data


def test_html_stands_alone_and_escapes(awkward):
    comparison = compare(awkward)
    page = Page(to_html(comparison))
    shown = columns(comparison)
    expected = [column.heading for column in shown] + [column.cells[i] for i in range(2) for column in shown]
    assert page.cells == expected
    assert "script" not in page.tags and "i" not in page.tags
    assert "http" not in to_html(comparison).replace("http-equiv", "")


def test_the_terminal_shows_names_as_they_are_and_stacks_many_settings(awkward, tmp_path):
    settings = {f"s{number}": number + 1 for number in range(6)}
    comparison = compare([*awkward, write_run(tmp_path / "e", predictions(0.3), **settings)])
    console = Console(file=io.StringIO(), width=400)
    print_runs(comparison, console)
    printed = console.file.getvalue()
    assert "[bold]" in printed and "s5=6" in printed and "a|b <i>*x*" in printed
    assert "┃ settings" in printed


def test_a_narrow_terminal_shows_whole_columns_and_names_the_others(sweep):
    console = Console(file=io.StringIO(), width=80)
    print_runs(compare(runs_of(sweep)), console)
    lines = console.file.getvalue().splitlines()
    assert max(len(line) for line in lines if "│" in line) <= 80
    assert len([line for line in lines if "│" in line]) == 4
    assert any(line.endswith("negative log-likelihood, images/s, trainable parameters.") for line in lines)
