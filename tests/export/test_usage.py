"""The lines of use in the model card of each format, copied by someone who has nothing else, say what a drawing is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import deepdraw
from deepdraw.data.shards import Shards
from deepdraw.export.__main__ import main
from tests.hub import hub

ROOT = Path(__file__).parents[2]
NAME = "someone/polygons"
WORDS = {  # of a format, and where its card is
    "onnx": (["format=onnx", "out=polygons.onnx"], "polygons.onnx.md"),
    "onnx of images": (["format=onnx", "input=image", "out=images.onnx"], "images.onnx.md"),
    "pt2": (["format=pt2", "out=polygons.pt2"], "polygons.pt2.md"),
    "timm": (["format=timm", "out=polygons"], "polygons/README.md"),
    "hub": (["format=hub", f"hub={NAME}", "out=repository"], "repository/README.md"),
}


@pytest.mark.slow
def test_the_lines_of_each_card_run_in_another_process(trained, polygon_root, tmp_path, monkeypatch):
    """All in one process, each in a namespace of its own: to start one takes longer than what it does."""
    pytest.importorskip("onnxruntime", reason="onnxruntime, of the extra export, is absent")
    (block,) = Shards(str(polygon_root)).split("test")
    (image,) = deepdraw.load(trained).images([block.strokes(0)])
    for name in ("drawing.png", "one.png", "two.png"):
        Image.fromarray(image).save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    with hub(monkeypatch, tmp_path / "cache") as server:
        texts = {}
        for kind, (words, card) in WORDS.items():
            main([f"ckpt={trained}", *words, "drawings=4"])
            blocks = re.findall(r"```python\n(.*?)```", (tmp_path / card).read_text(), re.DOTALL)
            texts[kind] = "".join(blocks)
            assert all(1 <= len(part.strip().splitlines()) <= 6 for part in texts[kind].split("\n\n")), kind
        whole = "".join(f"print({f'of {kind}'!r})\nexec({text!r}, {{}})\n" for kind, text in texts.items())
        (tmp_path / "use.py").write_text(whole)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        own = {"HF_HOME": str(tmp_path / "fresh"), "HF_HUB_DISABLE_XET": "1", "HF_ENDPOINT": server.address}
        done = subprocess.run(
            [sys.executable, "use.py"],
            env={**kept, **own, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=300,
        )
    assert done.returncode == 0, done.stderr
    said = dict(re.findall(r"of (.*)\n((?:(?!of ).*\n)+)", done.stdout))
    assert said.keys() == WORDS.keys(), done.stdout
    for kind, lines in said.items():
        assert any(name in lines for name in ("triangle", "square", "octagon")), (kind, lines)
    assert len(said["hub"].splitlines()) == 2, "by deepdraw and by timm"
