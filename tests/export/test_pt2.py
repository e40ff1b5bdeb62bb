"""python -m deepdraw.export format=pt2: a program that torch alone runs, the same as its checkpoint."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import torch

import deepdraw
from deepdraw.data.shards import Shards
from deepdraw.export.__main__ import main

WITHOUT_DEEPDRAW = """
import sys
sys.modules["deepdraw"] = sys.modules["timm"] = None  # importing either is an error
import json, torch
program = torch.export.load(sys.argv[1], extra_files=(files := {"deepdraw.json": ""})).module()
images = torch.tensor(json.loads(sys.argv[2]), dtype=torch.uint8)
print(json.dumps([json.loads(files["deepdraw.json"])["classes"], program(images).tolist()]))
"""


def test_a_program_takes_any_number_of_images_where_there_is_no_deepdraw(trained, polygon_root, tmp_path):
    file = tmp_path / "polygons.pt2"
    main([f"ckpt={trained}", "format=pt2", f"out={file}"])
    assert json.loads((tmp_path / "polygons.pt2.proof.json").read_text())["equal_top1"] == 1
    recognizer = deepdraw.load(trained, precision="fp32")
    (block,) = Shards(str(polygon_root)).split("test")
    drawings = [block.strokes(index) for index in range(3)]
    command = [sys.executable, "-c", WITHOUT_DEEPDRAW, str(file), json.dumps(recognizer.images(drawings).tolist())]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    classes, found = json.loads(done.stdout)
    assert classes == recognizer.classes
    logits = torch.from_numpy(recognizer.logits(drawings)) / (recognizer.trained.temperature or 1)
    np.testing.assert_allclose(found, torch.softmax(logits, dim=1), atol=1e-5)


def test_a_network_that_sees_strokes_is_a_program_of_points(train, tmp_path):
    run = train("backbone=strokes", "backbone.widths=[8]", "backbone.depths=[1]", "input.points=24", "train.epochs=1")
    main([f"ckpt={run}", "format=pt2", f"out={tmp_path / 'strokes.pt2'}"])
    assert json.loads((tmp_path / "strokes.pt2.proof.json").read_text())["equal_top1"] == 1
