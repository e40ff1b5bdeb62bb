"""Runs side by side: paired tests against naive references, the settings that differ, refusals, and every form."""

import csv
import io
import json
import math
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from omegaconf import OmegaConf
from rich.console import Console
from scipy.stats import binomtest

from deepdraw.compare.__main__ import main
from deepdraw.compare.comparison import compare
from deepdraw.compare.forms import columns, heading, print_runs, to_csv, to_html, to_markdown
from deepdraw.compare.paired import NotComparable, common, difference, holm
from deepdraw.compare.runs import differing, find_runs, read_run, short_names
from deepdraw.evaluation.predictions import Predictions

CLASSES = ["ant", "bee", "cat", "dog", "eel", "fox", "gnu", "hen", "ibex", "jay"]
N = 400
CONFIG = {
    "seed": 0,
    "data": {
        "root": "shards",
        "num_workers": 2,
        "source": {"_target_": "deepdraw.data.Shards", "root": "shards"},
    },
    "optimizer": {"_target_": "deepdraw.training.build_optimizer", "lr": 0.001},
    "freeze": {"_target_": "deepdraw.models.freezing.nothing"},
    "augment": None,
    "train": {"epochs": 2, "log_every": 50},
}


def predictions(accuracy: float, *, seed: int = 0, keys=None, classes: list[str] = CLASSES) -> Predictions:
    """Of drawings whose class depends on the key alone; each has a fixed difficulty, the same for all models."""
    keys = np.arange(N, dtype=np.uint64) if keys is None else np.asarray(keys, np.uint64)
    names = [CLASSES[int(key) % len(CLASSES)] for key in keys]
    labels = np.array([classes.index(name) for name in names], np.uint16)
    rng = np.random.default_rng([seed, 7])
    difficulty = np.random.default_rng(1).random(100_000)[(keys % 100_000).astype(int)]
    ranks = np.where(difficulty + rng.normal(0, 0.1, len(keys)) < accuracy, 0, 1 + rng.integers(0, 9, len(keys)))
    return Predictions(classes, keys, labels, labels, np.ones(len(keys), np.float32), ranks.astype(np.uint16))


def write_run(
    directory: Path, predictions: Predictions | None = None, *, split="test", protocol="", **settings
) -> Path:
    """A run directory with a finished summary and, where there are predictions, an evaluation of them."""
    directory.mkdir(parents=True, exist_ok=True)
    config = OmegaConf.create(CONFIG)
    for key, value in settings.items():
        OmegaConf.update(config, key.replace("__", "."), value, merge=False)
    (directory / "config.yaml").write_text(OmegaConf.to_yaml(config))
    summary = {"test/top1": 0.5, "test/loss": 2.0, "val/top1": 0.52, "trainable_parameters": 123456}
    (directory / "summary.json").write_text(json.dumps(summary))
    if predictions is not None:
        top1, top5 = ((predictions.ranks < k).mean() for k in (1, 5))
        metrics = {"top1": top1, "top1_low": top1 - 0.02, "top1_high": top1 + 0.02, "top5": top5, "loss": 3 - top1}
        found = {f"{split}/{protocol}{name}": value for name, value in metrics.items()}
        predictions.save(directory / f"evaluations/{split}.predictions.npz")
        found[f"{split}/images_per_second"] = 1234.5
        (directory / f"evaluations/{split}.json").write_text(json.dumps(found))
    return directory


@pytest.fixture
def sweep(tmp_path) -> Path:
    """Four runs that differ in learning rate; the third, with 0.01, is by far the best, the first is a little worse."""
    for number, accuracy in enumerate([0.7, 0.5, 0.75, 0.3]):
        lr = [0.001, 0.003, 0.01, 0.03][number]
        write_run(tmp_path / "sweep" / str(number), predictions(accuracy, seed=number), optimizer__lr=lr)
    return tmp_path / "sweep"


def runs_of(sweep: Path) -> list[Path]:
    return find_runs(sweep)[0]


# Paired tests


@pytest.mark.parametrize("gained, lost", [(0, 0), (1, 0), (3, 9), (9, 3), (40, 71), (0, 12), (5, 5)])
def test_the_p_value_is_that_of_the_exact_test_and_the_difference_counts_the_discordant_drawings(gained, lost):
    right = np.repeat([True, False, True, False], [gained, lost, 120, 60])
    other = np.repeat([False, True, True, False], [gained, lost, 120, 60])
    found = difference(right, other)
    n = gained + lost
    tail = sum(math.comb(n, k) for k in range(min(gained, lost) + 1)) / 2**n
    assert found.p_value == pytest.approx(min(1.0, 2 * tail))
    assert found.value == pytest.approx((gained - lost) / len(right))
    assert found.num_drawings == len(right)
    assert found.low <= found.value <= found.high


