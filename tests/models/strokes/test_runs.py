"""Runs of backbones that see strokes: trained, resumed, cached, evaluated and refused as those that see pixels."""

from __future__ import annotations

import json

import pytest
import torch

import deepdraw
from deepdraw.inference import rebuild
from deepdraw.models.backbones import LayerGroup
from deepdraw.training import load_checkpoint
from deepdraw.training.checkpoint import save_checkpoint
from tests.models.strokes.conftest import EACH, FUSED, STROKES, WEIGHED


def test_both_halves_frozen_are_encoded_once_and_evaluated_from_the_same_features(train, evaluate, tmp_path, capsys):
    frozen = ["freeze=halves", "freeze@freeze.strokes=all", "train.epochs=1"]
    run = train(*FUSED, *WEIGHED, *frozen, run_dir=tmp_path / "run")
    assert "it encodes the drawings once" in capsys.readouterr().out
    evaluate(run / "checkpoints/best.pt", f"features.dir={tmp_path / 'features'}")
    assert len(list((tmp_path / "features").glob("test-*"))) == 1


@pytest.mark.parametrize("overrides", [*EACH.values(), [*FUSED, *WEIGHED]], ids=[*EACH, "fused, with weighed logits"])
def test_a_run_is_trained_resumed_evaluated_and_used_as_any_other(overrides, train, interrupted, evaluate, tmp_path):
    overrides = ["augment=sketch", "optimizer.lr=1e-2", "train.epochs=4", "train.checkpoint_every=3", *overrides]
    alone = train(*overrides, run_dir=tmp_path / "alone")
    found = json.loads((alone / "summary.json").read_text())
    assert found["test/top1"] > 0.5
    interrupted(7, *overrides, run_dir=tmp_path / "broken")
    train(*overrides, run_dir=tmp_path / "broken")
    one, other = (
        torch.load(run / "checkpoints/best.pt", weights_only=True)["model"] for run in (alone, tmp_path / "broken")
    )
    assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
    evaluate(alone / "checkpoints/best.pt")
    evaluated = json.loads((alone / "evaluations/test.json").read_text())
    assert evaluated["test/top1"] == pytest.approx(found["test/top1"])
    evaluate(alone / "checkpoints/best.pt", "split=zeroshot")
    recognizer = deepdraw.load(alone)
    test = rebuild(alone).source().split("test")
    drawings = test.drawings([0])
    guesses = recognizer.predict([drawings.strokes(k) for k in range(len(drawings))], top=1)
    right = [guess.name == recognizer.classes[label] for (guess,), label in zip(guesses, drawings.labels, strict=True)]
    assert sum(right) / len(right) == pytest.approx(found["test/top1"], abs=1e-6) or len(test.block_sizes) > 1
    with pytest.raises(ValueError, match="drawing 0 is an image, and this network sees strokes"):
        recognizer.predict(torch.zeros(40, 40, dtype=torch.uint8).numpy())


@pytest.mark.parametrize(
    "overrides, head",
    [
        *((overrides, "linear") for overrides in EACH.values()),
        *((overrides, head) for overrides in (STROKES, FUSED) for head in ("grid", "logistic")),
        (FUSED, "weighed"),
    ],
)
def test_a_frozen_backbone_encodes_once_whatever_it_sees(overrides, head, train, evaluate, tmp_path, capsys):
    run = train(*overrides, "freeze=all", f"head={head}", "train.epochs=2", run_dir=tmp_path / "run")
    assert "it encodes the drawings once" in capsys.readouterr().out
    evaluate(run / "checkpoints/best.pt", f"features.dir={tmp_path / 'features'}")
    found = [json.loads((run / file).read_text())["test/top1"] for file in ("summary.json", "evaluations/test.json")]
    assert found[0] == pytest.approx(found[1], abs=1e-6)


def test_features_of_other_points_are_not_taken_from_the_cache(train, tmp_path):
    for points in (32, 33):
        train(
            *STROKES[:-1], f"input.points={points}", "freeze=all", "train.epochs=1", run_dir=tmp_path / f"run{points}"
        )
    assert len(list((tmp_path / "features").glob("train-*"))) == 2


@pytest.mark.parametrize("option", ["train.mixup=0.2", "train.cutmix=1"])
def test_strokes_are_not_mixed(option, train):
    with pytest.raises(SystemExit, match="train.mixup and train.cutmix mix images, and strokes sees strokes"):
        train(*STROKES, option)


@pytest.mark.parametrize("overrides", EACH.values(), ids=EACH)
def test_images_are_refused_before_training(overrides, train, tmp_path):
    import cv2
    import numpy as np

    for name in ("a", "b"):
        for k in range(12):
            (tmp_path / f"own/{name}").mkdir(parents=True, exist_ok=True)
            image = np.full((40, 40), 255, np.uint8)
            image[5 + k : 9 + k, 5:30] = 0
            cv2.imwrite(str(tmp_path / f"own/{name}/{k}.png"), image)
    with pytest.raises(SystemExit, match="the drawings are images, and this backbone sees strokes: try backbone=tiny"):
        train("data=folder", f"data.root={tmp_path / 'own'}", "data.batch_size=4", *overrides)


def test_a_run_that_froze_strokes_with_the_pixels_of_a_fused_backbone_is_refused(
    interrupted, train, tmp_path, monkeypatch
):
    """As freeze=norms, biases and lora did at first."""
    overrides = [*FUSED, "freeze=norms", "train.checkpoint_every=3"]
    with monkeypatch.context() as before:
        before.setattr(LayerGroup, "without_fresh", lambda self: self)
        interrupted(4, *overrides, run_dir=tmp_path / "run")
    with pytest.raises(SystemExit, match="error: the run trained [0-9]+ tensors where this version .* train again in"):
        train(*overrides, run_dir=tmp_path / "run")


def test_a_run_from_before_backbones_saw_strokes_is_resumed(trained, resume):
    for name in ("best.pt", "last.pt"):
        file = trained / "checkpoints" / name
        content = load_checkpoint(file)
        del content["config"]["input"], content["config"]["render"]["images"]
        save_checkpoint(file, content)
    resume()
    assert rebuild(trained).points is None
