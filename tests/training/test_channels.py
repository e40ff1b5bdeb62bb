"""Runs on images of three channels that tell the order of drawing: trained, resumed, evaluated, used as any other."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch

import deepdraw
from deepdraw.inference import embed, rebuild
from deepdraw.training import load_checkpoint
from deepdraw.training.checkpoint import save_checkpoint

CHANNELS = ["shaded", "thirds"]
FUSED = ["backbone=fused", "backbone@backbone.pixels=timm", "backbone.pixels.name=resnet10t", "input.points=32"]
FUSED += ["backbone.pixels.pretrained=false", "backbone.pixels.image_size=32"]
FUSED += ["+backbone.pixels.options.channels=[8,8,16,16]", "backbone.strokes.widths=[8,16]"]
FUSED += ["backbone.strokes.depths=[1,1]"]


def top1(run, file: str) -> float:
    return json.loads((run / file).read_text())["test/top1"]


@pytest.mark.parametrize("channels", CHANNELS)
def test_a_run_ends_with_the_same_bits_if_it_was_stopped(channels, train, interrupted, tmp_path):
    overrides = [f"render.channels={channels}", "augment=sketch", "train.mixup=0.2", "train.cutmix=1"]
    overrides += ["train.checkpoint_every=3", "train.epochs=2"]
    alone = train(*overrides, run_dir=tmp_path / "alone")
    interrupted(7, *overrides, run_dir=tmp_path / "broken")
    train(*overrides, run_dir=tmp_path / "broken")
    one, other = (load_checkpoint(run / "checkpoints/best.pt")["model"] for run in (alone, tmp_path / "broken"))
    assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("overrides", [[], FUSED], ids=["pixels", "fused"])
@pytest.mark.parametrize("channels", CHANNELS)
def test_it_is_evaluated_and_predicts_and_embeds_as_it_was_trained(channels, overrides, train, evaluate, tmp_path):
    drawn = [f"render.channels={channels}", "render.polarity=white_on_black", "optimizer.lr=1e-2"]
    run = train(*overrides, *drawn, run_dir=tmp_path / "run", plots=True)
    best = run / "checkpoints/best.pt"
    assert load_checkpoint(best)["preprocessing"]["channels"] == channels
    for words in (["pictures=true"], ["split=zeroshot", "protocol=prototype"], ["protocol=knn"]):
        evaluate(best, *words)
    assert top1(run, "evaluations/test.json") == pytest.approx(top1(run, "summary.json"))
    recognizer = deepdraw.load(run)
    split = rebuild(run).source().split("test")
    drawings = split.drawings(range(len(split.block_sizes)))
    strokes = [drawings.strokes(k) for k in range(len(drawings))]
    assert recognizer.images(strokes).shape == (len(drawings), 3, 32, 32)
    guesses = recognizer.predict(strokes, top=1)
    right = [guess.name == recognizer.classes[label] for (guess,), label in zip(guesses, drawings.labels, strict=True)]
    assert np.mean(right) == pytest.approx(top1(run, "summary.json"), abs=1e-6)
    assert embed_main(run, tmp_path / "features").shape == (len(drawings), recognizer.features(strokes).shape[1])


def embed_main(run, out) -> np.ndarray:
    embed.main([f"ckpt={run}", "data=test", f"out={out}", "num_workers=0"])
    return np.load(out / "features.npy")


@pytest.mark.parametrize("head", ["linear", "grid", "logistic"])
def test_a_frozen_backbone_encodes_them_once(head, train, evaluate, tmp_path, capsys):
    run = train("render.channels=shaded", "freeze=all", f"head={head}", "train.epochs=2", run_dir=tmp_path / "run")
    assert "it encodes the drawings once" in capsys.readouterr().out
    evaluate(run / "checkpoints/best.pt", f"features.dir={tmp_path / 'features'}")
    assert top1(run, "evaluations/test.json") == pytest.approx(top1(run, "summary.json"), abs=1e-6)
    train("freeze=all", f"head={head}", "train.epochs=2", run_dir=tmp_path / "ink")
    assert len(list((tmp_path / "features").glob("train-*"))) == 2


def test_images_as_they_are_are_refused_before_the_data_are_opened(train):
    with pytest.raises(SystemExit, match=r"render\.channels=thirds needs lines in an order"):
        train("render.channels=thirds", "render.images=canvas", "data.root=nowhere")


def test_a_run_from_before_channels_is_of_ink_and_is_resumed(trained, resume):
    for name in ("best.pt", "last.pt"):
        file = trained / "checkpoints" / name
        content = load_checkpoint(file)
        del content["config"]["render"]["channels"], content["preprocessing"]["channels"]
        save_checkpoint(file, content)
    rows = list(csv.reader((trained / "metrics.csv").open()))
    resume()
    assert rebuild(trained).rasterizer.channels == "ink"
    assert len(list(csv.reader((trained / "metrics.csv").open()))) >= len(rows)
