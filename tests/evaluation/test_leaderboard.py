"""The leaderboard shows what each run found on test and on unseen classes, best first."""

import json
from pathlib import Path

import pytest

from deepdraw.compare.__main__ import main
from deepdraw.compare.comparison import compare
from deepdraw.compare.leaderboard import table


@pytest.fixture
def sweep(train, tmp_path) -> Path:
    for name, epochs in (("0", 1), ("1", 3)):
        train(f"train.epochs={epochs}", "evaluate=[test,zeroshot,generalized]", run_dir=tmp_path / "sweep" / name)
    return tmp_path / "sweep"


def test_cells_are_the_numbers_of_the_evaluations(sweep, capsys, tmp_path):
    rows = table(compare([sweep / "0", sweep / "1"]))
    for row in rows:
        test, unseen, both = (
            json.loads((sweep / row["run"] / f"evaluations/{split}.json").read_text())
            for split in ("test", "zeroshot", "generalized")
        )
        shots = max(int(key.split("_")[1].removesuffix("shot")) for key in unseen if "/prototype_" in key)
        assert row["test top-1"] == f"{100 * test['test/top1']:.2f} %"
        shown = f"{100 * unseen[f'zeroshot/prototype_{shots}shot_top1']:.2f} % (k = {shots})"
        assert row["k-shot top-1"] == shown
        harmonic = both[f"generalized/prototype_{shots}shot_calibrated_harmonic"]
        assert row["generalized harmonic mean"] == f"{100 * harmonic:.2f} %"
        assert row["weights"] == "random"
        assert row["CPU hours"] and not row["GPU hours"]
    assert main(["leaderboard", str(sweep), f"out={tmp_path / 'out'}"]) == 0
    assert "generalized harmonic mean" in capsys.readouterr().out
    assert (tmp_path / "out/leaderboard.md").read_text().count("\n| ") == len(rows) + 1
    assert (tmp_path / "out/leaderboard.png").read_bytes().startswith(b"\x89PNG")


def test_no_directory_is_refused_in_one_line():
    with pytest.raises(SystemExit, match="^error: leaderboard takes one directory, and not 0: give that of the sweep$"):
        main(["leaderboard"])
