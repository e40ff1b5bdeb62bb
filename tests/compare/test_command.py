"""python -m deepdraw.compare: what it prints and writes, and the order that a sweep's objective gives."""

import csv
import json
from pathlib import Path

import pytest

from deepdraw.compare.__main__ import main
from tests.compare.conftest import launched


def test_a_sweep_is_compared_and_what_has_no_results_is_left_out(sweep, monkeypatch, capsys):
    monkeypatch.chdir(sweep.parent)
    (sweep / "4").mkdir()
    (sweep / "4" / "config.yaml").write_text("seed: 0\n")
    (sweep / "logs").mkdir()
    (sweep / "0").rename(sweep / "optimizer.lr=0.001")
    main(["sweep", "out=table"])
    printed = capsys.readouterr().out
    assert "left out, as they have no results yet: sweep/4" in printed
    assert "4 runs by top-1 on split test" in printed and "best" in printed
    assert sorted(path.name for path in Path("table").iterdir()) == [f"comparison.{e}" for e in ("csv", "html", "md")]
    main(["sweep/optimizer.lr=0.001", "sweep/1", "metric=loss"])
    assert "2 runs by negative log-likelihood" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("objective", "more", "first"),
    [
        ("val/top1", {}, "3"),
        ("val/loss", {}, "1"),
        ("val/doubt", {"better": "lower"}, "1"),
        ("val/doubt", {"better": "higher"}, "3"),
        ("val/doubt", {"better": None}, "3"),
    ],
)
def test_a_sweep_is_in_the_order_of_its_objective(sweep, capsys, tmp_path, objective, more, first):
    main([str(launched(sweep, objective, [0.3, 0.1, 0.2, 0.4], **more)), f"out={tmp_path / 'out'}"])
    with (tmp_path / "out/comparison.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    expected = ["1", "2", "0", "3"]
    assert [row["run"] for row in rows] == (expected if first == "1" else expected[::-1])
    assert [row["remark"] for row in rows] == ["best", "", "", ""]
    assert float(rows[0][objective]) == (0.1 if first == "1" else 0.4)
    name = objective.removeprefix("val/")
    title = {"top1": "top-1", "loss": "negative log-likelihood"}.get(name, name)
    shown = title if name != "doubt" else "top-1"  # test/doubt is not known
    assert f"4 runs by {title} on val, their {shown} on split test" in capsys.readouterr().out


def test_metric_puts_the_runs_of_a_sweep_in_another_order(sweep, capsys):
    main([str(launched(sweep, "val/loss", [0.3, 0.1, 0.2, 0.4])), "metric=top1"])
    assert "4 runs by top-1 on split test" in capsys.readouterr().out


def test_an_objective_that_no_run_measured_orders_none(sweep, capsys):
    (sweep / "sweep.json").write_text(json.dumps({"launcher": "local", "objective": "score", "jobs": []}))
    main([str(sweep)])
    assert "4 runs by top-1 on split test" in capsys.readouterr().out


def test_help_names_every_option(capsys):
    main(["--help"])
    printed = capsys.readouterr().out
    assert all(f"{option}=" in printed for option in ("split", "metric", "out"))
