"""Text that is not ours is shown as it is: by no terminal, table, picture or spreadsheet is it obeyed."""

from __future__ import annotations

import ast
import csv
import io
import json
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from torch import nn

from deepdraw.doctor import Finding
from deepdraw.doctor import __main__ as doctor
from deepdraw.inference.predict import _csv_lines, _json_lines
from deepdraw.models.freezing.policies import print_layers
from deepdraw.report import confusion, sheets, tables
from deepdraw.runtime.display import cell, csv_cell, csv_heading, shown
from deepdraw.runtime.failures import failure_line
from deepdraw.runtime.progress import Bar
from deepdraw.sweep.plot import plot_comparison
from deepdraw.training.heads.linear_heads import write_table

ROOT = Path(__file__).parents[1]
HOSTILE = [
    "[/]",
    "[/x]/[/y].pth",
    "[bold red]cat[/]",
    "logger=[csv,wandb]",
    "[link=https://example.org]cat[/link]",
    ":smile:",
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "\x9b2J",
    "first\nsecond",
    "first\r\nsecond",
    "a\tb",
    "\u202egnp.exe",
    "\u2028line",
    "half \ud800",
    "null\0",
    "$x_1$ and $",
    r"back\slash",
    "{task.description}",
    "=cmd|' /C calc'!A0",
    "x" * 2000,
    "",
]


def is_harmless(printed: str) -> bool:
    """Whether a terminal prints all of this and obeys no character of it but the end of a line."""
    return not any(
        unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp", "Cs") for character in set(printed) - {"\n"}
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_a_name_is_one_line_that_a_terminal_only_prints(text):
    assert is_harmless(shown(text))
    assert "\n" not in shown(text)


@pytest.mark.parametrize(
    "text",
    [
        "the eiffel tower",
        "école",
        "猫",
        "\u0645\u06cc\u200c\u062e",
        "\U0001f469\u200d\U0001f3a8",
        "a[b]c",
        r"a\b",
        "$5",
    ],
)
def test_a_name_that_is_harmless_is_shown_as_it_is(text):
    assert shown(text) == text
    assert cell(text).plain == text


def test_what_is_hidden_is_written_out():
    assert shown("\x1b[0m\n\t\x9b\u202e\ud800") == r"\x1b[0m\n\t\x9b\u202e\ud800"


@pytest.mark.parametrize(
    "text", ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "-", "=", "+cat", "\uff1d1+1"]
)
def test_a_cell_that_a_spreadsheet_would_compute_is_defused(text):
    assert csv_cell(text).startswith("'")


@pytest.mark.parametrize("value", [-0.5, 3, None, True, "-0.5", "+1e-4", "-inf", "1e-4", "0", "cat", "a=b", "", "'tis"])
def test_a_number_and_a_plain_text_stay_as_they_are(value):
    assert csv_cell(value) == value


def test_a_key_that_was_added_keeps_its_name_in_a_heading():
    assert [csv_heading(key) for key in ("optimizer.lr", "+seed", "++data.x", "+a+b", "=x")] == [
        "optimizer.lr",
        "+seed",
        "++data.x",
        "'+a+b",
        "'=x",
    ]


def print_bar(text: str, console: Console) -> None:
    with Bar(text, 100, 1, console=console) as bar:
        bar._shown = time.perf_counter() - 100
        bar.advance()


def print_doctor(text: str, console: Console) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(doctor, "CHECKS", {"x": lambda name: Finding(name, "ok", text, text)})
        monkeypatch.setattr(doctor, "Console", lambda **_: console)
        doctor.main()


def print_model(text: str, console: Console) -> None:
    backbone = SimpleNamespace(name=text, image_size=32)
    group = SimpleNamespace(name=text, modules=[nn.Linear(2, 2)])
    rows = [SimpleNamespace(name=text, num_parameters=1, num_trainable=1, epoch=None, trains="1")]
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("deepdraw.models.freezing.policies.layer_rows", lambda model: rows)
        print_layers(SimpleNamespace(backbone=backbone, groups=[group]), console)  # type: ignore[arg-type]


def print_heads(text: str, console: Console) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("deepdraw.training.heads.linear_heads.Console", lambda: console)
        monkeypatch.setattr("deepdraw.training.heads.linear_heads.write_text", lambda *_: None)
        write_table([{"C": 1.0, "augment": text, "val/top1": 0.5}], 0, Path(f"/{text}/heads.csv"))


TABLES: dict[str, Callable[[str, Console], None]] = {
    "a run": lambda text, console: tables.print_table(text, {"test/top1": 0.5, text: 0.5}, console),
    "protocols": lambda text, console: tables.print_comparison(text, text, {text: {"top1": 0.5}}, console),
    "layers": print_model,
    "heads": print_heads,
    "progress": print_bar,
    "doctor": print_doctor,
}


