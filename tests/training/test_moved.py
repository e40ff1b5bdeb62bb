"""A run goes on wherever its data lie and however they are called; fingerprints of the drawings decide."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from deepdraw.training_data import TrainingData
from tests.polygons import SIZES, write_polygons
from tests.refusals import refusal


def weights(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "checkpoints/best.pt", weights_only=True)["model"]


def test_a_run_whose_data_moved_ends_with_the_same_bits(train, interrupted, polygon_root, tmp_path):
    whole = train("train.epochs=2", run_dir=tmp_path / "whole")
    run = tmp_path / "moved"
    interrupted(5, "train.epochs=2", run_dir=run)
    moved = shutil.copytree(polygon_root, tmp_path / "another disk, 2")
    train("train.epochs=2", f"data.root={moved}", "device=cpu", run_dir=run)
    assert all(torch.equal(tensor, weights(run)[name]) for name, tensor in weights(whole).items())
    saved = torch.load(run / "checkpoints/last.pt", weights_only=True)["config"]
    assert (saved["data"]["root"], saved["device"]) == (str(moved), "cpu")


def test_a_finished_run_whose_data_moved_names_their_new_place(trained, resume, polygon_root, tmp_path):
    before = torch.load(trained / "checkpoints/last.pt", weights_only=True)
    moved = shutil.copytree(polygon_root, tmp_path / "moved")
    resume(f"data.root={moved}")
    after = torch.load(trained / "checkpoints/last.pt", weights_only=True)
    assert after["config"]["data"]["root"] == after["config"]["data"]["source"]["root"] == str(moved)
    assert after.keys() == before.keys() and after["progress"] == before["progress"]
    assert all(torch.equal(tensor, after["model"][name]) for name, tensor in before["model"].items())


@pytest.mark.parametrize("spelled", ["{root}/", "{name}", "./{name}", "link", "{root}/../{name}"])
def test_a_path_may_be_spelled_in_another_way(trained, resume, polygon_root, monkeypatch, capsys, spelled):
    monkeypatch.chdir(polygon_root.parent)
    if spelled == "link" and not Path("link").is_symlink():
        Path("link").symlink_to(polygon_root)
    resume("data.root=" + spelled.format(root=polygon_root, name=polygon_root.name))
    assert "resumed at step" in capsys.readouterr().out


def test_other_drawings_are_refused_and_the_config_of_the_run_is_kept(trained, resume, tmp_path):
    other = write_polygons(tmp_path / "other", {name: size // 2 for name, size in SIZES.items()})
    before = (trained / "config.yaml").read_bytes()
    assert "the drawings of split train are not those" in refusal(resume, f"data.root={other}")
    assert (trained / "config.yaml").read_bytes() == before


def test_a_longer_training_is_another_run_that_starts_from_the_weights(trained, train, tmp_path):
    shutil.move(trained, tmp_path / "first run")
    message = refusal(
        train,
        "train.epochs=9",
        "render.polarity=white_on_black",
        "render.line_width=2.5",
        run_dir=tmp_path / "first run",
    )
    assert "(train.epochs: 2 there, 9 here): learning rates are planned over all epochs, so" in message
    word = f"backbone.pretrained={tmp_path / 'first run'}"
    assert f"'{word}' with another hydra.run.dir starts one from its weights" in message
    train("train.epochs=9", "train.limit_steps=1", word, run_dir=tmp_path / "second")


def test_a_fingerprint_of_an_older_version_is_known():
    data = SimpleNamespace(splits={"train": SimpleNamespace(fingerprint="new", former_fingerprint="old")})
    for known in ("new", "old"):
        TrainingData.check_unchanged(data, {"train": known}, Path())
    with pytest.raises(ValueError, match="the drawings of split train are not those"):
        TrainingData.check_unchanged(data, {"train": "other"}, Path())
