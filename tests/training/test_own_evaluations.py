"""evaluate=[...] has a training evaluate its own result, with the numbers and files of evaluate.py."""

import json

import pytest

SPLITS = ("zeroshot", "generalized", "test")


def results(run, split):
    found = json.loads((run / f"evaluations/{split}.json").read_text())
    return {key: value for key, value in found.items() if not key.endswith("images_per_second")}


def test_a_training_evaluates_its_result_as_the_command_would(train, evaluate):
    run = train("evaluate=[zeroshot,generalized,test]")
    own = {split: results(run, split) for split in SPLITS}
    for split in SPLITS:
        (run / f"evaluations/{split}.json").unlink()
        evaluate(run / "checkpoints/best.pt", f"split={split}")
        assert results(run, split) == own[split]


def test_a_finished_run_that_is_started_again_makes_other_evaluations(train):
    run = train("train.epochs=1")
    assert not (run / "evaluations/zeroshot.json").exists()
    train("train.epochs=1", "evaluate=[zeroshot]", run_dir=run)
    assert (run / "evaluations/zeroshot.json").is_file()


def test_a_trial_evaluates_a_part_under_names_of_its_own(train):
    run = train("train.limit_steps=1", "evaluate=[zeroshot]")
    assert (run / "evaluations/zeroshot.limited.json").is_file()
    assert not (run / "evaluations/zeroshot.json").exists()


@pytest.mark.parametrize("name", ["zeroshoot", "../polygons"])
def test_a_split_that_the_data_do_not_have_is_refused_before_training(name, train, tmp_path):
    with pytest.raises(SystemExit, match=r"these data have no split .*: choose of .*zeroshot.*, generalized$"):
        train(f"evaluate=[{name}]", run_dir=tmp_path / "refused")
    assert not (tmp_path / "refused").exists()


def test_a_value_that_is_no_list_is_refused(train, tmp_path):
    with pytest.raises(SystemExit, match="evaluate=zeroshot"):
        train("evaluate=zeroshot", run_dir=tmp_path / "refused")
