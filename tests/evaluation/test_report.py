"""Tables as they are printed, JSON that is never half written, pictures that show what was measured."""

import json
import subprocess
import sys
from io import StringIO

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from deepdraw.evaluation.report import plot_curves, plot_sheet, print_table, write_json


def printed(metrics: dict[str, float]) -> list[list[str]]:
    """The cells of each line of the table."""
    console = Console(file=StringIO(), width=100)
    print_table("test", metrics, console)
    lines = console.file.getvalue().splitlines()
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines if line.startswith("│")]


def test_accuracies_are_printed_in_percent_and_the_split_is_dropped():
    assert printed(
        {
            "test/top1": 0.6444,
            "test/top5": 0.885,
            "test/map3": 0.7,
            "test/mean_class_accuracy": 0.6412,
            "test/loss": 1.43214,
            "test/chance": 1 / 345,
            "test/images_per_second": 1234.5,
        }
    ) == [
        ["top-1", "64.44 %"],
        ["top-5", "88.50 %"],
        ["MAP@3", "70.00 %"],
        ["mean per-class accuracy", "64.12 %"],
        ["loss", "1.4321"],
        ["chance level", "0.29 %"],
        ["images/s", "1,234"],
    ]


def test_a_standard_error_stands_beside_its_accuracy():
    metrics = {"zeroshot/prototype_5shot_top1": 0.5, "zeroshot/prototype_5shot_stderr": 0.0091}
    assert printed(metrics) == [["prototype 5-shot top-1", "50.00 ± 0.91 %"]]


def test_json_is_sorted_and_read_back(tmp_path):
    path = tmp_path / "evaluations" / "test.json"
    write_json(path, {"test/top5": 0.9, "test/top1": 0.1 + 0.2})
    assert list(json.loads(path.read_text()).items()) == [("test/top1", 0.1 + 0.2), ("test/top5", 0.9)]


@pytest.mark.parametrize("unwritable", [float("nan"), object()])
def test_json_that_cannot_be_written_leaves_the_old_file(tmp_path, unwritable):
    path = tmp_path / "summary.json"
    write_json(path, {"val/top1": 0.5})
    with pytest.raises((ValueError, TypeError)):
        write_json(path, {"val/top1": unwritable})
    assert json.loads(path.read_text()) == {"val/top1": 0.5}
    assert list(tmp_path.iterdir()) == [path]


def dark_share(path) -> float:
    return float((np.asarray(Image.open(path).convert("L")) < 200).mean())


def test_curves_are_drawn_from_rows_with_empty_cells(tmp_path):
    metrics_csv, out = tmp_path / "metrics.csv", tmp_path / "plots" / "curves.png"
    rows = ["epoch,step,train/loss,train/top1,val/loss,val/top1,optim/lr,optim/backbone_lr"]
    for step in range(1, 101):
        rows.append(f"{step // 50},{step},{5 / step},{step / 100},,,{1e-3 / step},")
        if step % 50 == 0:
            rows.append(f"{step // 50},{step},,,{6 / step},{step / 120},,")
    metrics_csv.write_text("\n".join(rows) + "\n")
    plot_curves(metrics_csv, out)
    drawn = dark_share(out)
    metrics_csv.write_text(rows[0] + "\n")
    plot_curves(metrics_csv, out)
    assert drawn > dark_share(out) > 0


def test_curves_need_steps(tmp_path):
    metrics_csv = tmp_path / "metrics.csv"
    metrics_csv.write_text("epoch,train/loss\n0,1.0\n")
    with pytest.raises(ValueError, match="no column `step`"):
        plot_curves(metrics_csv, tmp_path / "curves.png")


def sheet(tmp_path, num_drawings: int, num_wrong: int, names=("fish", "house", "The Great Wall of China")):
    """A picture of `num_drawings` white images, the first `num_wrong` of which are misread."""
    labels = np.arange(num_drawings) % len(names)
    logits = np.eye(len(names), dtype=np.float32)[(labels + (np.arange(num_drawings) < num_wrong)) % len(names)]
    images = np.full((num_drawings, 32, 32), 255, dtype=np.uint8)
    plot_sheet(images, labels, 5 * logits, names, tmp_path / "plots" / "sheet.png")
    return np.asarray(Image.open(tmp_path / "plots" / "sheet.png").convert("RGB"))


def num_pixels(picture: np.ndarray, color: tuple[int, int, int]) -> int:
    return int((picture == color).all(axis=-1).sum())


BLUE, VERMILION = (0, 0x72, 0xB2), (0xD5, 0x5E, 0)


def test_right_and_wrong_readings_have_their_own_colours(tmp_path):
    picture = sheet(tmp_path, 10, num_wrong=0)
    assert num_pixels(picture, BLUE) > 0
    assert num_pixels(picture, VERMILION) == 0
    picture = sheet(tmp_path, 10, num_wrong=10)
    assert num_pixels(picture, BLUE) == 0
    assert num_pixels(picture, VERMILION) > 0


def test_the_sheet_grows_by_the_mistakes_and_no_further_than_its_two_halves(tmp_path):
    heights = [sheet(tmp_path, *counts).shape[0] for counts in ((8, 0), (8, 2), (30, 26), (40, 40))]
    assert heights[0] < heights[1] < heights[2] == heights[3]


def test_a_class_name_may_hold_dollar_signs(tmp_path):
    sheet(tmp_path, 4, num_wrong=2, names=("$x", "$\\frac$", "_"))


def test_reporting_loads_neither_torch_nor_pyplot(tmp_path):
    program = (
        "import sys, pathlib; from deepdraw.evaluation import report; "
        "assert 'matplotlib' not in sys.modules and 'torch' not in sys.modules; "
        f"root = pathlib.Path({str(tmp_path)!r}); "
        "(root / 'metrics.csv').write_text('step,train/loss\\n1,2\\n'); "
        "report.plot_curves(root / 'metrics.csv', root / 'curves.png'); "
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
