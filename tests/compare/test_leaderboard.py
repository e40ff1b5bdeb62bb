"""The leaderboard shows what each run found on test and on unseen classes, best first."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import binomtest

from deepdraw.compare.__main__ import main
from deepdraw.compare.comparison import compare
from deepdraw.compare.leaderboard import Entry, table


@pytest.fixture
def sweep(train, tmp_path) -> Path:
    for name, words in (("0", ["freeze=all", "train.epochs=1"]), ("1", ["freeze=none"])):
        train(*words, "evaluate=[test,zeroshot,generalized]", run_dir=tmp_path / "sweep" / name)
    return tmp_path / "sweep"


def entries_of(*directories: Path) -> list[dict[str, str]]:
    return table([Entry.of(row) for row in compare(directories).rows])


def test_cells_are_the_numbers_of_the_evaluations(sweep, capsys, tmp_path):
    rows = entries_of(sweep / "0", sweep / "1")
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
        assert row["ECE"] == f"{100 * test['test/ece']:.2f} %"
        assert row["ECE, scaled"] == f"{100 * test['test/ece_scaled']:.2f} %"
        assert row["images/s"] == f"{test['test/encoder_images_per_second']:,.0f}"  # of cached features, too
        assert row["parameters"] == f"{number_of_parameters(sweep / row['run']):,}"
        duration = summary_of(sweep / row["run"])["duration"]
        assert row["CPU hours"] == f"{duration / 3600:.3f}" and not row["GPU hours"]
        cached = row["frozen"] == "all"  # reading a cache has no speed of an encoder
        assert ("test/images_per_second" in summary_of(sweep / row["run"])) != cached
    assert {row["run"]: row["frozen"] for row in rows} == {"0": "all", "1": "none"}
    assert main(["leaderboard", str(sweep), f"out={tmp_path / 'out'}"]) == 0
    assert "generalized" in capsys.readouterr().out  # the heading is set in several lines
    assert (tmp_path / "out/leaderboard.md").read_text().count("\n| ") == len(rows) + 1
    for picture in ("leaderboard", "freezing"):
        assert (tmp_path / f"out/{picture}.png").read_bytes().startswith(b"\x89PNG")


def summary_of(run: Path) -> dict:
    return json.loads((run / "summary.json").read_text())


def number_of_parameters(run: Path) -> int:
    weights = torch.load(run / "checkpoints/best.pt", weights_only=True)["model"]
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    return sum(tensor.numel() for name, tensor in weights.items() if not name.endswith(statistics))


def test_a_rank_that_may_be_chance_is_marked(sweep):
    best, other = entries_of(sweep / "0", sweep / "1")
    right = [hits(sweep / row["run"]) for row in (best, other)]
    differ = right[0] != right[1]
    p_value = binomtest(int(right[0][differ].sum()), int(differ.sum())).pvalue if differ.any() else 1.0
    assert (best["rank"], other["rank"]) == ("1", "2=" if p_value >= 0.05 else "2")


def hits(run: Path) -> np.ndarray:
    """Of each drawing, whether it was recognized."""
    with np.load(run / "evaluations/test.predictions.npz") as predictions:
        return predictions["predicted"] == predictions["labels"]


def test_no_directory_is_refused_in_one_line():
    with pytest.raises(SystemExit, match="^error: leaderboard takes one directory, and not 0: give that of the sweep$"):
        main(["leaderboard"])
