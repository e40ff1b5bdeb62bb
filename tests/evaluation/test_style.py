"""Pictures look the same whatever matplotlib is set to, and none that fails costs a result."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image

from deepdraw.report.curves import plot_curves
from deepdraw.report.style import new_figure, own_style

ROOT = Path(__file__).parents[2]
CURVES = "epoch,step,train/loss,val/top1\n1,1,2.0,\n1,2,1.0,0.5\n"


@pytest.fixture
def curves(tmp_path) -> Path:
    (tmp_path / "metrics.csv").write_text(CURVES)
    return tmp_path / "metrics.csv"


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def test_the_style_of_the_user_changes_no_picture_and_is_left_as_it_was(curves, tmp_path):
    plot_curves(curves, tmp_path / "plain.png")
    with matplotlib.rc_context({"text.usetex": True, "axes.facecolor": "black", "lines.linewidth": 9}):
        plot_curves(curves, tmp_path / "styled.png")
        assert matplotlib.rcParams["text.usetex"] and matplotlib.rcParams["lines.linewidth"] == 9
    assert np.array_equal(pixels(tmp_path / "plain.png"), pixels(tmp_path / "styled.png"))


def test_a_font_that_is_missing_fills_no_terminal(tmp_path, caplog):
    with own_style():
        figure = new_figure(2, 1)
        figure.text(0, 0, "a bat", fontfamily="no such font")
        figure.savefig(tmp_path / "bat.png")
    assert not caplog.records
    figure.text(0, 0, "a cat", fontfamily="no such font either")
    figure.savefig(tmp_path / "cat.png")
    assert caplog.records  # elsewhere matplotlib says it


def test_the_backend_of_a_notebook_that_is_not_here_and_a_matplotlibrc_end_nothing(curves, tmp_path):
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nbackend: module://nowhere.backend\n")
    code = (
        "import os; from pathlib import Path; from deepdraw.report.curves import plot_curves; "
        "plot_curves(Path('metrics.csv'), Path('out.png')); print(os.environ['MPLBACKEND'])"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "module://nowhere.backend"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "module://nowhere.backend"  # the user's own is left alone
    plot_curves(curves, tmp_path / "plain.png")
    assert np.array_equal(pixels(tmp_path / "plain.png"), pixels(tmp_path / "out.png"))


def test_a_picture_that_cannot_be_drawn_costs_no_result(train, monkeypatch, capsys):
    def fails(*arguments):
        raise RuntimeError("no such font\nhere")

    monkeypatch.setattr("deepdraw.report.style.finished", fails)
    for module in ("curves", "sheets"):
        monkeypatch.setattr(f"deepdraw.report.{module}.{'finished' if module == 'curves' else 'sheet'}", fails)
    run = train("train.epochs=1", plots=True)
    printed = capsys.readouterr().out
    assert "plots/curves.png could not be drawn (RuntimeError: no such font\\nhere)" in printed
    assert "plots/drawings.png could not be drawn" in printed
    assert json.loads((run / "summary.json").read_text())["test/top1"] > 0
    assert (run / "report.html").is_file() and (run / "evaluations/test.predictions.npz").is_file()


def test_a_picture_of_an_evaluation_that_cannot_be_drawn_costs_none_of_the_others(
    trained, evaluate, monkeypatch, capsys
):
    def fails(*arguments):
        raise ValueError("no")

    monkeypatch.setattr("deepdraw.report.charts.risk_coverage", fails)
    evaluate(trained / "checkpoints/best.pt", "pictures=true")
    assert "risk_coverage.png could not be drawn (ValueError: no)" in capsys.readouterr().out
    assert "classes.png" in {path.name for path in (trained / "evaluations/test").iterdir()}
