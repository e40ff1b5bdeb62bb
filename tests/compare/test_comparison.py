"""The table of a comparison: its order, what each run is held against, and which runs are not ranked together."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from deepdraw.compare.comparison import compare
from deepdraw.compare.forms import columns, heading, to_csv
from deepdraw.compare.paired import difference, holm
from deepdraw.evaluation.predictions import Predictions
from tests.compare.conftest import CLASSES, N, predictions, runs_of, write_run


def test_the_best_comes_first_and_the_others_are_held_against_it(sweep):
    found = compare(runs_of(sweep))
    assert [row.name for row in found.rows] == ["2", "0", "1", "3"]
    tables = {row.name: Predictions.load(row.run.predictions_file) for row in found.rows}
    raw = [difference(tables[row.name].right, tables["2"].right) for row in found.rows[1:]]
    assert [row.difference for row in found.rows] == [None, *raw]
    assert [row.p_value for row in found.rows[1:]] == holm([one.p_value for one in raw], 6)
    assert found.rows[-1].p_value < 1e-6
    assert "6 pairs of 4 runs" in found.notes[0]


def test_a_loss_is_better_the_less_it_is_and_differences_stay_those_of_top_1(sweep):
    found = compare(runs_of(sweep), metric="test/loss")
    assert [row.name for row in found.rows] == ["2", "0", "1", "3"]
    assert found.paired_metric == "top1"


def test_top_5_is_compared_by_the_answers_among_the_first_five(sweep):
    found = compare(runs_of(sweep), metric="top5")
    best, second = (Predictions.load(row.run.predictions_file).ranks < 5 for row in found.rows[:2])
    assert found.rows[1].difference == difference(second, best)


def test_runs_are_compared_as_training_leaves_them(train, tmp_path):
    runs = [train(f"optimizer.lr={lr}", "train.epochs=1", run_dir=tmp_path / lr) for lr in ("1e-5", "5e-3")]
    best, other = compare(runs).rows
    assert (best.remark, other.remark) == ("best", "")
    assert best.num_drawings == other.num_drawings == 90
    points = best.run.metrics["top1"] - other.run.metrics["top1"]
    assert other.difference.value == pytest.approx(-points)


def test_a_run_that_kept_no_predictions_stands_without_significance(sweep):
    found = compare([*runs_of(sweep), write_run(sweep.parent / "old")])
    row = next(row for row in found.rows if row.name == "old")
    assert (row.run.metrics["top1"], row.difference, row.remark) == (0.5, None, "no predictions")
    assert any("old/checkpoints/best.pt split=test" in note for note in found.notes)


def test_the_best_with_predictions_is_what_the_others_are_held_against(sweep):
    (sweep / "2" / "evaluations" / "test.predictions.npz").unlink()
    found = compare(runs_of(sweep))
    assert [row.remark for row in found.rows] == ["no predictions", "best", "", ""]


def test_predictions_that_another_protocol_left_are_not_taken_for_those_of_the_metric(sweep):
    predictions(0.1).save(sweep / "0" / "evaluations" / "test.predictions.npz")
    found = compare(runs_of(sweep))
    assert found.rows[1].remark == "other predictions" and found.rows[1].difference is None
    assert any(note.startswith("run 0 kept the predictions of another evaluation") for note in found.notes)


def test_other_drawings_are_said_to_be_not_comparable_and_some_in_common_are_counted(sweep):
    write_run(sweep / "0", predictions(0.7, keys=np.arange(N) + 3000))
    write_run(sweep / "1", predictions(0.5, keys=np.arange(N) + 300))
    found = compare(runs_of(sweep))
    rows = {row.name: row for row in found.rows}
    assert rows["0"].remark == "not comparable" and rows["0"].difference is None
    assert "run 0 is not comparable with run 2: they have no drawing in common" in found.notes
    assert "Evaluated on other drawings than run 2, so that their place says little: 0, 1." in found.notes
    assert rows["1"].num_drawings == rows["1"].difference.num_drawings == 100


def test_runs_on_other_classes_are_listed_last_and_not_ranked(sweep):
    write_run(sweep / "3", predictions(0.9, classes=[*CLASSES, "kid"]))
    found = compare(runs_of(sweep))
    assert [row.name for row in found.rows] == ["2", "0", "1", "3"]
    assert (found.rows[-1].remark, found.rows[-1].difference) == ("other classes", None)
    (note,) = [note for note in found.notes if "not ranked" in note]
    assert note.endswith("the other runs have 10 classes and these others: 3 (11, of which 10 are the same).")
    assert "3 pairs of 3 runs" in found.notes[0]


def test_that_runs_have_only_some_drawings_in_common_is_said(sweep):
    write_run(sweep / "1", predictions(0.5, keys=np.arange(N) + 300))
    assert "run 1 was evaluated on 400 drawings and run 2 on 400, of which 100 are the same: only these are paired" in (
        compare(runs_of(sweep)).notes
    )


def test_the_same_run_twice_is_one(sweep):
    assert len(compare([sweep / "0", sweep / "1", sweep / ".." / "sweep" / "0"]).rows) == 2


@pytest.mark.parametrize(
    "names, main_metric",
    [
        (["top1", "knn_top1"], "top1"),
        (["knn_1shot_top1", "knn_5shot_top1", "whitened_1shot_top1", "whitened_5shot_top1"], "whitened_5shot_top1"),
        (["text_top1", "text_seen", "text_unseen", "text_harmonic"], "text_harmonic"),
        (["prototype_5shot_harmonic", "prototype_5shot_calibrated_harmonic"], "prototype_5shot_calibrated_harmonic"),
        (["interpolate_0.5_top1", "text_top1"], "text_top1"),
    ],
)
def test_unasked_runs_are_put_in_order_by_the_main_metric_of_the_protocol(tmp_path, names, main_metric):
    for run in ("a", "b"):
        write_run(tmp_path / run)
        (tmp_path / run / "evaluations").mkdir()
        metrics = {f"zeroshot/{name}": 0.1 for name in names}
        (tmp_path / run / "evaluations" / "zeroshot.json").write_text(json.dumps(metrics))
    found = compare([tmp_path / "a", tmp_path / "b"], split="zeroshot")
    assert found.metric == main_metric
    assert not set(found.shown) & {"knn_top1", "trainable_parameters_low"}


def test_a_mean_over_tries_is_compared_by_the_one_try_that_was_kept(tmp_path):
    for run, accuracy in (("a", 0.6), ("b", 0.4)):
        write_run(tmp_path / run, predictions(accuracy), split="zeroshot")
        metrics = {"zeroshot/prototype_5shot_top1": accuracy, "zeroshot/prototype_5shot_stderr": 0.01}
        (tmp_path / run / "evaluations" / "zeroshot.json").write_text(json.dumps(metrics))
    found = compare([tmp_path / "a", tmp_path / "b"], split="zeroshot")
    assert found.rows[1].difference is not None and "the first was kept" in found.notes[0]
    shown = {column.heading: column.cells for column in columns(found)}
    assert shown["prototype 5-shot top-1"] == ["60.00 ± 1.00 %", "40.00 ± 1.00 %"]
    assert next(csv.DictReader(io.StringIO(to_csv(found))))["prototype_5shot_stderr"] == "0.01"


def say(run: Path, recognition: str) -> None:
    file = run / "evaluations/test.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"recognition": recognition}))


def test_a_comparison_says_whether_its_drawings_were_recognized_and_where_runs_differ_in_it(sweep):
    assert heading(compare(runs_of(sweep))).endswith("on split test (recognized or all: unknown)")
    for run in runs_of(sweep):
        say(run, "recognized")
    assert heading(compare(runs_of(sweep))).endswith("on split test (recognized)")
    say(sweep / "2", "all")
    found = compare(runs_of(sweep))
    assert heading(found).endswith("(recognized or all: see the runs)")
    cells = {column.heading: column.cells for column in columns(found)}["recognized or all"]
    assert cells == ["all" if row.run.directory == sweep / "2" else "recognized" for row in found.rows]
    assert "Evaluated on other drawings than run 2, so that their place says little: 0, 1, 3." in found.notes


def test_runs_that_were_given_one_objective_stand_in_its_order(tmp_path):
    """The lowest loss on validation first, although the accuracy on test says otherwise."""
    for name, accuracy, loss in (("a", 0.7, 1.5), ("b", 0.5, 0.5), ("c", 0.6, 1.0)):
        run = write_run(tmp_path / name, predictions(accuracy), objective="val/loss", seed=loss)
        summary = json.loads((run / "summary.json").read_text())
        (run / "summary.json").write_text(json.dumps(summary | {"val/loss": loss}))
    runs = [tmp_path / name for name in "abc"]
    assert [row.name for row in compare(runs).rows] == ["b", "c", "a"]
    assert [row.name for row in compare(runs, metric="top1").rows] == ["a", "c", "b"]
    write_run(tmp_path / "a", predictions(0.7), objective="val/top5")  # of several objectives none counts
    assert [row.name for row in compare(runs).rows] == ["a", "c", "b"]
