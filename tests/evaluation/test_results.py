"""Results name their checkpoint, and replace neither those of another one nor a file of anything else."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path

import pytest
import torch

from deepdraw.compare.__main__ import main as compare
from tests.refusals import refusal


def found(directory: Path, name: str = "test") -> dict:
    return json.loads((directory / f"evaluations/{name}.json").read_text())


def contents(directory: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in directory.rglob("*") if file.is_file()}


def kept_epoch(run: Path) -> Path:
    """A checkpoint of the run beside best.pt and last.pt, with other weights."""
    content = torch.load(run / "checkpoints/best.pt", weights_only=True)
    content["best"]["val/epoch"] = 1
    content["model"] = {name: weights * 0.5 for name, weights in content["model"].items()}
    torch.save(content, run / "checkpoints/epoch_0001.pt")
    return run / "checkpoints/epoch_0001.pt"


@pytest.mark.parametrize("other", ["last", "epoch_0001"])
def test_results_of_another_checkpoint_leave_those_of_the_best_alone(trained, evaluate, other):
    kept_epoch(trained)
    evaluate(trained / "checkpoints/best.pt", "pictures=true")
    files = [*(trained / "evaluations").rglob("*")]
    before = {file: file.read_bytes() for file in files if file.is_file()}
    evaluate(trained / f"checkpoints/{other}.pt", "pictures=true")
    assert {file: file.read_bytes() for file in before} == before
    assert f"test.{other}/top1" in found(trained, f"test.{other}")
    assert (trained / f"evaluations/test.{other}.predictions.npz").is_file()
    assert list((trained / f"evaluations/test.{other}").glob("*.png"))


def test_every_result_names_its_checkpoint_and_its_epoch(trained, evaluate, capsys):
    kept_epoch(trained)
    best = torch.load(trained / "checkpoints/best.pt", weights_only=True)["best"]["val/epoch"]
    epochs = {"best": ("test", best), "last": ("test.last", 2), "epoch_0001": ("test.epoch_0001", 1)}
    for checkpoint, (name, epoch) in epochs.items():
        evaluate(trained / f"checkpoints/{checkpoint}.pt")
        result = found(trained, name)
        assert (result["checkpoint"], result["checkpoint_epoch"]) == (f"checkpoints/{checkpoint}.pt", epoch)
        assert f"checkpoints/{checkpoint}.pt (epoch {epoch})" in capsys.readouterr().out
        assert f"weights of checkpoints/{checkpoint}.pt, epoch {epoch}" in (trained / "report.html").read_text()
    hashes = {found(trained, name)["checkpoint_sha256"] for name, _ in epochs.values()}
    assert len(hashes) == 3


def test_metrics_of_a_checkpoint_that_has_changed_are_not_added_to(trained, evaluate, capsys):
    best = trained / "checkpoints/best.pt"
    evaluate(best, "protocol=prototype", "protocol.shots=[2]", "protocol.tries=3")
    shutil.copy(kept_epoch(trained), best)
    evaluate(best)
    assert "test.json was of checkpoints/best.pt, epoch" in capsys.readouterr().out
    assert "test/top1" in found(trained) and not any("prototype" in name for name in found(trained))


def test_a_checkpoint_among_other_things_needs_a_place_for_its_results(trained, evaluate, tmp_path):
    strange = tmp_path / "strange"
    (strange / "checkpoints").mkdir(parents=True)
    for name in ("report.html", "config.yaml", "notes.txt"):
        (strange / name).write_text("model: of somebody else")
    for place in (strange / "checkpoints/best.pt", strange / "best.pt"):
        shutil.copy(trained / "checkpoints/best.pt", place)
        before = contents(strange)
        message = refusal(evaluate, place)
        assert message == f"error: {place} lies in no run directory: say by out=DIR where its results are written"
        assert contents(strange) == before
        for folder in (strange, strange / "checkpoints"):
            assert f"out={folder} holds " in refusal(evaluate, place, f"out={folder}")
        assert contents(strange) == before
        evaluate(place, f"out={tmp_path / 'results'}")
        assert found(tmp_path / "results")["checkpoint"] == str(place)
        assert contents(strange) == before


def test_out_gets_all_results_and_the_run_none(trained, evaluate, tmp_path, capsys):
    before, out = contents(trained), tmp_path / "new/results (1)"
    evaluate(trained / "checkpoints/best.pt", f"out={out}", "pictures=true", "metric=[kappa]")
    assert contents(trained) == before
    assert found(out)["checkpoint"] == str(trained / "checkpoints/best.pt")
    assert "Kappa" in (out / "report.html").read_text() or "kappa" in (out / "report.html").read_text()
    assert list((out / "evaluations/test").glob("*.png"))
    evaluate(trained / "checkpoints/best.pt", f"out={out}", "split=zeroshot")  # beside those of another split
    assert {file.name for file in (out / "evaluations").glob("*.json")} == {"test.json", "zeroshot.json"}
    evaluate(trained / "checkpoints/best.pt")
    capsys.readouterr()
    compare([str(out), str(trained), "split=test"])
    assert "results (1)" in capsys.readouterr().out


def test_out_of_another_checkpoint_or_a_file_is_refused(trained, evaluate, tmp_path):
    evaluate(trained / "checkpoints/best.pt", f"out={tmp_path / 'results'}")
    before = contents(tmp_path / "results")
    message = refusal(evaluate, kept_epoch(trained).rename(tmp_path / "moved.pt"), f"out={tmp_path / 'results'}")
    assert "best.pt, epoch" in message and message.endswith("on split test: choose another out")
    assert contents(tmp_path / "results") == before
    (tmp_path / "file").write_text("")
    assert "is a file and no folder" in refusal(evaluate, trained / "checkpoints/best.pt", f"out={tmp_path / 'file'}")
    other = shutil.copytree(trained, tmp_path / "other run")
    assert "choose a new or empty directory" in refusal(evaluate, trained / "checkpoints/best.pt", f"out={other}")


@pytest.mark.parametrize("refused", ["", "evaluations"])
def test_a_run_that_cannot_be_written_is_told_of_before_any_work(trained, evaluate, monkeypatch, tmp_path, refused):
    from deepdraw.runtime import results
    from deepdraw.runtime.files import check_writable

    def check(folder: Path) -> None:
        if folder == trained / refused:
            raise OSError(errno.EROFS, "Read-only file system", str(folder))
        check_writable(folder)

    monkeypatch.setattr(results, "check_writable", check)
    with monkeypatch.context() as patch:
        patch.setattr("deepdraw.evaluation.session.rebuild", None)  # which is not reached
        message = refusal(evaluate, trained / "checkpoints/best.pt")
    assert message.startswith(f"error: {trained / refused}: Read-only file system: give out=DIR")
    before = contents(trained)
    evaluate(trained / "checkpoints/best.pt", f"out={tmp_path / 'mine'}")
    assert "test/top1" in found(tmp_path / "mine") and contents(trained) == before


@pytest.mark.parametrize("name", ["report.html", "config.yaml", "metrics.csv", "summary.json"])
def test_training_replaces_no_file_of_anything_else(train, tmp_path, name):
    (tmp_path / "mine").mkdir()
    (tmp_path / f"mine/{name}").write_text("mine: 1")
    message = refusal(lambda: train(run_dir=tmp_path / "mine"))
    assert f"mine holds {name}, which no run of deepdraw wrote" in message
    assert {file.name: file.read_text() for file in (tmp_path / "mine").iterdir()} == {name: "mine: 1"}
