"""python -m deepdraw.export format=pt2: a program that torch alone runs, the same as its checkpoint."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

import deepdraw
from deepdraw.data.shards import Shards
from deepdraw.drawings import Drawings
from deepdraw.export import padded
from deepdraw.export.__main__ import main
from tests.refusals import refusal

WITHOUT_DEEPDRAW = """
import sys
sys.modules["deepdraw"] = sys.modules["timm"] = None  # importing either is an error
import json, torch
program = torch.export.load(sys.argv[1], extra_files=(files := {"deepdraw.json": ""})).module()
given = [torch.tensor(one, dtype=getattr(torch, kind)) for kind, one in json.loads(sys.argv[2])]
print(json.dumps([json.loads(files["deepdraw.json"])["classes"], program(*given).tolist()]))
"""


@pytest.mark.parametrize("kind", ["strokes", "image"])
def test_a_program_takes_any_number_of_drawings_where_there_is_no_deepdraw(kind, trained, polygon_root, tmp_path):
    file = tmp_path / "polygons.pt2"
    main([f"ckpt={trained}", "format=pt2", f"out={file}", *(["input=image"] if kind == "image" else [])])
    assert json.loads((tmp_path / "polygons.pt2.proof.json").read_text())["equal_top1"] == 1
    recognizer = deepdraw.load(trained, precision="fp32")
    (block,) = Shards(str(polygon_root)).split("test")
    drawings = [block.strokes(index) for index in range(3)]
    points, numbers = padded(Drawings.pack(drawings))
    strokes = [("float32", points.tolist()), ("int32", numbers.tolist())]
    given = strokes if kind == "strokes" else [("uint8", recognizer.images(drawings).tolist())]
    command = [sys.executable, "-c", WITHOUT_DEEPDRAW, str(file), json.dumps(given)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    classes, found = json.loads(done.stdout)
    assert classes == recognizer.classes
    logits = torch.from_numpy(recognizer.logits(drawings)) / (recognizer.trained.temperature or 1)
    np.testing.assert_allclose(found, torch.softmax(logits, dim=1), atol=1e-4)


def test_a_network_that_sees_strokes_takes_as_many_points_as_there_are(train, tmp_path):
    run = train("backbone=strokes", "backbone.widths=[8]", "backbone.depths=[1]", "input.points=24", "train.epochs=1")
    main([f"ckpt={run}", "format=pt2", f"out={tmp_path / 'strokes.pt2'}"])
    assert json.loads((tmp_path / "strokes.pt2.proof.json").read_text())["equal_top1"] == 1
    program = torch.export.load(tmp_path / "strokes.pt2").module()
    trained = deepdraw.load(run, precision="fp32").trained
    zigzag = [[[(k, 37 * k % 251) for k in range(90)]]]
    for packed in map(Drawings.pack, ([[[(7, 9)]]], [[[(0, 0), (90, 50)]]] * 4, zigzag)):  # of 1, 2 and 90 points
        with torch.inference_mode():
            found = program(*map(torch.from_numpy, padded(packed)))
            logits = trained.model(torch.from_numpy(trained.points(packed)))
        np.testing.assert_allclose(found, torch.softmax(logits / (trained.temperature or 1), dim=1), atol=1e-4)
    assert "input=image is for networks that see pixels alone" in refusal(
        main, [f"ckpt={run}", "format=pt2", "input=image"]
    )
