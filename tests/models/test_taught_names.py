"""Names that are taught by their text alone, to a network with a text tower."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch

import deepdraw
from deepdraw.data.shards import Shards

NEW = ["hexagon", "line"]


@pytest.fixture
def run(small_clip: str, train: Callable[..., Path], tmp_path: Path) -> Path:
    """A frozen CLIP with small towers."""
    torch.manual_seed(0)
    file = tmp_path / "clip.pt"
    torch.save(open_clip.create_model(small_clip).state_dict(), file)
    backbone = [f"backbone.{option}" for option in (f"name={small_clip}", f"pretrained={file}", "image_size=32")]
    return train("backbone=open_clip", *backbone, "freeze=all", "train.epochs=1")


def test_names_alone_are_read_as_evaluate_reads_them(run, evaluate, polygon_root, tmp_path):
    evaluate(run / "checkpoints/best.pt", "split=generalized", "protocol=text")
    expected = json.loads((run / "evaluations/generalized.json").read_text())["generalized/text_top1"]
    taught = deepdraw.load(run).teach(NEW[:1]).teach(NEW[1:])
    right = []
    for name, first in (("test", 0), ("zeroshot", 3)):
        split = Shards(str(polygon_root)).split(name)
        drawings = [block.strokes(index) for block in split for index in range(len(block))]
        right.append(taught.logits(drawings).argmax(axis=1) == split.labels + first)
    assert np.concatenate(right).mean() == pytest.approx(expected)
    taught.save(tmp_path / "taught.npz")
    read = deepdraw.load(run, classes=tmp_path / "taught.npz")
    assert read.classes == ["triangle", "square", "octagon", *NEW]
    assert np.array_equal(read.logits(drawings), taught.logits(drawings))
    evaluate(run / "checkpoints/best.pt", "split=generalized", f"classes={tmp_path}/taught.npz")
    found = json.loads((run / "evaluations/generalized.taught.json").read_text())
    assert found["generalized.taught/taught_top1"] == pytest.approx(expected)


def test_names_are_all_drawn_or_all_typed(run):
    square = [[[0, 255, 255, 0, 0], [0, 0, 255, 255, 0]]]
    with pytest.raises(ValueError, match="the names so far were typed, and 'line' is drawn"):
        deepdraw.load(run).teach(NEW[:1]).teach({"line": [square]})
    with pytest.raises(ValueError, match="the names so far were drawn, and these are typed"):
        deepdraw.load(run).teach({"line": [square]}).teach(NEW[:1])
