"""Before the first step: how many drawings of each class there are, and a sheet of what the network will see."""

from io import StringIO

import cv2
import numpy as np
import pytest
from rich.console import Console

from deepdraw.data import MemorySplit
from deepdraw.drawings import Drawings
from deepdraw.report import plot_data, print_classes


def split(counts: list[int], names: list[str] | None = None) -> MemorySplit:
    labels = np.repeat(np.arange(len(counts)), counts)
    drawings = Drawings.pack([[np.array([[0, 0], [255, 9]])]] * len(labels), labels, np.arange(len(labels)))
    return MemorySplit(names or [f"class {k}" for k in range(len(counts))], drawings)


def printed(*counts: list[int], names: list[str] | None = None) -> list[str]:
    console = Console(file=StringIO(), width=200)
    parts = (split(part, names) for part in counts)
    print_classes(dict(zip(("train", "val", "test"), parts, strict=True)), console)
    return console.file.getvalue().splitlines()


def rows(lines: list[str]) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines if line.startswith("│")]


def test_each_class_has_a_line_with_its_number_in_each_split_and_the_last_line_has_the_sums():
    lines = printed([1500, 900], [0, 3], [4, 5], names=["[red]cat", "dog"])
    assert rows(lines) == [["[red]cat", "1,500", "0", "4"], ["dog", "900", "3", "5"], ["2 classes", "2,400", "3", "9"]]
    assert not any("uneven" in line for line in lines)


def test_the_title_says_whether_the_drawings_were_recognized():
    console = Console(file=StringIO(), width=200)
    print_classes({name: split([3]) for name in ("train", "val", "test")}, console, "recognized")
    assert "drawings of each class (recognized)" in console.file.getvalue()
    assert "(recognized or all: unknown)" in "\n".join(printed([3], [3], [3]))


def test_of_many_classes_twenty_are_shown_and_the_others_counted():
    lines = printed(*[[2] * 345] * 3)
    assert len(rows(lines)) == 21
    assert rows(lines)[-1] == ["345 classes", "690", "690", "690"]
    assert lines[-1] == "and 325 more classes"


@pytest.mark.parametrize(("counts", "uneven"), [([99, 10], False), ([100, 10], True), ([50, 40, 5], True)])
def test_very_uneven_classes_are_told_in_one_line(counts, uneven):
    told = [line for line in printed(counts, counts, counts) if "uneven" in line]
    assert len(told) == uneven
    assert all(f"{max(counts)} drawings of class 0" in line and "data.sampler=balanced" in line for line in told)


@pytest.mark.parametrize(("counts", "each"), [([30, 2, 30], [19, 2, 19]), ([3] * 100, None), ([1, 1], [1, 1])])
def test_the_sheet_shows_all_classes_as_equally_as_it_can(tmp_path, counts, each):
    splits, asked = {"train": split(counts), "val": split(counts)}, {}

    def draw(name: str, positions: np.ndarray) -> np.ndarray:
        asked[name] = splits[name].labels[positions]
        return np.full((len(positions), 24, 24), 200, np.uint8)

    plot_data(splits, draw, True, tmp_path / "plots/data.png")
    shown = np.bincount(asked["train"], minlength=len(counts))
    assert shown.tolist() == each if each else (shown.sum() == 40 and shown.max() == 1 and shown[-1] == 1)
    assert len(asked["val"]) == min(20, sum(counts))
    assert cv2.imread(str(tmp_path / "plots/data.png")).shape[1] > 1000
