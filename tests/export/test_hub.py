"""python -m deepdraw.export format=hub: a repository that is uploaded, and read back by hf-hub:OWNER/NAME."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Event

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
from tests.hub import TOKEN, Repositories, hub
from tests.refusals import refusal

ROOT = Path(__file__).parents[2]
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
    earlier = {"config.json": b"{}", "model.safetensors": b"of another network", "notes.md": b"of its owner"}
    server.commit(NAME, earlier)
    run = train("backbone=strokes", "backbone.widths=[8]", "backbone.depths=[1]", "input.points=24", "train.epochs=1")
    main([f"ckpt={run}", "format=hub", f"hub={NAME}"])
    assert set(server.files[NAME]["main"]) - {"drawings.png"} == {"README.md", "deepdraw.pt", "notes.md"}
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


def elsewhere(server: Repositories, folder: Path) -> dict[str, str]:
    """The environment of a process of another machine: it has this hub, and nothing in its cache."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    cache = {"HF_HOME": str(folder), "HF_HUB_DISABLE_XET": "1", "HF_ENDPOINT": server.address}
    return {**kept, **cache, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


@pytest.mark.parametrize("part_size", [None, 20_000], ids=["whole", "in-parts"])
def test_large_files_go_by_git_lfs_and_another_machine_reads_them(
    part_size, server, trained, strokes, tmp_path, monkeypatch
):
    server.part_size = part_size
    main([f"ckpt={trained}", "format=hub", f"hub={NAME}", f"out={tmp_path / 'out'}"])
    names = ("deepdraw.pt", "model.safetensors")
    written = {hashlib.sha256(content := (tmp_path / "out" / name).read_bytes()).hexdigest(): content for name in names}
    assert server.large == written
    assert bool(server.parts) == (part_size is not None)
    assert server.files[NAME]["main"].keys() >= {*names, "README.md", "config.json"}
    if part_size is not None:
        return
    drawings = tmp_path / "drawings.ndjson"
    lines = [json.dumps({"key_id": "1", "drawing": [stroke.T.tolist() for stroke in one]}) for one in strokes]
    drawings.write_text("\n".join(lines))
    read = subprocess.run(
        [sys.executable, "-m", "deepdraw.predict", f"ckpt=hf-hub:{NAME}", f"input={drawings}", "precision=fp32"],
        env=elsewhere(server, tmp_path / "fresh"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert read.returncode == 0, read.stderr
    first = [line.split(",")[1] for line in read.stdout.splitlines()[1:]]
    assert first == [guesses[0].name for guesses in deepdraw.load(trained).predict(strokes, top=1)]
    assert list((tmp_path / "fresh").rglob("deepdraw.pt"))


REFUSALS = {  # what the hub answers to which request, and the fix
    "no login": ("repos/create", 401, "log in by `hf auth login`"),
    "no permission": ("repos/create", 403, "your token may not write there: choose an OWNER that is you"),
    "another's": ("preupload", 404, "it is private and another's, or gone: choose another NAME"),
    "large lost": ("PUT /lfs", 403, "your token may not write there"),
    "not verified": ("objects/verify", 404, "choose another NAME"),
    "no xet": ("xet-write-token", 403, "your token may not write there"),
    "broken": ("commit", 500, "try again later"),
}


@pytest.mark.parametrize("kind", REFUSALS)
def test_what_the_hub_refuses_ends_in_one_line_that_says_the_fix(kind, server, trained, tmp_path, monkeypatch):
    pattern, status, fix = REFUSALS[kind]
    if kind == "no xet":
        pytest.importorskip("huggingface_hub", "1.0", reason="older ones know no Xet")
        pytest.importorskip("hf_xet", reason="hf_xet, by which large files go where it is installed, is absent")
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", False)
    server.refused[pattern] = status
    if pattern == "repos/create":
        server.refused["GET /api/models"] = 404
    line = refusal(main, [f"ckpt={trained}", "format=hub", f"hub={NAME}", f"out={tmp_path / 'out'}", "drawings=2"])
    assert f"hub={NAME} was not uploaded (" in line
    assert fix in line.rpartition("): ")[2]
    assert server.files.get(NAME, {"main": {}}) == {"main": {}}
    assert list(tmp_path.glob("out*")) == []


def test_a_hub_that_cannot_be_reached_and_a_full_disk_end_in_one_line(server, trained, tmp_path, monkeypatch):
    words = [f"ckpt={trained}", "format=hub", f"hub={NAME}", f"out={tmp_path / 'out'}", "drawings=2"]
    with monkeypatch.context() as away:
        away.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:1")
        assert "try again when the hub can be reached" in refusal(main, words)

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("deepdraw.export.hub_format.save_checkpoint", full)
    assert os.strerror(errno.ENOSPC) in refusal(main, words)
    assert server.files == {}
    assert list(tmp_path.glob("out*")) == []


def test_ctrl_c_in_the_middle_of_an_upload_leaves_no_commit(server, trained, tmp_path):
    server.reached["PUT /lfs"] = Event()
    words = [f"ckpt={trained}", "format=hub", f"hub={NAME}", f"out={tmp_path / 'out'}", "drawings=2", "data.root=null"]
    process = subprocess.Popen(
        [sys.executable, "-m", "deepdraw.export", *words],
        env={**elsewhere(server, tmp_path / "fresh"), "HF_TOKEN": TOKEN},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.reached["PUT /lfs"].wait(300)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "interrupted: nothing was written" in said
    assert "Traceback" not in said
    assert server.files == {NAME: {"main": {}}}
    assert list(tmp_path.glob("out*")) == []
