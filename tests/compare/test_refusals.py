"""What a comparison refuses, in one line each."""

import json

import pytest

from deepdraw.compare.__main__ import main
from deepdraw.compare.comparison import compare
from tests.compare.conftest import predictions, runs_of, write_run


def test_a_split_that_was_not_evaluated_names_the_command(sweep):
    with pytest.raises(
        ValueError, match=r"0 has no results of split zeroshot, only of test, val: python evaluate.py ckpt="
    ):
        compare(runs_of(sweep), split="zeroshot")


def test_a_metric_that_a_run_lacks_names_those_like_it_and_the_command(sweep):
    with pytest.raises(
        ValueError, match=r"has no test/top6: choose metric=top5 or top1.*, or python evaluate.py ckpt="
    ):
        compare(runs_of(sweep), metric="top6")


def test_protocols_without_a_metric_in_common_are_refused(tmp_path):
    for run, protocol in (("a", "text_"), ("b", "knn_")):
        write_run(tmp_path / run, predictions(0.5), split="zeroshot", protocol=protocol)
    with pytest.raises(ValueError, match="no accuracy on zeroshot is known of all runs: evaluate them by one protocol"):
        compare([tmp_path / "a", tmp_path / "b"], split="zeroshot")


@pytest.mark.parametrize("value", ["good", None, True, [1]])
def test_what_is_no_number_is_refused(sweep, value):
    (sweep / "1" / "evaluations" / "test.json").write_text(json.dumps({"test/top1": value}))
    with pytest.raises(ValueError, match=r"test.json has test/top1 = .*: delete it, or python evaluate.py"):
        compare(runs_of(sweep))


@pytest.mark.parametrize("text", ["{", "[1]", '{"test/top1": NaN}', '{"test/top1": 1e999}', '{"seed": "many"}'])
def test_results_that_are_broken_are_refused(sweep, text):
    (sweep / "1" / "evaluations" / "test.json").write_text(text)
    with pytest.raises(ValueError, match=r"test.json .*: delete it"):
        compare(runs_of(sweep))


def test_predictions_that_are_broken_are_refused(sweep):
    (sweep / "1" / "evaluations" / "test.predictions.npz").write_bytes(b"no archive")
    with pytest.raises(ValueError, match="is no table of predictions"):
        compare(runs_of(sweep))


def test_a_config_that_cannot_be_read_is_refused(sweep):
    (sweep / "1" / "config.yaml").write_text("a: [")
    with pytest.raises(ValueError, match="has no config.yaml that can be read"):
        compare(runs_of(sweep))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "0 run to compare"),
        (["sweep/0"], "1 run to compare: give two or more"),
        (["sweep/0", "nowhere"], "nowhere is neither a run nor a sweep"),
        (["sweep", "splt=val"], "unknown option 'splt': did you mean split=...?"),
        (["sweep", "split=zeroshot"], "has no results of split zeroshot"),
    ],
)
def test_the_command_ends_with_one_line(sweep, monkeypatch, arguments, message):
    monkeypatch.chdir(sweep.parent)
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert str(ended.value).startswith("error: ") and message in str(ended.value) and "\n" not in str(ended.value)


@pytest.mark.parametrize("content", ["", "[]", '{"objective": 1}', '{"objective": "a/b", "better": "best"}'])
def test_a_damaged_record_of_a_sweep_is_refused_in_one_line(sweep, content):
    (sweep / "sweep.json").write_text(content)
    with pytest.raises(SystemExit, match=r"^error: .*sweep\.json .*give the run directories, or metric=\.\.\.$"):
        main([str(sweep)])
