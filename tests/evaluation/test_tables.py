"""Metrics as people read them: titles, percents, intervals, groups."""

from io import StringIO

import pytest
from rich.console import Console

from deepdraw.report.tables import lines, print_comparison, print_table, title


def cells(console: Console) -> list[list[str]]:
    printed = console.file.getvalue().splitlines()
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in printed if line.startswith("│")]


def printed(metrics: dict[str, float]) -> list[list[str]]:
    """The cells of each line of the table, less its heading."""
    console = Console(file=StringIO(), width=100)
    print_table("test", metrics, console)
    return cells(console)


def test_accuracies_are_printed_in_percent_group_by_group_and_the_split_is_dropped():
    assert printed(
        {
            "test/images_per_second": 1234.5,
            "test/top1": 0.6444,
            "test/loss": 1.43214,
            "test/top10": 0.95,
            "test/map3": 0.7,
            "test/ece": 0.0312,
            "test/mean_class_accuracy": 0.6412,
            "test/chance": 1 / 345,
        }
    ) == [
        ["top-1", "64.44 %"],
        ["top-10", "95.00 %"],
        ["MAP@3", "70.00 %"],
        ["mean per-class accuracy", "64.12 %"],
        ["chance level", "0.29 %"],
        ["negative log-likelihood", "1.4321"],
        ["calibration error", "3.12 %"],
        ["images/s", "1,234"],
    ]


def test_an_interval_stands_beside_its_value():
    metrics = {"top1": 0.5, "top1_low": 0.48, "top1_high": 0.52, "loss": 1.0, "loss_low": 0.9, "loss_high": 1.1}
    assert printed(metrics) == [
        ["top-1", "50.00 %", "48.00 to 52.00 %"],
        ["negative log-likelihood", "1.0000", "0.9000 to 1.1000"],
    ]


def test_the_numbers_of_drawings_and_of_chance_come_last():
    metrics = {"zeroshot/drawings": 350, "zeroshot/chance": 0.1, "zeroshot/prototype_5shot_top1": 0.5}
    assert [title for title, _ in printed(metrics)] == ["prototype 5-shot top-1", "chance level", "drawings"]


def test_a_standard_error_stands_beside_its_accuracy():
    metrics = {"zeroshot/prototype_5shot_top1": 0.5, "zeroshot/prototype_5shot_stderr": 0.0091}
    assert printed(metrics) == [["prototype 5-shot top-1", "50.00 ± 0.91 %"]]


@pytest.mark.parametrize(
    ("name", "read"),
    {
        "text_map3": "text MAP@3",
        "text_mean_class_accuracy": "text mean per-class accuracy",
        "zeroshot_top5": "zero-shot top-5",
        "knn_20shot_top1": "kNN 20-shot top-1",
        "tip_macro_f1": "Tip-Adapter macro F1",
        "interpolate_0.25_top1": "interpolate 0.25 top-1",
        "harmonic_mean": "harmonic mean",
        "ece_scaled": "calibration error, scaled",
        "top1_strokes_1": "top-1, 1 stroke",
        "top1_strokes_4-5": "top-1, 4-5 strokes",
        "text_top1_points_81+": "text top-1, 81+ points",
    }.items(),
)
def test_names_become_titles(name, read):
    assert title(name) == read


def test_groups_follow_each_other():
    metrics = {"top1_points_1-10": 0.5, "images_per_second": 9.0, "selective_accuracy": 0.7, "text_top1": 0.6}
    assert [line.group for line in lines(metrics)] == [
        "accuracy",
        "calibration",
        "accuracy by complexity",
        "speed",
    ]


def test_a_comparison_leaves_out_what_does_not_compare():
    console = Console(file=StringIO(), width=100)
    metrics = {"top1": 0.5, "top1_low": 0.4, "top1_high": 0.6, "top1_strokes_1": 0.7, "chance": 0.1, "loss": 2.0}
    print_comparison("alphas", "alpha", {"0": metrics, "1": metrics | {"top1": 0.6}}, console)
    assert "top-1" in console.file.getvalue()
    assert cells(console) == [["0", "50.00 %", "2.0000"], ["1", "60.00 %", "2.0000"]]


def test_a_comparison_too_wide_for_the_terminal_has_a_line_for_each_metric():
    console = Console(file=StringIO(), width=55)
    metrics = {"whitened_1shot_top1": 0.5, "whitened_5shot_top1": 0.625, "prototype_1shot_top1": 0.25, "loss": 2.0}
    print_comparison("views", "views", {"1": metrics, "8": metrics | {"loss": 1.5}}, console)
    assert all(len(line) <= 55 for line in console.file.getvalue().splitlines())
    assert ["whitened 5-shot top-1", "62.50 %", "62.50 %"] in cells(console)
    assert ["negative log-likelihood", "2.0000", "1.5000"] in cells(console)


def test_metrics_stand_by_protocol_and_number_whatever_order_they_are_stored_in():
    names = ["top1", "top1_strokes_2", "top1_strokes_10+", "top1_points_11-20", "chance"]
    shots = [f"{method}_{k}shot_top1" for method in ("whitened", "prototype", "knn") for k in (1, 5, 20)]
    found = [line.title for line in lines(dict.fromkeys(sorted(names + shots), 0.5))]
    assert found[:10] == [title(name) for name in ("top1", *shots)]
    assert found[10:] == [title(name) for name in ("chance", *names[1:4])]
