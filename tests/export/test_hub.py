"""python -m deepdraw.export format=hub: a repository that is uploaded, and read back by hf-hub:OWNER/NAME."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from huggingface_hub import ModelCard
from PIL import Image

import deepdraw
from deepdraw.data.shards import Shards
from deepdraw.export.__main__ import main
from deepdraw.training.checkpoint import load_checkpoint
from tests.hub import Repositories, hub
from tests.refusals import refusal

NAME = "someone/polygons"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Repositories]:
    with hub(monkeypatch, tmp_path / "cache") as repositories:
        yield repositories


@pytest.fixture(scope="session")
def strokes(polygon_root):
    (block,) = Shards(str(polygon_root)).split("test")
    return [block.strokes(index) for index in range(5)]


def test_what_is_uploaded_is_read_back_by_deepdraw_and_by_timm(
    server, trained, strokes, polygon_root, tmp_path, capsys
):
    main([f"ckpt={trained}", "format=hub", f"hub={NAME}", f"out={tmp_path / 'out'}", "license=mit"])
    assert f"uploaded: {server.address}/{NAME}/commit/" in capsys.readouterr().out
    files = server.files[NAME]["main"]
    assert set(files) == {"README.md", "drawings.png", "config.json", "deepdraw.pt", "model.safetensors"}
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}

    original, read = deepdraw.load(trained, precision="fp32"), deepdraw.load(f"hf-hub:{NAME}", precision="fp32")
    assert read.classes == original.classes
    np.testing.assert_allclose(read.logits(strokes), original.logits(strokes), atol=1e-6)
    assert read.predict(strokes)[0][0].probability == pytest.approx(original.predict(strokes)[0][0].probability)

    card = ModelCard(files["README.md"].decode())
    assert (card.data.license, card.data.library_name) == ("mit", "timm")
    assert f'deepdraw.load("hf-hub:{NAME}")' in card.text
    assert f"timm.create_model('hf-hub:{NAME}'" in card.text

    network = timm.create_model(f"hf-hub:{NAME}", pretrained=True).eval()
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(network))
    pictures = [transform(Image.fromarray(image).convert("RGB")) for image in original.images(strokes)]
    with torch.inference_mode():
        found = network(torch.stack(pictures)).argmax(dim=1)
    assert [original.classes[k] for k in found] == [guesses[0].name for guesses in original.predict(strokes, top=1)]


def test_the_checkpoint_in_it_names_no_folder_of_this_machine(server, trained, polygon_root, tmp_path):
    main([f"ckpt={trained}", "format=hub", f"hub={NAME}", f"out={tmp_path / 'out'}"])
    content = load_checkpoint(tmp_path / "out/deepdraw.pt")
    assert str(polygon_root.parent) not in json.dumps(content["config"])
    assert content["config"]["data"]["root"] == polygon_root.name
    assert "optimizer" not in content


def test_a_network_that_timm_has_not_is_uploaded_as_a_checkpoint(server, train, strokes):
    run = train("backbone=strokes", "backbone.widths=[8]", "backbone.depths=[1]", "input.points=24", "train.epochs=1")
    main([f"ckpt={run}", "format=hub", f"hub={NAME}"])
    assert set(server.files[NAME]["main"]) - {"drawings.png"} == {"README.md", "deepdraw.pt"}
    logits = [deepdraw.load(one, precision="fp32").logits(strokes) for one in (run, f"hf-hub:{NAME}")]
    np.testing.assert_allclose(*logits, atol=1e-6)


def test_what_cannot_be_uploaded_leaves_nothing(server, trained, monkeypatch):
    words = [f"ckpt={trained}", "format=hub"]
    assert "hub=polygons has no owner: write hub=OWNER/NAME" in refusal(main, [*words, "hub=polygons"])
    assert "hub=some--one/.. names no repository" in refusal(main, [*words, "hub=some--one/.."])
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    message = refusal(main, [*words, f"hub={NAME}"])
    assert f"hub={NAME} was not uploaded" in message
    assert "log in by `hf auth login`" in message
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", "nowhere")
    assert f"hub={NAME} needs a token: log in by" in refusal(main, [*words, f"hub={NAME}"])
    assert server.files == {}
    assert list((trained / "exports").glob("*")) == []
