"""Curves of training, drawn from metrics.csv."""

import numpy as np
import pytest
from PIL import Image

from deepdraw.report.curves import plot_curves
from deepdraw.runtime import write_json


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
    assert "best at step 100 with 83.3 %" in Image.open(out).text["Description"]
    metrics_csv.write_text(rows[0] + "\n")
    plot_curves(metrics_csv, out)
    assert drawn > dark_share(out) > 0


@pytest.mark.parametrize(
    ("objective", "told"),
    [
        ("val/top1", "best at step 2 with 80.0 %"),
        ("val/loss", "best by val/loss at step 3 with 70.0 %"),
        ("val/kappa", "best by val/kappa at step 1 with 60.0 %"),
        ("val/error", "best by val/error at step 2 with 80.0 %"),  # as metrics.json describes it
        ("val/absent", "best at step 2 with 80.0 %"),
    ],
)
def test_the_best_epoch_is_marked_by_the_objective(tmp_path, objective, told):
    rows = ["step,val/top1,val/loss,val/kappa,val/error", "1,0.6,3,0.9,0.5", "2,0.8,2,0.1,0.1", "3,0.7,1,0.2,0.4"]
    (tmp_path / "metrics.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "config.yaml").write_text(f"objective: {objective}")
    write_json(tmp_path / "metrics.json", {"error": {"title": "Error", "unit": "", "better": "lower"}})
    plot_curves(tmp_path / "metrics.csv", tmp_path / "curves.png")
    assert told in Image.open(tmp_path / "curves.png").text["Description"]


def test_curves_need_steps(tmp_path):
    metrics_csv = tmp_path / "metrics.csv"
    metrics_csv.write_text("epoch,train/loss\n0,1.0\n")
    with pytest.raises(ValueError, match="no column `step`"):
        plot_curves(metrics_csv, tmp_path / "curves.png")


def test_a_loss_with_label_smoothing_is_told_from_one_without(tmp_path):
    metrics_csv = tmp_path / "metrics.csv"
    metrics_csv.write_text("epoch,step,train/loss,val/loss,optim/lr\n1,1,2.0,1.0,0.1\n1,2,1.0,0.5,0.0\n")
    pictures = []
    for smoothing in (0.0, 0.1, None, "no"):
        (tmp_path / "config.yaml").write_text(f"train: {{label_smoothing: {smoothing}}}")
        plot_curves(metrics_csv, tmp_path / "curves.png")
        pictures.append(np.asarray(Image.open(tmp_path / "curves.png").convert("L")))
    assert not np.array_equal(pictures[0], pictures[1])
    assert all(np.array_equal(pictures[0], other) for other in pictures[2:])