@pytest.mark.parametrize("is_terminal", [False, True])
@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("name", TABLES)
def test_no_table_obeys_a_name(name, text, is_terminal):
    console = Console(file=io.StringIO(), width=10_000, force_terminal=is_terminal, color_system=None)
    TABLES[name](text, console)
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    if not is_terminal:
        assert is_harmless(printed)
        assert shown(text) in printed
    assert "\x1b]" not in printed
    assert "\x9b" not in printed


@pytest.mark.parametrize("text", HOSTILE)
def test_an_error_is_one_line(text):
    for error in (ValueError(f"{text}: correct it"), OSError(28, "No space left on device", text)):
        line = failure_line(error)
        assert line is not None
        assert is_harmless(line)
        assert "\n" not in line


@pytest.mark.parametrize("text", HOSTILE)
def test_predictions_as_csv_have_a_row_for_each_drawing(text):
    guess = SimpleNamespace(name=text, probability=0.5)
    lines = _csv_lines([(text, [guess, guess])] * 2)  # type: ignore[list-item]
    rows = list(csv.reader(io.StringIO(lines, newline="")))
    assert [len(row) for row in rows] == [5, 5]
    assert not {"\x1b", "\x9b", "\0", "\ud800"} & set(lines)
    assert not rows[0][0].startswith("=")
    written = _json_lines("file", [(text, [guess])]).encode()  # type: ignore[list-item]
    assert json.loads(written) == {"file": text, "names": [text], "probabilities": [0.5]}


def test_pictures_bear_any_name(tmp_path):
    names, number = HOSTILE, len(HOSTILE)
    counts = np.random.default_rng(0).integers(1, 9, (number, number))
    tiles = [sheets.Tile(np.zeros((32, 32), np.uint8), "black", text, text) for text in names]
    pictures = [
        confusion.matrix(counts, names),
        confusion.worst_pairs(counts, names),
        confusion.class_accuracies(counts, names),
        *(sheets.sheet({text: tiles[:2]}, 8, text) for text in names),
        sheets.sheet({"all": tiles}, 8, "all"),
    ]
    for picture in pictures:
        assert picture is not None
        picture.save(tmp_path / "picture.png")
        with Image.open(tmp_path / "picture.png") as image:
            assert is_harmless("".join(map(str, image.text.values())))  # type: ignore[attr-defined]


@pytest.mark.parametrize("number", [1, 2])
def test_the_picture_of_a_sweep_bears_any_setting(number, tmp_path):
    settings = [[text, str(place)][:number] for place, text in enumerate(HOSTILE)]
    plot_comparison(HOSTILE[:number], settings, np.linspace(0, 1, len(settings)).tolist(), HOSTILE[-6], tmp_path / "x")
    plot_comparison(["x", HOSTILE[0]], [["1", text] for text in HOSTILE], [0.1] * len(HOSTILE), "y", tmp_path / "x")


RICH = {"print", "add_row", "add_column", "add_task", "Table", "Column", "TextColumn", "track", "assemble"}


def is_escaped(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and getattr(value.func, "id", "") == "escape"


def hands_over_text(call: ast.Call) -> bool:
    """Whether rich is given an f-string that holds anything but numbers, which have a format."""
    values = [*call.args, *(keyword.value for keyword in call.keywords if keyword.arg in ("title", "description"))]
    return any(
        isinstance(part, ast.FormattedValue) and part.format_spec is None and not is_escaped(part.value)
        for value in values
        if isinstance(value, ast.JoinedStr)
        for part in value.values
    )


def test_rich_is_given_text_by_cell_alone():
    """`cell` is what text goes through on its way to rich; only numbers and our own words need not."""
    found = []
    for file in sorted((ROOT / "deepdraw").rglob("*.py")):
        tree = ast.parse(file.read_text())
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and "rich" in str(node.module)]
        own = {alias.name for node in imports for alias in node.names}
        for call in (node for node in ast.walk(tree) if own and isinstance(node, ast.Call)):
            is_method = isinstance(call.func, ast.Attribute) and call.func.attr in RICH
            is_own = isinstance(call.func, ast.Name) and call.func.id in RICH & own
            if (is_method or is_own) and hands_over_text(call):
                found.append(f"{file.relative_to(ROOT)}:{call.lineno}")
    assert found == []


def test_the_search_finds_what_it_looks_for():
    assert hands_over_text(ast.parse("table.add_row(f'{name}')").body[0].value)  # type: ignore[attr-defined]
    assert not hands_over_text(ast.parse("table.add_row(f'{number:,}', 'x')").body[0].value)  # type: ignore[attr-defined]
