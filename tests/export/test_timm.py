"""python -m deepdraw.export format=timm: a folder that timm itself loads, the same network with the same names."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

import deepdraw
from deepdraw.data.shards import Shards
from deepdraw.export.__main__ import main
from deepdraw.training.checkpoint import load_checkpoint, save_checkpoint
from tests.refusals import refusal


@pytest.fixture(scope="session")
def strokes(polygon_root):
    (block,) = Shards(str(polygon_root)).split("test")
    return [block.strokes(index) for index in range(5)]


def of_timm(folder: Path, images: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """What timm makes of pictures, and what it calls the classes, by its documented functions alone."""
    network = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(network))
    pictures = torch.stack([transform(Image.fromarray(image).convert("RGB")) for image in images])
    with torch.inference_mode():
        return network(pictures).softmax(dim=1).numpy(), list(network.pretrained_cfg["label_names"])


def with_temperature(run: Path, temperature: float) -> Path:
    path = run / "checkpoints/best.pt"
    content = load_checkpoint(path)
    content["best"]["val/temperature"] = temperature
    save_checkpoint(path, content)
    return run


NETWORKS = {
    "convolutions": (),
    "vit": ("backbone=timm", "backbone.name=test_vit", "backbone.pretrained=false", "backbone.image_size=32"),
    "vit_mean": (
        *("backbone=timm", "backbone.name=test_vit", "backbone.pretrained=false", "backbone.image_size=32"),
        *("backbone.pooling=mean", "backbone.mean=[0.1,0.2,0.3]"),
    ),
    "hidden": (  # which keeps a hidden layer of its classifier, as a convolution
        *("backbone=timm", "backbone.name=mobilenetv3_small_050", "backbone.pretrained=false"),
        "backbone.image_size=32",
    ),
    "distilled": (
        *("backbone=timm", "backbone.name=deit_tiny_distilled_patch16_224", "backbone.pretrained=false"),
        *("backbone.image_size=32", "+backbone.options={depth:1,embed_dim:32,num_heads:2}"),
    ),
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_timm_gives_the_probabilities_and_the_names_of_the_checkpoint(kind, train, strokes, tmp_path):
    run = with_temperature(train(*NETWORKS[kind], "train.epochs=1"), 1.7)
    main([f"ckpt={run}", "format=timm", f"out={tmp_path / 'out'}"])
    recognizer = deepdraw.load(run, precision="fp32")
    found, names = of_timm(tmp_path / "out", recognizer.images(strokes))
    assert names == recognizer.classes
    expected = torch.softmax(torch.from_numpy(recognizer.logits(strokes)) / 1.7, dim=1)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    written = {path.name for path in (tmp_path / "out").iterdir()} - {"drawings.png"}  # not where `train` draws none
    assert written == {"config.json", "model.safetensors", "README.md"}
    assert json.loads((tmp_path / "out.proof.json").read_text())["equal_top1"] == 1


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["head=mlp", "head.hidden=[8]"], "format=timm holds a linear head, and this one is MLP: use format=onnx"),
        (["head=cosine"], "format=timm holds a linear head, and this one is Cosine"),
        (["render.channels=shaded"], "this network sees render.channels=shaded: use format=onnx"),
        (
            ["backbone=strokes", "backbone.widths=[8]", "backbone.depths=[1]", "input.points=24"],
            "format=timm is for networks of timm that see images",
        ),
    ],
    ids=["mlp", "cosine", "shaded", "strokes"],
)
def test_what_timm_cannot_hold_is_refused_with_the_format_to_choose(train, words, line):
    run = train(*words, "train.epochs=1")
    message = refusal(main, [f"ckpt={run}", "format=timm"])
    assert line in message
    assert list((run / "exports").glob("*")) == []
