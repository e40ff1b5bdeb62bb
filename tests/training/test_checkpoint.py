"""Checkpoints: whole or not at all, and never code that runs."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepdraw.training import checkpoint
from deepdraw.training.checkpoint import Checkpoints, load_checkpoint, save_checkpoint

CONFIG = {
    "seed": 42,
    "backbone": {"_target_": "deepdraw.models.backbones.TimmBackbone", "name": "resnet10t", "pretrained": False},
    "optimizer": {"algorithm": {"_target_": "torch.optim.AdamW", "_partial_": True, "betas": [0.9, 0.999]}},
    "logger": {"csv": {"_target_": "deepdraw.loggers.CSVLogger", "_partial_": True}},
}


def content(**changes) -> dict:
    return {"config": CONFIG, "classes": ["circle", "line"], "model": {"weight": torch.arange(6.0)}, **changes}


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "checkpoints/best.pt"


@pytest.fixture
def sentinel(tmp_path) -> Path:
    """A file that is there once a checkpoint has run code."""
    return tmp_path / "code-ran"


class Code:
    """Unpickling it runs a shell command."""

    def __init__(self, sentinel: Path) -> None:
        self.command = f"touch {sentinel}"

    def __reduce__(self):
        return os.system, (self.command,)


def refusal(call, *arguments) -> str:
    with pytest.raises(ValueError) as refused:
        call(*arguments)
    message = str(refused.value)
    assert "\n" not in message
    return message


def test_what_is_saved_is_loaded(path):
    save_checkpoint(path, content(best={"val/top1": 0.5}))
    loaded = load_checkpoint(path)
    assert torch.equal(loaded.pop("model")["weight"], torch.arange(6.0))
    assert loaded == {"config": CONFIG, "classes": ["circle", "line"], "best": {"val/top1": 0.5}}
    assert os.listdir(path.parent) == ["best.pt"]


def test_a_save_that_fails_leaves_the_old_checkpoint(path, monkeypatch):
    save_checkpoint(path, content())
    before = path.read_bytes()

    def fail(saved, file):
        file.write(b"half of it")
        raise OSError("No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(checkpoint.torch, "save", fail)
        save_checkpoint(path, content(classes=[]))
    assert path.read_bytes() == before
    save_checkpoint(path, content(classes=["star"]))
    assert load_checkpoint(path)["classes"] == ["star"]


@pytest.mark.parametrize("kept", [0.0, 0.001, 0.02, 0.5, 0.95, 0.999])
def test_a_checkpoint_cut_short_is_refused(path, kept):
    save_checkpoint(path, content())
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    assert refusal(load_checkpoint, path).startswith(f"{path} is cut short, damaged")


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_garbled_bytes_are_loaded_or_refused_in_one_line(path, data):
    save_checkpoint(path, content())
    garbled = bytearray(path.read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(garbled) - 1), min_size=1, max_size=4)):
        garbled[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(garbled)
    try:
        load_checkpoint(path)
    except ValueError as error:
        assert str(path) in str(error)
        assert "\n" not in str(error)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("save", [torch.save, lambda code, path: path.write_bytes(pickle.dumps(code))])
def test_a_pickle_that_holds_code_is_refused_and_does_not_run(path, sentinel, save):
    path.parent.mkdir()
    save(content(config={"backbone": Code(sentinel)}), path)
    assert "holds code, and was not loaded" in refusal(load_checkpoint, path)
    assert not sentinel.exists()


@pytest.mark.parametrize("text", [b"hello world", b'{"config": 1}', b"PK\x03\x04" + bytes(500), b"\x80"])
def test_a_file_of_another_kind_is_refused(path, text):
    path.parent.mkdir()
    path.write_bytes(text)
    assert str(path) in refusal(load_checkpoint, path)


@pytest.mark.parametrize("saved", [{"weight": torch.ones(2)}, [1, 2], {"state_dict": {}, "config": {}}])
def test_weights_from_elsewhere_are_no_checkpoint(path, saved):
    save_checkpoint(path, saved)
    assert refusal(load_checkpoint, path).startswith(f"{path} is no deepdraw checkpoint: give")


def test_a_missing_file_and_a_directory_are_no_checkpoint(path):
    path.parent.mkdir()
    for wrong in (path, path.parent):
        assert refusal(load_checkpoint, wrong).startswith(f"there is no checkpoint {wrong}: correct the path")


def test_evaluate_refuses_a_pickle_that_holds_code_before_anything_runs(trained, evaluate, sentinel):
    best = trained / "checkpoints/best.pt"
    torch.save({**load_checkpoint(best), "preprocessing": Code(sentinel)}, best)
    with pytest.raises(SystemExit, match=r"^error: .*best\.pt is cut short, damaged or holds code, and was not loaded"):
        evaluate(best)
    assert not sentinel.exists()


def test_a_part_of_ones_own_from_another_package_trains(train, tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("from deepdraw.models.heads import Linear\n\n\nclass Own(Linear):\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    run = train("head._target_=mine.Own", "train.limit_steps=2")
    assert (run / "summary.json").exists()


def test_a_directory_without_checkpoints_begins_a_run(tmp_path):
    assert Checkpoints(tmp_path / "checkpoints").load_last() is None


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


@pytest.mark.parametrize("name", ["best.pt", "last.pt"])
@pytest.mark.parametrize("harm", [Path.unlink, damage])
def test_a_run_that_lost_a_checkpoint_is_refused_and_not_begun_anew(trained, resume, name, harm):
    harm(trained / "checkpoints" / name)
    before = {file: file.read_bytes() for file in (trained / "checkpoints").iterdir()}
    before |= {file: file.read_bytes() for file in (trained / "metrics.csv", trained / "config.yaml")}
    with pytest.raises(SystemExit) as refused:
        resume()
    message = str(refused.value.code)
    assert message.startswith("error: ")
    assert str(trained / "checkpoints" / name) in message
    assert "put the run's own file back" in message or "train again in another hydra.run.dir" in message
    assert before == {file: file.read_bytes() for file in before}
    assert len(os.listdir(trained / "checkpoints")) == (1 if harm is Path.unlink else 2)


def test_best_in_the_place_of_last_is_refused(trained, resume):
    shutil.copy(trained / "checkpoints/best.pt", trained / "checkpoints/last.pt")
    with pytest.raises(SystemExit, match=r"^error: .*last\.pt has no optimizer state, as if it were a best\.pt: put"):
        resume()


def test_a_run_killed_before_its_first_best_goes_on(path):
    save_checkpoint(path.with_name("last.pt"), content(optimizer={}, best={}))
    former = Checkpoints(path.parent).load_last()
    assert former is not None
    assert former["best"] == {}
