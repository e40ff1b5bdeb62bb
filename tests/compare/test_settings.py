"""The settings that a comparison shows: those that differ, in the words that were typed."""

import json
from pathlib import Path

import pytest

from deepdraw.compare.comparison import compare
from deepdraw.compare.forms import columns
from deepdraw.compare.runs import differing, read_run, short_names
from tests.compare.conftest import predictions, runs_of, write_run


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