def test_the_interval_is_that_of_resampled_drawings():
    rng = np.random.default_rng(0)
    right, other = rng.random(300) < 0.7, rng.random(300) < 0.6
    found = difference(right, other)
    drawn = rng.integers(0, 300, (10_000, 300))
    naive = np.quantile(right[drawn].mean(axis=1) - other[drawn].mean(axis=1), [0.025, 0.975])
    assert [found.low, found.high] == pytest.approx(naive, abs=0.005)


@given(st.lists(st.floats(0, 1), max_size=8), st.integers(0, 5))
def test_holm_multiplies_the_smallest_by_all_tests_the_next_by_one_less(p_values, num_others):
    num_tests = len(p_values) + num_others
    naive = {}
    for place, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        before = max(naive.values(), default=0.0)
        naive[i] = max(before, min(1.0, (num_tests - place) * p_values[i]))
    assert holm(p_values, num_tests) == pytest.approx([naive[i] for i in range(len(p_values))])


def test_of_equal_models_the_best_is_seldom_called_better_than_another():
    rng = np.random.default_rng(0)
    num_runs, num_false, tries = 6, 0, 150
    for _ in range(tries):
        right = rng.random((num_runs, 300)) < 0.6
        best, *others = right[np.argsort(-right.sum(axis=1))]
        p_values = [binomtest(int((best & ~one).sum()), int((best ^ one).sum())).pvalue for one in others]
        num_false += min(holm(p_values, num_runs * (num_runs - 1) // 2)) < 0.05
    assert num_false / tries <= 0.05


def test_drawings_are_joined_by_their_key_in_whatever_order():
    first = predictions(0.6, keys=[5, 3, 9, 1, 7])
    second = predictions(0.6, keys=[1, 2, 3, 7, 8])
    rows, others = common(first, second)
    assert first.key_ids[rows].tolist() == second.key_ids[others].tolist() == [1, 3, 7]


def test_keys_that_stand_twice_pair_the_same_table_and_nothing_else():
    first = predictions(0.6, keys=[4, 4, 5])
    rows, others = common(first, predictions(0.3, keys=[4, 4, 5]))
    assert rows.tolist() == others.tolist() == [0, 1, 2]
    rows, _ = common(first, predictions(0.3, keys=[5, 4, 6]))
    assert first.key_ids[rows].tolist() == [5]


def test_labels_may_number_the_same_names_in_another_order():
    second = predictions(0.6, classes=CLASSES[::-1])
    rows, _ = common(predictions(0.6), second)
    assert len(rows) == N


@pytest.mark.parametrize(
    "other, why",
    [
        (lambda: predictions(0.5, keys=np.arange(N) + 5000), "no drawing in common"),
        (lambda: predictions(0.5, classes=[*CLASSES, "kid"]), "different classes, 10 and 11"),
        (lambda: predictions(0.5, keys=np.arange(N) + 1), None),
    ],
)
def test_predictions_that_do_not_match_are_not_compared(other, why):
    if why is None:
        second = other()
        moved = Predictions(**vars(second) | {"key_ids": second.key_ids - 1})
        other, why = (lambda: moved), "400 of the 400 drawings in common are of another class"
    with pytest.raises(NotComparable, match=why):
        common(predictions(0.5), other())


# The settings that differ


def test_only_what_differs_and_changes_the_result_is_named(sweep):
    write_run(sweep / "0", optimizer__lr=0.001, train__log_every=7, data__num_workers=0, logger={"csv": {"x": 1}})
    found = compare(runs_of(sweep))
    assert found.keys == ["optimizer.lr"]
    assert [row.settings["optimizer.lr"] for row in found.rows] == ["0.01", "0.001", "0.003", "0.03"]


def test_a_group_goes_by_the_last_word_of_its_target(tmp_path):
    first = write_run(
        tmp_path / "a", freeze={"_target_": "deepdraw.models.freezing.first", "_partial_": True, "num": 4}
    )
    second = write_run(tmp_path / "b", augment={"_target_": "deepdraw.drawings.Augment"})
    settings = differing([read_run(run, "test").settings for run in (first, second)])
    assert settings == {"freeze": ["first", "nothing"], "freeze.num": ["4", None], "augment": ["null", "Augment"]}


def test_a_group_goes_by_the_word_that_was_typed_where_hydra_has_kept_it(tmp_path):
    runs = [write_run(tmp_path / "a", freeze={"_target_": "deepdraw.models.freezing.everything"})]
    runs.append(write_run(tmp_path / "b"))
    for run, freeze in zip(runs, ("all", "none"), strict=True):
        record = {"hydra": {"runtime": {"choices": {"freeze": freeze, "hydra/launcher": "local", "experiment": None}}}}
        (run / ".hydra").mkdir()
        (run / ".hydra/hydra.yaml").write_text(json.dumps(record))
    assert differing([read_run(run, "test").settings for run in runs]) == {"freeze": ["all", "none"]}


def typed(run: Path, *words: str, **choices: str) -> Path:
    """The run with Hydra's record of the words that were typed and of the options that were chosen by them."""
    (run / ".hydra").mkdir()
    record = {"hydra": {"runtime": {"choices": choices}, "overrides": {"task": list(words)}}}
    (run / ".hydra/hydra.yaml").write_text(json.dumps(record))
    return run


def test_settings_are_those_that_were_typed_and_not_what_follows_from_them(tmp_path):
    clip = {"_target_": "deepdraw.models.backbones.OpenClipBackbone", "name": "ViT-L-14", "tag": "openai"}
    tiny = {"_target_": "deepdraw.models.backbones.TimmBackbone", "name": "resnet10t", "image_size": 48}
    runs = [typed(write_run(tmp_path / "a", predictions(0.7), backbone=clip), "backbone=clip", backbone="clip")]
    runs.append(typed(write_run(tmp_path / "b", predictions(0.5), backbone=tiny), backbone="tiny"))
    assert [row.settings for row in compare(runs).rows] == [{"backbone": "clip"}, {"backbone": "tiny"}]


def test_settings_that_no_command_gave_are_shown_where_the_same_words_do_not_tell_them(tmp_path):
    runs = [typed(write_run(tmp_path / "a", predictions(0.7), train__epochs=3), "seed=0")]
    runs += [typed(write_run(tmp_path / name, predictions(0.5), train__epochs=2), "seed=0") for name in "bc"]
    assert compare(runs).keys == ["train.epochs"]


def test_an_experiment_that_was_typed_is_a_setting(tmp_path):
    runs = [typed(write_run(tmp_path / "a", predictions(0.7), train__epochs=3), "experiment=scratch", "logger=[csv]")]
    runs.append(typed(write_run(tmp_path / "b", predictions(0.5))))
    assert compare(runs).keys == ["experiment"]


def test_metrics_stand_before_settings_in_every_form(sweep):
    comparison = compare(runs_of(sweep))
    headings = [column.heading for column in columns(comparison)]
    assert headings[:2] == ["run", "top-1"] and headings[-1] == "optimizer.lr"
    assert to_csv(comparison).splitlines()[0].endswith(",remark,optimizer.lr")


@pytest.mark.parametrize("damage", ["", "{", "[]", "hydra: 3", "hydra: {runtime: {choices: [1]}}"])
def test_a_damaged_record_of_options_leaves_the_target_to_tell(tmp_path, damage):
    run = write_run(tmp_path / "a")
    (run / ".hydra").mkdir()
    (run / ".hydra/hydra.yaml").write_text(damage)
    assert read_run(run, "test").settings["freeze"] == "deepdraw.models.freezing.nothing"


def test_targets_that_end_alike_are_named_in_full(tmp_path):
    runs = [write_run(tmp_path / name, head={"_target_": f"{name}.Linear"}) for name in ("a", "b")]
    assert differing([read_run(run, "test").settings for run in runs]) == {"head": ["a.Linear", "b.Linear"]}


def test_settings_made_of_one_another_share_a_column(tmp_path):
    runs = [
        write_run(tmp_path / root, predictions(0.5), data__root=root, data__source__root=root)
        for root in ("here", "there")
    ]
    shown = {column.heading: column.cells for column in columns(compare(runs))}
    assert shown["data.root = data.source.root"] == ["here", "there"]


def test_settings_that_only_some_runs_have_do_not_share_a_column(tmp_path):
    runs = [write_run(tmp_path / "a", predictions(0.6), train__mixup=0.1, train__cutmix=0.1)]
    runs.append(write_run(tmp_path / "b", predictions(0.5)))
    shown = {column.heading: column.cells for column in columns(compare(runs))}
    assert shown["train.mixup"] == shown["train.cutmix"] == ["0.1", ""]


def test_runs_are_called_by_what_tells_them_apart(tmp_path):
    assert short_names([tmp_path / "x/1", tmp_path / "y/1"]) == ["x/1", "y/1"]
    assert short_names([tmp_path / "x", tmp_path / "x/again"]) == ["x", "x/again"]


# The table


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


# Refusals


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


# The command and the forms


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


def launched(sweep: Path, objective: str, values: list[float], **more) -> Path:
    """The runs of `sweep` as the jobs of one that a launcher wrote, with these values of its objective."""
    for number, value in enumerate(values):
        file = sweep / str(number) / "summary.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), objective: value}))
    (sweep / "sweep.json").write_text(json.dumps({"launcher": "local", "objective": objective, "jobs": [], **more}))
    return sweep


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


def test_metric_puts_the_runs_of_a_sweep_in_another_order(sweep, capsys):
    main([str(launched(sweep, "val/loss", [0.3, 0.1, 0.2, 0.4])), "metric=top1"])
    assert "4 runs by top-1 on split test" in capsys.readouterr().out


def test_an_objective_that_no_run_measured_orders_none(sweep, capsys):
    (sweep / "sweep.json").write_text(json.dumps({"launcher": "local", "objective": "score", "jobs": []}))
    main([str(sweep)])
    assert "4 runs by top-1 on split test" in capsys.readouterr().out


@pytest.mark.parametrize("content", ["", "[]", '{"objective": 1}', '{"objective": "a/b", "better": "best"}'])
def test_a_damaged_record_of_a_sweep_is_refused_in_one_line(sweep, content):
    (sweep / "sweep.json").write_text(content)
    with pytest.raises(SystemExit, match=r"^error: .*sweep\.json .*give the run directories, or metric=\.\.\.$"):
        main([str(sweep)])


def test_help_names_every_option(capsys):
    main(["--help"])
    printed = capsys.readouterr().out
    assert all(f"{option}=" in printed for option in ("split", "metric", "out"))


@pytest.fixture
def awkward(tmp_path) -> list[Path]:
    """Two runs whose names and settings are full of what Markdown, HTML and rich give a meaning."""
    return [
        write_run(tmp_path / "a|b <i>*x*", predictions(0.7), note="<script>alert(1)</script> & [bold]"),
        write_run(tmp_path / "c`d", predictions(0.5), note='a|b\nc "d", \\|'),
    ]


def test_csv_holds_plain_numbers(awkward):
    first, second = csv.DictReader(io.StringIO(to_csv(compare(awkward))))
    assert first["run"] == "a|b <i>*x*" and second["note"] == 'a|b\nc "d", \\|'
    assert float(first["top1"]) == Predictions.load(awkward[0] / "evaluations/test.predictions.npz").right.mean()
    numbers = ("top1_low", "loss", "images_per_second", "trainable_parameters", "drawings")
    assert all(math.isfinite(float(row[name])) for row in (first, second) for name in numbers)
    compared = ("difference", "difference_low", "difference_high", "p", "p_corrected")
    assert not any(first[name] for name in compared) and all(float(second[name]) < 1 for name in compared)
    assert float(second["difference"]) == pytest.approx(float(second["top1"]) - float(first["top1"]))


def test_markdown_is_a_table_whose_cells_read_as_they_are(awkward):
    comparison = compare(awkward)
    tokens = MarkdownIt("commonmark").enable("table").parse(to_markdown(comparison))
    cells = [
        "".join(child.content for child in tokens[i + 1].children)
        for i, token in enumerate(tokens)
        if token.type in ("th_open", "td_open")
    ]
    shown = columns(comparison)
    assert cells[: len(shown)] == [column.heading for column in shown]
    for i in range(2):
        expected = [" ".join(column.cells[i].split()) for column in shown]
        assert cells[(i + 1) * len(shown) : (i + 2) * len(shown)] == expected
    assert not [child for token in tokens for child in token.children or () if child.type.startswith(("html", "em"))]


class Page(HTMLParser):
    """The tags of a page, and the text of its cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.cells = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        assert not {"src", "onload"} & {name for name, _ in attributes}
        if tag in ("th", "td"):
            self.cells.append("")

    def handle_data(self, data):
        if self.tags and self.tags[-1] in ("th", "td"):
            self.cells[-1] += data.strip("\n") if not data.strip() else data


def test_html_stands_alone_and_escapes(awkward):
    comparison = compare(awkward)
    page = Page(to_html(comparison))
    shown = columns(comparison)
    expected = [column.heading for column in shown] + [column.cells[i] for i in range(2) for column in shown]
    assert page.cells == expected
    assert "script" not in page.tags and "i" not in page.tags
    assert "http" not in to_html(comparison).replace("http-equiv", "")


def test_the_terminal_shows_names_as_they_are_and_stacks_many_settings(awkward, tmp_path):
    settings = {f"s{number}": number + 1 for number in range(6)}
    comparison = compare([*awkward, write_run(tmp_path / "e", predictions(0.3), **settings)])
    console = Console(file=io.StringIO(), width=400)
    print_runs(comparison, console)
    printed = console.file.getvalue()
    assert "[bold]" in printed and "s5=6" in printed and "a|b <i>*x*" in printed
    assert "┃ settings" in printed


def test_a_narrow_terminal_shows_whole_columns_and_names_the_others(sweep):
    console = Console(file=io.StringIO(), width=80)
    print_runs(compare(runs_of(sweep)), console)
    lines = console.file.getvalue().splitlines()
    assert max(len(line) for line in lines if "│" in line) <= 80
    assert len([line for line in lines if "│" in line]) == 4
    assert any(line.endswith("negative log-likelihood, images/s, trainable parameters.") for line in lines)
